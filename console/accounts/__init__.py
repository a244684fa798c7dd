"""People, teams, roles and quotas."""
