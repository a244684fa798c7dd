"""Every environment variable that the settings read is in docs/configuration.md."""

from __future__ import annotations

import re

from console.home import CHECKOUT

READS = re.compile(r'\benv(?:_addresses)?\.(?:[a-z_]+)\(\s*"([A-Z_]+)"')


def test_every_variable_is_documented() -> None:
    sources = [CHECKOUT / "console" / "settings.py", CHECKOUT / "console" / "home.py"]
    read = {name for path in sources for name in READS.findall(path.read_text())}
    documented = set(re.findall(r"`([A-Z_]+)`", (CHECKOUT / "docs" / "configuration.md").read_text()))
    assert read
    assert read - documented == set()
