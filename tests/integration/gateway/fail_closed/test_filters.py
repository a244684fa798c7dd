"""What a native filter is for, shown by leaving it out: which calls then pass that must not, and which do not.

The api-key filter and the scripts are in test_broken_parts.py: without any of them nobody passes at all. A wrong key
passes in no case. But the two grants are who may call what, and no third part looks again: `grant-early` alone where
the headers name the service and no body is looked at, `grant` alone where the body names it or is a small V2 one.
Envoy leaves out no filter by itself, so this is a mistake in the configuration, and the last test is against that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.gateway.envoy import names
from services.gateway.envoy.filters import http_filters
from services.gateway.snapshot import Limits
from tests.integration.gateway.doors import BOTH, CHAT, Doors
from tests.integration.gateway.stage import infer_request
from tests.integration.gateway.test_bridged import TF, V2, call, predict_request
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
ASKED = {"model": "llama", "messages": []}


def posted(path: str) -> Callable[[Doors, str], None]:
    return lambda doors, key: doors.gateway.call("POST", path, b"{}", X_API_Key=key) and None


def got(path: str) -> Callable[[Doors, str], None]:
    return lambda doors, key: doors.gateway.call("GET", path, X_API_Key=key) and None


def chat(path: str) -> Callable[[Doors, str], None]:
    return lambda doors, key: doors.post(path, ASKED, key=key) and None


def called(method: str, message: bytes) -> Callable[[Doors, str], None]:
    return lambda doors, key: call(doors, method, message, key=key) and None


WAYS: dict[str, Callable[[Doors, str], None]] = {
    "v2-rest": posted("/v2/models/mnist/infer"),
    "v2-rest metadata": got("/v2/models/mnist"),
    "v2-grpc": called(V2 + "ModelInfer", infer_request("mnist").SerializeToString()),
    "openai": chat(CHAT),
    "openai in the path": chat("/services/llama" + CHAT),
    "v1": posted("/v1/models/mnist:predict"),
    "catalogue": got("/v1/models/llama"),
    "tfserving": called(TF + "Predict", predict_request("mnist")),
    "llm-grpc": called(V2 + "ModelInfer", infer_request("llama").SerializeToString()),
}
STRANGERS = {
    "no key": "",
    "a wrong key": "isk_bad",
    "another team": snapshots.STRANGER,
    "no inference": snapshots.READER,
}
NAMED_IN_HEADERS = set(product(("no key", "another team", "no inference"), ("v1", "v2-rest metadata", "catalogue")))
NAMED_IN_BODY = set(product(("no key", "another team"), ("v2-grpc", "openai", "tfserving", "llm-grpc")))
SMALL_BODY = set(product(("no key", "another team", "no inference"), ("v2-rest",)))
EVERYBODY = set(product(("no key", "another team", "no inference"), WAYS))
OPENED: dict[tuple[str, ...], set[tuple[str, str]]] = {
    (): set(),
    (names.CALLER,): set(),
    (names.LIMITS,): set(),
    (names.RATE_LIMIT,): set(),
    (names.PARAMETERS,): set(),
    (names.CALLER, names.RATE_LIMIT, names.PARAMETERS): set(),
    (names.GRANT_EARLY,): NAMED_IN_HEADERS,
    (names.GRANT,): NAMED_IN_BODY | SMALL_BODY,
    (names.GRANT_EARLY, names.GRANT): EVERYBODY,
}
OFF_BY_DEFAULT = {names.BUFFER, names.BRIDGE}


def passes(doors: Doors, way: str, key: str) -> bool:
    before = doors.count()
    with suppress(grpc.RpcError):
        WAYS[way](doors, key)
    return doors.count() > before


@pytest.mark.parametrize("missing", OPENED, ids=lambda names: "+".join(names) or "none")
def test_what_passes_without_a_filter(doors: Doors, missing: tuple[str, ...]) -> None:
    def leave_out(manager: dict[str, Any]) -> None:
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] not in missing]

    doors.gateway.restart(leave_out)
    opened = {(who, way) for who, key in STRANGERS.items() for way in WAYS if passes(doors, way, key)}
    assert opened == OPENED[missing]
    assert all(passes(doors, way, BOTH) for way in WAYS)
    before = doors.count()
    doors.gateway.call("POST", "/v2/models/own/infer", b"{}", X_API_Key=BOTH)
    assert (doors.count() > before) is (names.PARAMETERS in missing)


def test_a_gateway_is_always_written_with_all_of_them(tmp_path: Path) -> None:
    written = http_filters(tmp_path, Limits())
    assert [each["name"] for each in written] == [
        names.CORS,
        names.DOOR,
        names.API_KEY,
        names.CALLER,
        names.LIMITS,
        names.GRANT_EARLY,
        names.RATE_LIMIT,
        names.BUFFER,
        names.FIELDS,
        names.RESOLVE,
        names.TYPED,
        names.GUARD,
        names.TEXT,
        names.PARAMETERS,
        names.GRANT,
        names.BRIDGE,
        "router",
    ]
    assert {each["name"] for each in written if each.get("disabled")} == OFF_BY_DEFAULT
    assert not [each for each in written if each.get("is_optional")]
    # Where no virtual host says who may, nobody may.
    nobody = [each["typed_config"] for each in written if each["name"] in (names.GRANT_EARLY, names.GRANT)]
    assert [each["rules"] for each in nobody] == [{"action": "ALLOW", "policies": {}}] * 2
