"""The real Envoy is asked about every golden case, and about configurations that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.errors import GatewayError
from services.gateway.binary import find_envoy
from services.gateway.envoy import names
from services.gateway.envoy.bootstrap import bootstrap
from services.gateway.envoy.document import Document
from services.gateway.render import Files, render
from services.gateway.snapshot import Snapshot
from services.gateway.validate import validate
from tests.services.gateway import snapshots


def check(files: Files, directory: Path) -> None:
    validate(files, bootstrap(directory, host="127.0.0.1", port=8080), find_envoy())


def broken(file: str, old: str, new: str) -> Files:
    files = render(snapshots.CASES["keys"])
    changed = Document.read(files[file].content.replace(old.encode(), new.encode()))
    assert changed != files[file]
    return {**files, file: changed}


@pytest.mark.parametrize("case", sorted(snapshots.CASES))
def test_envoy_takes_every_golden_case(case: str, tmp_path: Path) -> None:
    check(render(snapshots.CASES[case]), tmp_path)


@pytest.mark.slow
def test_envoy_takes_five_hundred_services(tmp_path: Path) -> None:
    check(render(snapshots.many(500)), tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        (names.ROUTES, "/v2/models/stats", "/v2/models/stats(", r"missing \)"),
        (names.ROUTES, "mnist-http", "nowhere", "nowhere"),
        (names.CLUSTERS, '"LEAST_REQUEST"', '"BEST"', "lb_policy|BEST"),
    ],
)
def test_a_mistake_in_any_dynamic_file_is_found_and_told(
    file: str, old: str, new: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(GatewayError, match=f"Envoy refuses.*({reason})"):
        check(broken(file, old, new), tmp_path)


def test_an_envoy_that_cannot_be_run_is_an_error_of_the_gateway(tmp_path: Path) -> None:
    static = bootstrap(tmp_path, host="127.0.0.1", port=8080)
    with pytest.raises(GatewayError, match="could not be run"):
        validate(render(Snapshot()), static, tmp_path / "absent")


def test_checking_leaves_nothing_in_the_gateway_directory(tmp_path: Path) -> None:
    check(render(snapshots.CASES["keys"]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_bootstrap_depends_only_on_its_arguments(tmp_path: Path) -> None:
    first, second = (bootstrap(tmp_path, host="127.0.0.1", port=8080) for _ in range(2))
    assert first == second
    assert json.loads(first)["admin"]["address"]["pipe"]["mode"] == 0o600
