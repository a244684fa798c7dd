from __future__ import annotations

import shlex
from configparser import RawConfigParser
from pathlib import Path

import pytest

from console.home import Home
from console.stack.programs import Doors, StackProgram, control_plane
from services.engines.local.program import Program, render
from services.errors import EngineError

DOORS = Doors("127.0.0.1", 8000, 8080)


def program(root: str = "/home/it", name: str = "svc-a-r1-0") -> Program:
    return Program(name=name, launch_file=Path(root) / "a.json", log=Path(root) / "a.log", digest="abc")


def parsed(text: str) -> dict[str, str]:
    """As supervisord reads it: comments cut off, then % expanded."""
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    [section] = parser.sections()
    return {name: raw % {} for name, raw in parser.items(section)}


@pytest.mark.parametrize("root", ["/home/it", "/home/with space", "/100%/%(here)s", "/it's", '/"q"/$HOME', "/a;b#c"])
def test_paths_arrive_as_they_are(root: str) -> None:
    options = parsed(render(program(root)))
    assert shlex.split(options["command"])[-1] == f"{root}/a.json"
    assert options["stdout_logfile"] == f"{root}/a.log"


@pytest.mark.parametrize("root", ["/a\nb", "/a ;b", "/a #b", "/a\x00"])
def test_paths_that_cannot_be_written_down_are_refused(root: str) -> None:
    with pytest.raises(EngineError, match="cannot be used"):
        render(program(root))


@pytest.mark.parametrize("name", ["", "A", "a b", "a]\n[supervisord", "-a", "a-"])
def test_names_that_are_not_dns_labels_are_refused(name: str) -> None:
    with pytest.raises(EngineError, match="cannot be the name"):
        render(program(name=name))


def test_a_program_is_stopped_with_all_its_children_and_started_again_when_it_ends() -> None:
    options = parsed(render(program()))
    assert options["stopasgroup"] == options["killasgroup"] == options["autorestart"] == "true"


def test_at_the_end_the_gateway_goes_before_the_replicas_and_redis_last() -> None:
    control = control_plane(Home(Path("/h"), Path("/r")), DOORS, "redis-server")
    from_stack = {each.name: each.priority for each in control}
    replica = int(parsed(render(program()))["priority"])
    assert from_stack.pop("redis") < replica < min(from_stack.values())
    assert replica < StackProgram("gateway", (), Path("/h")).priority
