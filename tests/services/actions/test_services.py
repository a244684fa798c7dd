"""The verbs: who may, what each writes, and that a refusal leaves nothing half-made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from console.accounts.principal import Principal, for_user
from console.errors import Conflict, Forbidden, InvalidFields, NotFound
from console.models import Team
from datasets.models import Dataset, Round
from services import states
from services.actions import services as verbs
from services.control import publishing
from services.engines import base
from services.engines.base import Observation
from services.gateway.envoy import names
from services.gateway.render import render
from services.gateway.snapshot import Snapshot
from services.models import Replica, Revision, Service
from tests.services.world import ALL, ALL_BUT_THE_FIRST, World

Make = Callable[..., Service]


def refused(payload: dict[str, Any], team: Team, actor: Principal) -> dict[str, list[str]]:
    """What create said; asserts that nothing was made."""
    with pytest.raises(InvalidFields) as caught:
        verbs.create(payload, team=team, actor=actor)
    assert not Revision.objects.exists()
    assert not Round.objects.exists()
    return caught.value.errors


@pytest.mark.parametrize("person", ["bob", "charlie"])
def test_only_an_editor_of_the_team_creates(
    person: str, request: pytest.FixtureRequest, world: World, team: Team, payload: dict[str, Any]
) -> None:
    user: User = request.getfixturevalue(person)
    with pytest.raises(Forbidden):
        verbs.create(payload, team=team, actor=for_user(user))
    assert not Service.objects.exists()


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "delete"])
def test_a_viewer_may_do_none_of_it(verb: str, ready: Make, bob: User) -> None:
    service = ready()
    with pytest.raises(Forbidden, match="editor"):
        getattr(verbs, verb)(service, actor=for_user(bob))
    assert Service.objects.get().state == states.READY


def test_a_name_in_use_is_said(make: Make, team: Team, actor: Principal, payload: dict[str, Any]) -> None:
    make()
    with pytest.raises(InvalidFields, match="already a service named echo"):
        verbs.create(payload, team=team, actor=actor)


def test_an_unknown_dataset_is_said(world: World, team: Team, actor: Principal, payload: dict[str, Any]) -> None:
    errors = refused({**payload, "dataset": "nope"}, team, actor)
    assert errors["dataset"] == ["Team vision has no dataset named nope. Create it first, or choose another."]


def test_another_teams_dataset_is_as_good_as_unknown(
    world: World, other_team: Team, charlie: User, payload: dict[str, Any]
) -> None:
    errors = refused(payload, other_team, for_user(charlie))
    assert "no dataset named models" in errors["dataset"][0]


def test_a_path_that_is_not_there_is_said(world: World, team: Team, actor: Principal, payload: dict[str, Any]) -> None:
    assert "model_path" in refused({**payload, "model_path": "nope"}, team, actor)


def test_missing_model_files_are_named(
    world: World, team: Team, actor: Principal, payload: dict[str, Any], dataset: Dataset
) -> None:
    (Path(dataset.options["path"]) / "echo" / "1" / "model.py").unlink()
    assert "model.py" in refused(payload, team, actor)["model_path"][0]


def test_a_broken_config_is_said_with_its_line(
    world: World, team: Team, actor: Principal, payload: dict[str, Any], dataset: Dataset
) -> None:
    (Path(dataset.options["path"]) / "echo" / "config.pbtxt").write_text('backend: "python"\nmax_batch_size: many\n')
    message = refused(payload, team, actor)["model_path"][0]
    assert "config.pbtxt" in message
    assert "2" in message


def test_a_quota_that_can_never_fit_is_said(
    world: World, team: Team, actor: Principal, payload: dict[str, Any]
) -> None:
    errors = refused({**payload, "replicas": 3, "resources": {"cpu": 2}}, team, actor)
    assert "Queue default is too small: needs 6 CPU, 4 in all" in errors["resources"][0]


def test_an_unknown_queue_is_said_with_those_there_are(
    world: World, team: Team, actor: Principal, payload: dict[str, Any]
) -> None:
    assert "Queues: default" in refused({**payload, "queue": "gpu"}, team, actor)["queue"][0]


def test_stop_refuses_at_once_then_ends_the_processes(
    ready: Make, world: World, actor: Principal, published: list[Snapshot]
) -> None:
    service = ready()
    verbs.stop(service, actor=actor)
    assert Service.objects.get().state == states.STOPPING
    service = world.settle(service)
    assert service.state == states.STOPPED
    assert world.engine.stopped == ["svc-echo-r1-0"]
    assert not Replica.objects.exists()


def test_start_after_stop_needs_no_second_copy(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.stop(service, actor=actor)
    service = world.settle(service)
    verbs.start(service, actor=actor)
    assert world.settle(service).state == states.READY
    assert Round.objects.count() == 1


def test_delete_wants_the_name_typed(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    with pytest.raises(InvalidFields, match="Type the name"):
        verbs.delete(service, actor=actor, confirm="ech")
    verbs.delete(service, actor=actor, confirm="echo")
    world.converge(service)
    assert not Service.objects.exists()
    assert not world.engine.running


def test_a_verb_counts_although_the_service_moved_since_it_was_read(make: Make, world: World, actor: Principal) -> None:
    read = make()  # PREHEATING, as a page saw it
    assert world.converge(read).state == states.READY
    verbs.stop(read, actor=actor)
    stopped = world.converge(read)
    assert stopped.state == states.STOPPED
    verbs.start(read, actor=actor)
    assert world.converge(read).state == states.READY
    verbs.delete(stopped, actor=actor)
    for verb in (verbs.start, verbs.stop):
        with pytest.raises(Conflict, match="being deleted"):
            verb(read, actor=actor)
    world.converge(read)
    with pytest.raises(NotFound):
        verbs.delete(read, actor=actor)


def test_the_next_service_of_a_name_sees_no_log_of_the_one_before(ready: Make, world: World, actor: Principal) -> None:
    ready(name="echo-r1", resources={"cpu": 0.5})
    service = ready()
    verbs.delete(service, actor=actor)
    world.converge(service)
    assert world.engine.erased == ["svc-echo-r1-0"]
    assert "svc-echo-r1-r1-0" in world.engine.running


def test_scaling_up_keeps_the_replicas_that_run(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.scale(service, 3, actor=actor)
    service = world.converge(service)
    assert world.engine.applied == ["svc-echo-r1-0", "svc-echo-r1-1", "svc-echo-r1-2"]
    assert Revision.objects.count() == 1


def test_scaling_down_drains_the_last_ones(ready: Make, world: World, actor: Principal) -> None:
    service = ready(replicas=3)
    verbs.scale(service, 1, actor=actor)
    service = world.converge(service)
    assert list(world.engine.running) == ["svc-echo-r1-0"]
    assert service.state == states.READY


def test_scaling_beyond_the_quota_is_refused(ready: Make, actor: Principal) -> None:
    service = ready()
    with pytest.raises(InvalidFields, match="too small"):
        verbs.scale(service, 9, actor=actor)
    assert Service.objects.get().replicas == 1


def test_an_edit_serves_on_until_the_new_revision_answers(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    world.deaf.add(ALL_BUT_THE_FIRST)
    service = world.settle(service)
    service = world.converge(service)
    assert service.serving is not None
    assert service.serving.number == 1
    assert sorted(world.engine.running) == ["svc-echo-r1-0", "svc-echo-r2-0"]
    world.deaf.clear()
    service = world.converge(service)
    assert service.serving.number == 2
    assert list(world.engine.running) == ["svc-echo-r2-0"]
    assert service.state == states.READY


def test_a_revision_that_fails_leaves_the_old_one_serving(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    world.deaf.add(ALL_BUT_THE_FIRST)
    world.converge(service)
    world.engine.running["svc-echo-r2-0"] = Observation(base.FAILED, message="Exited too quickly")
    service = world.converge(service)
    assert service.state == states.READY
    assert service.serving is not None and service.target == service.serving
    assert service.serving.number == 1
    assert "Revision 2 failed, revision 1 goes on serving" in service.message


def test_a_revision_that_takes_too_long_to_start_leaves_the_old_one_serving(
    ready: Make, world: World, actor: Principal
) -> None:
    service = ready()
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    world.deaf.add(ALL_BUT_THE_FIRST)
    service = world.converge(service)
    assert service.target != service.serving
    Replica.objects.filter(revision=service.target).update(created_at=timezone.now() - timedelta(hours=1))
    service = world.converge(service)
    assert service.state == states.READY and service.target == service.serving
    assert "was not ready within 600 s" in service.message


def test_an_edit_that_changes_nothing_makes_no_revision(ready: Make, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, {"resources": {"cpu": 1}}, actor=actor)
    assert Revision.objects.count() == 1


def test_name_and_team_cannot_be_changed(ready: Make, actor: Principal) -> None:
    with pytest.raises(InvalidFields, match="Cannot be changed"):
        verbs.edit(ready(), {"name": "other"}, actor=actor)


def test_rollback_makes_a_new_revision_of_the_old_spec(ready: Make, world: World, actor: Principal) -> None:
    service = ready()
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    service = world.converge(service)
    verbs.rollback(service, 1, actor=actor)
    newest = Revision.objects.order_by("-number").first()
    assert newest is not None
    assert (newest.number, newest.spec["env"], newest.note) == (3, {}, "Rolled back to revision 1")


def test_rollback_brings_back_the_files_too(ready: Make, world: World, actor: Principal, dataset: Dataset) -> None:
    service = ready()
    model = Path(dataset.options["path"]) / "echo" / "1" / "model.py"
    model.write_text(model.read_text() + "# overwritten in place\n")
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    model.unlink()
    verbs.rollback(service, 1, actor=actor)
    service = world.converge(service)
    trees = dict(Revision.objects.values_list("number", "tree"))
    assert trees[3] == trees[1] != trees[2]
    assert service.serving is not None
    assert service.serving.number == 3


def test_restart_of_one_that_is_starting_is_a_conflict(make: Make, actor: Principal) -> None:
    with pytest.raises(Conflict, match="PREHEATING"):
        verbs.restart(make(), actor=actor)


def test_an_edit_before_it_serves_starts_over_with_the_new_spec(make: Make, world: World, actor: Principal) -> None:
    service = world.preheat(make())
    world.deaf.add(ALL)
    service = world.settle(service)
    assert service.state == states.STARTING
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    world.deaf.clear()
    service = world.converge(service)
    assert service.state == states.READY
    assert list(world.engine.running) == ["svc-echo-r2-0"]


def test_a_change_of_state_before_it_is_ready_changes_nothing_at_the_gateway(make: Make, world: World) -> None:
    service = world.settle(make())
    assert service.state == states.PREHEATING
    before = render(publishing.snapshot())
    assert "The service echo is not ready." in str(before[names.ROUTES])
    for state in (states.QUEUED, states.STARTING):
        Service.objects.filter(pk=service.pk).update(state=state)
        assert render(publishing.snapshot()) == before, state
