"""Whether replicas are put in boxes: each setting, on machines that can and that cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.home import Home
from services.engines.base import Site
from services.engines.local import LocalEngine, box, sandboxes
from services.engines.local.sandboxes import AUTO, OFF, REQUIRE

Refuses = Callable[[str], None]


@pytest.fixture(autouse=True)
def tried_anew() -> Iterator[None]:
    sandboxes.problem.cache_clear()
    yield
    sandboxes.problem.cache_clear()


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A bwrap on PATH, and none in a wheel."""
    monkeypatch.setattr(box, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None)))
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(script: str) -> Path:
        path = tmp_path / "bwrap"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return path

    return put


@pytest.fixture
def refuses(on_path: Callable[[str], Path]) -> Refuses:
    return lambda words: on_path(f"echo 'bwrap: {words}' >&2; exit 1") and None


def boxed() -> list[bool]:
    return [sandboxes.containment(choice).boxed for choice in (AUTO, REQUIRE, OFF)]


def test_where_a_box_can_be_had_it_is_used_unless_it_is_off(on_path: Callable[[str], Path]) -> None:
    on_path("exit 0")
    assert sandboxes.problem() == ""
    assert boxed() == [True, True, False]
    assert sandboxes.containment(OFF).sentence.startswith("REPLICA_SANDBOX is off: ")


def test_where_it_cannot_be_had_the_sentence_says_why(refuses: Refuses) -> None:
    refuses("setting up uid map: Permission denied")
    assert boxed() == [False, False, False]
    for choice in (AUTO, REQUIRE):
        sentence = sandboxes.containment(choice).sentence
        assert sentence.startswith("This machine makes no box for a replica: bwrap: setting up uid map: Permission")
    assert "This machine" not in sandboxes.containment(OFF).sentence


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("setting up uid map: Permission denied", "kernel.apparmor_restrict_unprivileged_userns=0"),
        ("No permissions to creating new namespace, likely because the kernel does not", "seccomp profile"),
        (
            "Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
            "`sysctl user.max_user_namespaces=10000`",
        ),
    ],
)
def test_what_bubblewrap_says_comes_with_what_to_do(refuses: Refuses, words: str, hint: str) -> None:
    refuses(words)
    assert sandboxes.problem().startswith(f"bwrap: {words}")
    assert hint in sandboxes.problem()


def test_a_sentence_of_bubblewrap_gets_no_second_full_stop(refuses: Refuses) -> None:
    refuses("No permissions to creating new namespace. Enable it with sysctl kernel.unprivileged_userns_clone=1.")
    assert "clone=1. In a container" in sandboxes.problem()


def test_words_without_a_hint_are_passed_on(refuses: Refuses) -> None:
    refuses("Cannot mount proc on /newroot/proc")
    assert sandboxes.problem() == "bwrap: Cannot mount proc on /newroot/proc."


def test_one_that_says_nothing_is_named_by_its_exit_status(on_path: Callable[[str], Path]) -> None:
    on_path("exit 3")
    assert sandboxes.problem() == "exit status 3."


def test_without_bubblewrap_it_says_how_to_get_it(tmp_path: Path, on_path: Callable[[str], Path]) -> None:
    assert sandboxes.problem().startswith("bubblewrap is not installed.")
    assert "make run" in sandboxes.problem()


def test_one_that_cannot_be_started_or_hangs_is_a_problem(
    on_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path("").write_text("#!/no/such/shell\n")
    assert sandboxes.problem().startswith("bubblewrap did not start: ")
    sandboxes.problem.cache_clear()

    def hangs(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(sandboxes, "subprocess", SimpleNamespace(run=hangs, TimeoutExpired=subprocess.TimeoutExpired))
    assert "timed out" in sandboxes.problem()


def test_the_machine_is_tried_once(on_path: Callable[[str], Path], tmp_path: Path) -> None:
    on_path(f"echo x >> '{tmp_path}/count'; exit 0")
    for _ in range(3):
        assert sandboxes.containment(AUTO).boxed
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_replica_sees_its_files_where_the_box_has_them_or_where_they_are(
    on_path: Callable[[str], Path], tmp_path: Path
) -> None:
    on_path("exit 0")
    home = Home(root=tmp_path, runtimes=tmp_path / "runtimes")
    assert LocalEngine(home, AUTO).site("svc-a-r1-0", Path("/tree")) == box.SITE
    assert LocalEngine(home, OFF).site("svc-a-r1-0", Path("/tree")) == Site(Path("/tree"), home.replicas / "svc-a-r1-0")


def test_the_bubblewrap_of_the_wheel_comes_before_the_one_on_path(
    tmp_path: Path, on_path: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert box.find_bwrap() is None
    system = on_path("exit 0")
    assert box.find_bwrap() == system
    wheel = tmp_path / "wheel"
    (wheel / "_bin").mkdir(parents=True)
    (wheel / "_bin" / "bwrap").touch()
    spec = SimpleNamespace(submodule_search_locations=[str(wheel)])
    monkeypatch.setattr(box, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: spec)))
    assert box.find_bwrap() == wheel / "_bin" / "bwrap"
