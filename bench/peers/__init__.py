"""What the gateway is measured beside. Each is started on loopback and ended by its own pid."""
