"""The test panel: one request to the gateway, as a caller sends it."""
