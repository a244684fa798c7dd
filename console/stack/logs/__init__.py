"""Logs of the stack: of bounded size, and one line for each message."""
