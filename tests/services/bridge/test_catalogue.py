from __future__ import annotations

import pytest

from services.bridge import catalogue
from services.bridge.table import Table, parse
from services.gateway import bridge_table
from services.gateway.envoy import auth, names
from services.gateway.snapshot import GatewayKey, GatewayService, Snapshot

SERVICES = (
    GatewayService(
        "chat",
        "a team",
        False,
        True,
        framework="vllm",
        task="chat",
        adapters=("poems",),
        max_model_len=256,
        created=7,
        uid="1",
    ),
    GatewayService("other", "b", False, True, uid="2"),
    GatewayService("open", "b", True, False, uid="3"),
)
TABLE: Table = parse(bridge_table.render(Snapshot(services=SERVICES)))


def caller(team: str, *services: str, can_infer: bool = True) -> str:
    return auth.caller(GatewayKey("abcdefghijkl", "0" * 64, team, services, can_infer))


@pytest.mark.parametrize(
    ("who", "names"),
    [
        (caller("a team"), ["chat", "chat:poems", "open"]),
        (caller("b"), ["open", "other"]),
        (caller("*"), ["chat", "chat:poems", "open", "other"]),
        (caller("b", "2"), ["open", "other"]),
        (caller("b", "other"), ["open"]),  # a name is no grant: the next service may have it
        (caller("a"), ["open"]),  # another team, whose name begins alike
        (caller("a team", can_infer=False), ["open"]),
        (f"{names.KEYLESS};", ["open"]),
        ("", ["open"]),
    ],
)
def test_a_caller_sees_what_the_gateway_would_let_it_use(who: str, names: list[str]) -> None:
    listing = catalogue.listing(TABLE, who)
    assert listing["models"] == [entry["id"] for entry in listing["data"]] == names
    for name in ("chat", "chat:poems", "other", "open"):
        assert (catalogue.one(TABLE, who, name) is not None) == (name in names)


def test_an_object_is_read_by_both_kinds_of_clients() -> None:
    assert catalogue.one(TABLE, caller("*"), "chat:poems") == {
        "id": "chat:poems",
        "object": "model",
        "created": 7,
        "owned_by": "inference-console",
        "name": "chat:poems",
        "ready": True,
        "task": "chat",
        "max_model_len": 256,
        "parent": "chat",
    }
    assert catalogue.listing(TABLE, "")["object"] == "list"


@pytest.mark.parametrize("name", ["", ":", "chat:", "chat:prose", "chat:poems:x", "no"])
def test_other_names_are_not_there(name: str) -> None:
    assert catalogue.one(TABLE, caller("*"), name) is None
