"""Whose address the gateway logs: the caller's behind proxies that an administrator named, else the peer's."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.gateway.snapshot import Snapshot
from tests.servers.gateway.rig import Backend, Gateway, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
NAMED = ("127.0.0.0/8", "10.1.0.0/16")
LISTS = ("198.51.100.1", "198.51.100.1, 203.0.113.7, 10.1.2.3", "10.1.2.4, 10.1.2.3", "nonsense", "")


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        ((), ["127.0.0.1"] * len(LISTS)),
        (("10.1.0.0/16",), ["127.0.0.1"] * len(LISTS)),
        (NAMED, ["198.51.100.1", "203.0.113.7", "10.1.2.4", "127.0.0.1", "127.0.0.1"]),
    ],
    ids=["nobody", "another proxy", "this proxy"],
)
def test_the_log_has_the_caller(tmp_path: Path, proxies: tuple[str, ...], expected: list[str]) -> None:
    with Backend.borrow("one") as backend:
        snapshot = Snapshot((snapshots.ready("mnist", backend.endpoint),), snapshots.KEYS)
        with Gateway.started(tmp_path / "g", snapshot, proxies=proxies) as gateway:
            for forwarded in LISTS:
                headers = {"X_Forwarded_For": forwarded, "X_API_Key": snapshots.TEAM}
                assert gateway.call("POST", "/v2/models/mnist/infer", b"{}", **headers).status == 200

            def logged() -> list[str]:
                return [line["remote"] for line in gateway.log_lines() if line["service"] == "mnist"]

            until(lambda: len(logged()) == len(LISTS))
            assert logged() == expected
            assert not any("x-forwarded-for" in call["headers"] for call in backend.seen())
