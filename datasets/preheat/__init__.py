"""Bringing the files of a plan into the node's store. No Django: jobs/ calls this for a row of the database."""
