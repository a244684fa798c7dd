"""Bringing the files of a plan into the node's store. No Django: rounds.py calls this for a row of the database."""
