"""Servers that tests start: real ones, and small ones of our own."""
