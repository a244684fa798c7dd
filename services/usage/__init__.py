"""What was used, read: sums by service, key and team (reading.py), as CSV (table.py), for Prometheus (prometheus.py).

Nothing here writes; who does is services/actions/metering.py.
"""
