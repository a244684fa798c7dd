"""Signals that other apps send and services listens to."""
