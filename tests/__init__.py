"""Mirrors the code; see docs/testing.md."""

import pytest

# An assertion of a helper says what it compared, as one of a test does.
pytest.register_assert_rewrite(
    "tests.integration", "tests.servers", "tests.services", "tests.console", "tests.datasets"
)
