"""Examples to copy, by protocol."""
