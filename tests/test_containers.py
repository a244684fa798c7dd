"""Dockerfile and docker-compose.yml as data: no Docker engine is needed, and none of this proves that they run."""

from __future__ import annotations

import re
from typing import Any

import yaml

from console.home import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    return loaded


def test_all_that_the_image_copies_is_there() -> None:
    copied = re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)
    assert copied
    assert [name for name in copied if not (CHECKOUT / name).exists()] == []


def test_the_containers_set_only_documented_variables() -> None:
    documented = set(re.findall(r"`([A-Z_]+)`", (CHECKOUT / "docs" / "configuration.md").read_text()))
    in_image = set(re.findall(r"\b([A-Z_]+)=", DOCKERFILE)) - {"PYTHONUNBUFFERED"}
    in_compose = set(compose()["services"]["console"]["environment"])
    assert in_image | in_compose <= documented


def test_no_container_is_reachable_from_other_machines_by_default() -> None:
    for service in compose()["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_no_password_is_written_down() -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    assert re.findall(r"PASSWORD: (?!\$\{POSTGRES_PASSWORD:\?)", text) == []
