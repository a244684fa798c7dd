"""Replicas, one by one: started, watched, taken out when they hang, started again, ended."""
