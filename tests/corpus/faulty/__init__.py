"""Models that fail: refused before a start, or by the start itself."""
