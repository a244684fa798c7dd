"""Pages of datasets, their rounds and the store: parse, call one action or query, render."""
