"""A bucket behind a proxy that can misbehave, and a worker that preheats from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from console.accounts.principal import SYSTEM
from console.home import Home
from console.models import Team
from datasets.actions import datasets
from tests.integration.datasets.faults.worker import FaultyWorker
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket


@pytest.fixture
def home(tmp_path: Path, settings: Settings) -> Home:
    new_home = dataclasses.replace(settings.HOME, root=tmp_path / "home")
    settings.HOME = new_home
    settings.DATASET_ROOTS, settings.DATASET_ENDPOINTS = [tmp_path], ["127.0.0.1"]
    return new_home


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    """Between the worker and the bucket."""
    with Proxy(bucket.server.port) as running_proxy:
        yield running_proxy


@pytest.fixture
def worker(home: Home, team: Team, bucket: Bucket, proxy: Proxy) -> FaultyWorker:
    """Its dataset is the bucket, as the proxy shows it."""
    options = {**bucket.options, "endpoint": f"http://127.0.0.1:{proxy.port}"}
    credentials = {"secret_key": options.pop("secret_key")}
    dataset = datasets.create(
        team=team, name="bucket", kind="s3", options=options, credentials=credentials, actor=SYSTEM
    )
    return FaultyWorker(dataset)


@pytest.fixture
def disk_worker(home: Home, team: Team, tmp_path: Path) -> Callable[[dict[str, bytes]], FaultyWorker]:
    """Makes one whose dataset is a folder of this machine, with these files below `m`."""

    def make(contents: dict[str, bytes]) -> FaultyWorker:
        (tmp_path / "models" / "m").mkdir(parents=True)
        for name, content in contents.items():
            (tmp_path / "models" / "m" / name).write_bytes(content)
        options = {"path": str(tmp_path / "models")}
        return FaultyWorker(datasets.create(team=team, name="folder", kind="local", options=options, actor=SYSTEM))

    return make
