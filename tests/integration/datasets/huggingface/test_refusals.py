"""What the Hub refuses, and what passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.sources.base import Site
from datasets.sources.huggingface.source import HuggingFaceSource
from tests.integration.datasets.huggingface.asking import Make, named, refused, whole
from tests.servers.hub import Hub

pytestmark = pytest.mark.integration


def test_a_gated_repository_is_refused_when_it_is_planned(server: Hub, source: Make, model: Path) -> None:
    server.push("org/gated", model, gated=True, readers=["hf_in"])
    repository = source("org/gated")
    assert repository.list("").total == 4, "its listing is open"
    for call in (repository.check, lambda: repository.plan(""), lambda: repository.read("config.json", 1)):
        error = refused(call)
        assert "org/gated is gated" in error.message
        assert f"{server.url}/org/gated" in error.hint
    assert "account of this token" in refused(lambda: source("org/gated", token="hf_out").plan("")).message
    assert source("org/gated", token="hf_in").plan("")


def test_access_that_is_taken_away_meanwhile_is_said_in_the_same_words(server: Hub, source: Make, model: Path) -> None:
    server.push("org/closing", model)
    repository = source("org/closing")
    plan = repository.plan("")
    server.change("org/closing", gated=True)
    for path in ("config.json", "model.safetensors", "onnx/model.onnx"):
        error = refused(lambda path=path: repository.open(named(plan, path), ""))  # type: ignore[misc]
        assert "org/closing is gated" in error.message
        assert error.permanent


def test_what_is_not_there_is_named(server: Hub, source: Make, model: Path) -> None:
    server.push("org/hidden", model, private=True, readers=["hf_in"])
    for repository in ("org/none", "org/hidden"):
        assert f"no model repository {repository}" in refused(source(repository).check).message
        assert "account of this token" in refused(source(repository, token="hf_out").check).message
    assert "no branch, tag or commit v9" in refused(source(revision="v9").check).message
    huggingface = source()
    assert "no nothing.txt" in refused(lambda: huggingface.plan("nothing.txt")).message
    assert "no none/at/all" in refused(lambda: huggingface.list("none/at/all")).message
    assert "no none.json" in refused(lambda: huggingface.read("none.json", 1)).message


def test_a_token_that_the_hub_does_not_know_is_said_to_be_wrong(source: Make) -> None:
    error = refused(source(token="hf_revoked").check)
    assert "does not accept the token" in error.message
    assert "hf_revoked" not in str(error)


def test_a_repository_that_was_renamed_is_found_at_its_new_name(server: Hub, source: Make, model: Path) -> None:
    server.push("org/new-name", model)
    server.push("org/old-name", model, moved="org/new-name")
    repository = source("org/old-name")
    for file in repository.plan("").files:
        assert whole(repository, file) == (model / file.path).read_bytes()


def test_a_disabled_repository_is_refused(server: Hub, source: Make, model: Path) -> None:
    server.push("org/disabled", model, disabled=True)
    assert "disabled" in refused(source("org/disabled").check).message


def test_a_server_that_is_no_hub_is_found_out(server: Hub, model: Path) -> None:
    site = Site(endpoints=server.endpoints)
    for body in (b"<html>hello</html>", b"[]", b'{"id": "org/name"}'):
        server.set(faults=[{"match": "/revision/", "status": 200, "body": body.decode()}])
        repository = HuggingFaceSource({"repository": "org/name", "endpoint": server.url}, site)
        assert "as a Hugging Face Hub does" in refused(repository.check).message


@pytest.mark.parametrize("match", ["/api/models/", "/resolve/"])
def test_a_hub_that_is_asked_too_often_says_how_long_to_wait(
    server: Hub, source: Make, model: Path, match: str
) -> None:
    repository = source()
    plan = repository.plan("")
    server.set(faults=[{"match": match, "status": 429, "headers": {"RateLimit": '"resolvers";r=0;t=41'}}])
    operation = (
        repository.plan
        if match == "/api/models/"
        else lambda path: repository.open(named(plan, "model.safetensors"), path)
    )
    error = refused(lambda: operation(""))
    assert not error.permanent
    assert error.wait == 41
    small = refused(lambda: repository.open(named(plan, "config.json"), "")) if match == "/resolve/" else error
    assert not small.permanent
    assert small.wait == 41


def test_nothing_is_tried_again_by_the_source(server: Hub, source: Make) -> None:
    server.set(faults=[{"match": "/tree/", "status": 503}])
    assert not refused(lambda: source().plan("")).permanent
    assert len([line for line in server.requests("hub") if "/tree/" in line["path"]]) == 1


def test_a_connection_that_breaks_is_worth_another_try(server: Hub, source: Make, model: Path) -> None:
    repository = source()
    plan = repository.plan("")
    for match, call in (
        ("/revision/", lambda: repository.plan("")),
        ("/resolve/", lambda: repository.open(named(plan, "model.safetensors"), "")),
        ("/resolve/", lambda: repository.open(named(plan, "config.json"), "")),
    ):
        server.set(faults=[{"match": match, "status": 0}])
        assert not refused(call).permanent


def test_a_storage_that_breaks_off_is_worth_another_try(server: Hub, source: Make, model: Path) -> None:
    server.push("org/cut", model)
    repository = source("org/cut")
    file = named(repository.plan(""), "model.safetensors")
    server.set(cut_after=100_000)
    assert not refused(lambda: whole(repository, file)).permanent
    server.set(cut_after=None)
    assert whole(repository, file) == (model / "model.safetensors").read_bytes()
