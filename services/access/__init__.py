"""How callers reach a service: protocols, addresses, examples."""
