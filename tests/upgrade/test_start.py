"""The whole stack starts in the home of an earlier release, and serves what was served there."""

from __future__ import annotations

import pytest

from console.first_run import credentials
from tests.integration.live import Answer, Live, send
from tests.integration.stack_run import stack
from tests.servers.triton import runtime_root
from tests.upgrade import earlier
from tests.upgrade.earlier import CALLS

pytestmark = pytest.mark.integration


def test_what_ran_runs_again_with_its_keys_and_its_usage() -> None:
    runtime_root()
    with stack() as running:
        home = earlier.restore(running.home.root, running.home.runtimes)
        urls = {"console_url": running.console_port, "gateway_url": running.gateway_port}
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in urls.items()}
        credentials.write(home.credentials, {**addresses, "api_key": earlier.keys()["first run"]})
        running.extra["DATABASE_URL"] = ""  # the home's own
        running.start()
        running.wait_until_up()
        live = Live(running)
        live.until(lambda: infer(live).status, lambda status: status == 200)
        assert infer(live).body["outputs"][0]["data"] == [1.5, 2.5]
        assert live.infer("echo", key=earlier.keys()["revoked"]).status == 401
        assert live.wait("echo")["serving_revision"] == 3
        live.until(lambda: succeeded(live), lambda count: count == CALLS + 2)


def infer(live: Live) -> Answer:
    body = {"inputs": [{"name": "IN", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]}]}
    headers = {"X-Shop-Key": earlier.keys()["shop front"], "X-Tenant": "shop"}
    return send(f"{live.gateway}/v2/models/echo/infer", body, headers=headers)


def succeeded(live: Live) -> int:
    rows = live.api("usage/?service=echo&from=2026-01-01T00:00:00Z").body["results"]
    return sum(int(row["used"]["succeeded"]) for row in rows)
