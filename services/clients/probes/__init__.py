"""Asks a replica on its own loopback port how it is."""
