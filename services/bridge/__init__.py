"""Translates protocols that a backend does not speak itself. A process of its own; see __main__.py."""
