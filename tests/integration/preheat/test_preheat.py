"""Preheating with a real worker, a real beat and a real redis: workers and redis are killed with -9."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from datasets.preheat.copying.copy import PIECE
from datasets.preheat.store import upkeep
from tests.integration.preheat.plane import MIB, Plane, end, start_plane, wait_until

pytestmark = [pytest.mark.integration]
SIZE = 48 * MIB


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with start_plane() as plane:
        yield plane


@pytest.fixture
def model(plane: Plane, request: pytest.FixtureRequest) -> str:
    """Its folder: a file that takes some seconds to copy."""
    folder = plane.models / request.node.name
    folder.mkdir()
    (folder / "weights.bin").write_bytes(os.urandom(SIZE))
    return folder.name


def done(plane: Plane, pk: int) -> dict[str, Any]:
    """The round, once it is done. Meanwhile there is always a worker."""

    def is_done(row: dict[str, Any]) -> bool:
        return bool(plane.workers() and row["state"] == "DONE")

    row = plane.wait(pk, is_done)
    assert upkeep.verify(plane.store, row["tree"]) == []
    return row


def test_a_killed_worker_is_resumed_by_the_next_inside_the_same_file(plane: Plane, model: str) -> None:
    plane.workers()
    published = plane.published()
    pk = plane.request(model, f"{model}/", f"./{model}")  # people who ask at once get the same round
    wait_until(lambda: plane.bytes_staged(pk) >= 4 * PIECE)
    for worker in plane.workers():
        end(worker)
    left, bytes_staged = plane.round(pk), plane.bytes_staged(pk)
    assert left["state"] == "COPYING"
    assert bytes_staged < SIZE
    assert plane.published() == published

    row = done(plane, pk)
    assert row["lease_token"] != left["lease_token"]
    assert row["attempts"] == 0
    wait_until(lambda: str(pk) not in plane.store.staging_names())
    # What the second worker copied is what was missing: of what was on its way, at most a piece for each stream.
    assert row["bytes_copied"] - left["bytes_copied"] <= SIZE - bytes_staged


def test_a_redis_that_is_killed_and_comes_back_empty_costs_nothing(plane: Plane, model: str) -> None:
    plane.workers()
    (plane.models / "small.bin").write_bytes(os.urandom(MIB))
    pk = plane.request(model)
    wait_until(lambda: plane.bytes_staged(pk) > 0)
    end(plane.broker)
    plane.home.redis_socket.unlink(missing_ok=True)
    wait_until(lambda: plane.bytes_staged(pk) > SIZE // 2)  # it goes on without
    unheard = plane.request("small.bin")
    plane.redis()
    row = done(plane, pk)
    assert (row["bytes_copied"], row["attempts"]) == (SIZE, 0)
    assert done(plane, unheard)["bytes_copied"] == MIB  # the sweep found it
    again = plane.request("small.bin")
    assert again != unheard
    assert done(plane, again)["bytes_copied"] == 0


def test_two_workers_that_get_the_message_many_times_copy_once(plane: Plane, model: str) -> None:
    pk = plane.request(model)
    plane.deliver(pk, 20)
    plane.workers(2)
    wait_until(lambda: plane.bytes_staged(pk) > 0)
    owner = plane.round(pk)["lease_token"]
    plane.deliver(pk, 20)
    row = done(plane, pk)
    assert (row["lease_token"], row["bytes_copied"]) == (owner, SIZE)
    plane.deliver(pk, 5)  # also when it is over
    assert done(plane, plane.request(model))["bytes_copied"] == 0
    assert plane.round(pk) == row
