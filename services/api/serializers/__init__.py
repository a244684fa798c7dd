"""Shapes of requests and answers. They describe and parse types; what is allowed is decided in services/actions."""
