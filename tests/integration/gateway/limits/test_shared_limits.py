"""What a key has used up stays used up, whatever is published; keys that belong together count together."""

from __future__ import annotations

import socket
from dataclasses import replace

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from services.gateway import status
from services.gateway.snapshot import GatewayKey, Snapshot
from tests.integration.gateway.stage import Stage, infer_request, refused
from tests.servers.gateway.rig import Answer, Backend, until
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
OLD, NEW, CHILD, GRANDCHILD = ("isk_" + name * 3 + "_" + "0" * 49 for name in ("oldd", "neww", "chil", "gran"))
LONG = "20000"


def ask(stage: Stage, key: str, path: str = INFER, **headers: str) -> Answer:
    return stage.gateway.call("POST", path, b"{}", X_API_Key=key, **headers)


def publish(stage: Stage, snapshot: Snapshot) -> None:
    stage.gateway.publish(snapshot)
    until(lambda: status.loaded(stage.gateway.directory).current)


def granted(stage: Stage, key: str, most: int = 50) -> int:
    """How many requests in a row are let through."""
    count = 0
    while count < most and ask(stage, key).status == 200:
        count += 1
    return count


def test_nothing_that_is_published_refills_a_bucket(fresh_stage: Stage) -> None:
    stage, snapshot = fresh_stage, fresh_stage.snapshot
    old = snapshots.key(OLD, "vision", limit=3)
    new = replace(snapshots.key(NEW, "vision", limit=3), rate_bucket=old.id)
    rotated = replace(snapshot, keys=(*snapshot.keys, old, new))
    publish(stage, replace(snapshot, keys=(*snapshot.keys, old)))
    assert [ask(stage, OLD).status for _ in range(4)] == [200, 200, 200, 429]

    other = snapshots.key(CHILD, "vision", limit=7)
    changed = replace(snapshot.services[0], timeout_seconds=9)
    steps = {
        "rotated": rotated,
        "another limited key": replace(rotated, keys=(*rotated.keys, other)),
        "that one revoked": rotated,
        "a service changed": replace(rotated, services=(changed, *snapshot.services[1:])),
        "a service removed": replace(rotated, services=snapshot.services[:2]),
        "the old key revoked": replace(rotated, keys=(*snapshot.keys, new)),
        "and back": replace(rotated, keys=(*snapshot.keys, old)),
    }
    for step, next_snapshot in steps.items():
        publish(stage, next_snapshot)
        for key, row in ((OLD, old), (NEW, new)):
            if row in next_snapshot.keys:
                assert ask(stage, key).status == 429, step


@pytest.mark.parametrize("limit", [1, 2, 7, 60, 1000])
def test_a_limit_is_neither_more_nor_less_than_it_says(stage: Stage, limit: int) -> None:
    key = f"isk_limit{limit:07}_" + "0" * 49
    publish(stage, replace(stage.snapshot, keys=(*stage.snapshot.keys, snapshots.key(key, "vision", limit=limit))))
    first = ask(stage, key)
    assert (first.status, first.headers["x-ratelimit-limit"]) == (200, str(limit))
    assert first.headers["x-ratelimit-remaining"] == str(limit - 1)
    if limit < 100:  # of more than that some come back while they are sent
        assert granted(stage, key, limit + 1) == limit - 1
        last = ask(stage, key)
        assert (last.status, last.headers["x-ratelimit-remaining"]) == (429, "0")
        assert int(last.headers["retry-after"]) >= 60 / limit


def test_a_child_is_bounded_by_itself_and_by_what_made_it(fresh_stage: Stage) -> None:
    stage, snapshot = fresh_stage, fresh_stage.snapshot
    parent = snapshots.key(OLD, "vision", limit=6)
    children = [replace(snapshots.key(key, "vision", limit=2), rate_bucket=parent.id) for key in (CHILD, GRANDCHILD)]
    publish(stage, replace(snapshot, keys=(*snapshot.keys, parent, *children)))
    assert granted(stage, CHILD) == 2
    assert granted(stage, GRANDCHILD) == granted(stage, OLD) == 0, "two of two are the whole of it"
    assert ask(stage, OLD).headers["x-ratelimit-limit"] == "6"


def limited(secret: str, most: int, *slots: tuple[str, int]) -> GatewayKey:
    return replace(snapshots.key(secret, "vision"), max_concurrent=most, slots=slots)


