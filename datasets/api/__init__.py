"""Datasets, their rounds and the store in the REST API: parse, call one action or query, render."""
