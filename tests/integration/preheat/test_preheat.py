"""Preheating with a real worker, a real beat and a real redis, in a home of its own; the worker is killed with -9."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets.preheat.copying.copy import PIECE
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store
from tests.integration.preheat.plane import MIB, Plane, is_done, on_disk, start_plane, wait_until

pytestmark = [pytest.mark.integration]


@pytest.fixture
def plane() -> Iterator[Plane]:
    with start_plane() as plane:
        yield plane


def a_model(plane: Plane, size: int) -> None:
    folder = plane.models / "large"
    folder.mkdir()
    block = os.urandom(MIB)
    with (folder / "weights.bin").open("wb") as stream:
        for number in range(size // MIB):
            stream.write(number.to_bytes(8, "big") + block[8:])
    (folder / "config.pbtxt").write_text("x")


def test_a_killed_worker_is_resumed_by_the_next_inside_the_same_file(plane: Plane) -> None:
    size = 320 * MIB
    a_model(plane, size)
    first = plane.worker()
    plane.beat()
    pk = plane.ask("large")
    store = Store(plane.home.store)
    staging = store.root / "staging" / str(pk)
    wait_until(lambda: on_disk(staging) >= 4 * PIECE)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    left, bytes_staged = plane.round(pk), on_disk(staging)
    assert left["state"] == "COPYING"
    assert bytes_staged < size
    assert not (store.root / "trees").exists()

    plane.worker()
    done = plane.wait(pk, is_done)
    assert done["lease_token"] != left["lease_token"]
    assert done["attempts"] == 0
    assert upkeep.verify(store, done["tree"]) == []
    assert store.staging_names() == []
    # What the second worker copied is what was missing: of what was on its way, at most a piece for each stream.
    assert done["bytes_copied"] - left["bytes_copied"] <= size + 1 - bytes_staged


def test_a_round_asked_for_while_redis_is_down_is_found_by_the_sweep(plane: Plane) -> None:
    a_model(plane, MIB)
    socket = plane.home.redis_socket
    wait_until(socket.exists)
    moved = socket.rename(socket.with_name("moved"))  # nobody answers at the broker's address
    started = time.monotonic()
    pk = plane.ask("large")
    assert time.monotonic() - started < 60
    moved.rename(socket)
    plane.worker()
    plane.beat()
    assert plane.wait(pk, is_done)["bytes_copied"] == MIB + 1
    again = plane.ask("large")
    assert again != pk
    assert plane.wait(again, is_done)["bytes_copied"] == 0


def test_people_who_ask_for_the_same_path_at_once_get_the_same_round(plane: Plane) -> None:
    a_model(plane, MIB)
    plane.ask("")  # makes the dataset
    with ThreadPoolExecutor(3) as people:
        rounds = set(people.map(plane.ask, ["large", "large/", "./large"]))
    assert len(rounds) == 1
