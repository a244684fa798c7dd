from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from console.files import replace
from services.bridge.table import Table, TableFile, parse
from services.gateway import bridge_table
from services.gateway.snapshot import GatewayService, Snapshot

SERVICES = (
    GatewayService(
        "tiny",
        "a",
        False,
        True,
        framework="vllm",
        task="chat",
        adapters=("x",),
        max_model_len=256,
        created=7,
        revision=3,
    ),
    GatewayService("svm", "b", True, False),
)


def write(path: Path, *services: GatewayService) -> None:
    replace(path, bridge_table.render(Snapshot(services=services)))


def test_what_the_publisher_writes_is_read_whole(tmp_path: Path) -> None:
    table = parse(bridge_table.render(Snapshot(services=SERVICES)))
    tiny = table.services["tiny"]
    assert (tiny.framework, tiny.task, tiny.adapters, tiny.max_model_len) == ("vllm", "chat", ("x",), 256)
    assert (tiny.team, tiny.public, tiny.ready, tiny.created, tiny.revision) == ("a", False, True, 7, 3)
    svm = table.services["svm"]
    assert (svm.framework, svm.not_ready, svm.max_model_len) == ("triton", "The service svm is not ready.", None)


def test_a_new_service_is_found_at_once_and_one_that_went_at_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "bridge.json"
    watch = TableFile(path)
    assert watch.find("tiny") is None
    write(path, *SERVICES)
    assert watch.find("tiny") is not None
    write(path, SERVICES[1])
    assert watch.refresh()
    assert watch.find("tiny") is None
    assert not watch.refresh()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"version": "1"}', b'{"version": "1", "services": {"x": {}}}', b"\xff"]
)
def test_a_bad_file_keeps_the_last_good_table_and_is_logged_once(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bridge.json"
    write(path, *SERVICES)
    watch = TableFile(path)
    watch.refresh()
    replace(path, content)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not watch.refresh()
    assert sorted(watch.table.services) == ["svm", "tiny"]
    assert len(caplog.records) == 1
    write(path, SERVICES[0])
    assert watch.refresh()
    assert sorted(watch.table.services) == ["tiny"]


def test_fields_of_a_later_release_do_no_harm() -> None:
    data = json.loads(bridge_table.render(Snapshot(services=SERVICES)))
    data["more"] = data["services"]["tiny"]["more"] = 1
    assert isinstance(parse(json.dumps(data).encode()), Table)
