"""Kinds of source: see base.py for the contract and how to add one."""
