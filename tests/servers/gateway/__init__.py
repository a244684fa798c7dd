"""A real Envoy, and what stands behind it in tests."""