def held(stage: Stage, key: str) -> socket.socket:
    """A request that a backend has and does not answer for a long time."""
    before = stage.count()
    connection = socket.create_connection(("127.0.0.1", stage.gateway.port), 10)
    head = (
        f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n"
        f"x-sleep-ms: {LONG}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    connection.sendall(head.encode())
    until(lambda: stage.count() > before)
    return connection


def test_requests_at_once_pass_the_limits_of_all_keys_above(fresh_stage: Stage) -> None:
    stage, snapshot = fresh_stage, fresh_stage.snapshot
    top, middle, low = OLD[4:16], CHILD[4:16], GRANDCHILD[4:16]
    keys = (
        limited(OLD, 3),
        limited(NEW, 3, (top, 3)),
        limited(CHILD, 2, (middle, 2), (top, 3)),
        limited(GRANDCHILD, 1, (low, 1), (middle, 2), (top, 3)),
    )
    publish(stage, replace(snapshot, keys=(*snapshot.keys, *keys)))
    assert [ask(stage, key).status for key in (OLD, NEW, CHILD, GRANDCHILD)] == [200] * 4
    open_ones = [held(stage, GRANDCHILD)]
    assert ask(stage, GRANDCHILD).status == 429, "its own"
    open_ones.append(held(stage, CHILD))
    assert ask(stage, CHILD).status == 429, "its own, with what its child has under way"
    open_ones.append(held(stage, NEW))
    assert [ask(stage, key).status for key in (OLD, NEW)] == [429, 429], "rotated ones are one"
    with stage.channel() as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        code, message, _ = refused(stub.ModelInfer, infer_request("mnist"), key=OLD)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "as many requests under way" in message
    assert ask(stage, snapshots.TEAM).status == 200
    # Publishing changes nothing of that.
    more = limited("isk_moremoremore_" + "0" * 49, 5)
    publish(stage, replace(snapshot, keys=(*snapshot.keys, *keys, more), services=snapshot.services[:3]))
    assert [ask(stage, key).status for key in (OLD, NEW, CHILD, GRANDCHILD)] == [429] * 4
    open_ones[0].close()
    until(lambda: ask(stage, GRANDCHILD).status == 200)
    open_ones[2].close()
    until(lambda: ask(stage, OLD).status == 200)
    open_ones[1].close()


def test_nobody_chooses_a_bucket_or_a_way_by_a_header(fresh_stage: Stage) -> None:
    stage, snapshot = fresh_stage, fresh_stage.snapshot
    publish(stage, replace(snapshot, keys=(*snapshot.keys, limited(OLD, 1))))
    other = f"hop={NEW[4:16]}:99"
    forged = {"X_Console_Bucket": "another", "X_Console_Cost": "0", "X_Console_Hop": other, "X_Console_Hop_2": other}
    assert ask(stage, snapshots.TEAM, **forged).status == 200
    until(lambda: ask(stage, snapshots.LIMITED).status == 429)
    assert ask(stage, snapshots.LIMITED, **forged).status == 429
    connection = held(stage, OLD)
    assert ask(stage, OLD, **forged).status == 429
    connection.close()
    assert stage.seen() and "x-console" not in str(stage.seen()).lower(), "nor does a backend see any of it"


def test_tokens_are_counted_with_those_of_the_key_before(fresh_stage: Stage) -> None:
    stage, snapshot = fresh_stage, fresh_stage.snapshot
    backend = Backend.start("text")
    try:
        old = replace(snapshots.key(OLD, "text"), tokens_per_minute=1)
        new = replace(snapshots.key(NEW, "text"), tokens_per_minute=1, tokens_bucket=old.id)
        service = snapshots.text("talk", backend.endpoint)
        publish(stage, replace(snapshot, services=(*snapshot.services, service), keys=(*snapshot.keys, old, new)))
        chat = b'{"model": "talk", "messages": [{"role": "user", "content": "hi"}]}'

        def talk(key: str) -> int:
            return stage.gateway.call(
                "POST", "/v1/chat/completions", chat, X_API_Key=key, Content_Type="application/json"
            ).status

        until(lambda: talk(OLD) == 429)
        assert talk(NEW) == 429
        publish(stage, replace(snapshot, services=(*snapshot.services, service), keys=(*snapshot.keys, new)))
        assert talk(NEW) == 429
    finally:
        backend.kill()
