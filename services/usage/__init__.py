"""What was used, read: sums by service, key and team (queries.py), as CSV (table.py), for Prometheus (prometheus.py).

Nothing here writes; who does is services/usage/metering.py.
"""
