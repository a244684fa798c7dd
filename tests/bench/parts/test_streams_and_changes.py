"""512 streams of tokens and 200 changes of the configuration at once: no frame is lost, no request fails.

As `make bench-gateway` does for a minute and 1,000 changes; times are not looked at here. Tensors come from the tests'
own backend, which needs no nginx.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.parts.changes import while_changing
from bench.targets.null import Null
from tests.servers.gateway.rig import Backend

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
STREAMS, CHANGES = 512, 200


def test_changes_lose_no_frame_of_512_streams_and_fail_no_request(tmp_path: Path) -> None:
    backends = [Backend.start("same"), Backend.start("same")]
    try:
        one, other = (Null(backend.endpoint, [backend.process.pid]) for backend in backends)
        result = while_changing(tmp_path, one, other, changes=CHANGES, at_once=STREAMS)
    finally:
        for backend in backends:
            backend.kill()
    assert result.whole, result
    assert result.streams["streams"] >= STREAMS, "each place had a stream that came to its end"
    assert result.streams["frames"] >= 20 * result.streams["streams"]
    assert min(result.requests["REST"], result.requests["gRPC"]) > CHANGES / 10, "however busy the machine is"
    assert result.seconds > 8, "so long takes it for all streams to begin"
