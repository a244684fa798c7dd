"""Asks a replica where it listens how it is."""
