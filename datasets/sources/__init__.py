"""Kinds of source: base.py is the contract, registry.py names them. net/ and archives/ serve several."""
