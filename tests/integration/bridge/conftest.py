"""The bridge in front of one Triton with all models of models.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.bridge import models
from tests.integration.bridge.rig import Bridge, entry, running
from tests.ports import free_ports
from tests.servers.triton import serve_several


@pytest.fixture(scope="package")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """Mark its tests xdist_group("bridge"). Nothing that they ask may leave a traceback."""
    root = tmp_path_factory.mktemp("bridge")
    trees = {**models.write(root / "models"), "rows": models.rows(root / "models")}
    services = {**{name: entry("triton") for name in (*trees, "gone")}, "tiny": entry("vllm", task="chat")}
    with serve_several(trees, root / "run") as triton:
        backends = {**dict.fromkeys(trees, triton.listeners.http.port), "gone": free_ports(1)[0]}
        with running(services, backends) as process:
            yield process
            assert "Traceback" not in process.log
