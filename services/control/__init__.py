"""Makes services what people asked for. Called by workers, and by verbs that must not wait for one."""
