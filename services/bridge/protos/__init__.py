"""Messages of other protocols, built from their public field numbers. They are in a pool of their own."""
