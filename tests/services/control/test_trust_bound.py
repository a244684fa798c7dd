"""Trust and permission are bound to what they were given for, whatever changes underneath."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from console import roles
from console.accounts.principal import Principal, for_user
from console.errors import Conflict, InvalidFields
from console.models import Membership, Team
from datasets.actions import datasets, trust
from datasets.jobs import copying
from datasets.models import Dataset, Round
from services import states
from services.actions import services as verbs
from services.clients.probes import openai_health
from services.frameworks import warming
from services.frameworks.vllm.framework import Vllm
from services.models import Queue, Service
from services.specs import Launch
from tests.services import llama_folder
from tests.services.conftest import CONFIG
from tests.services.world import World

Make = Callable[..., Service]


@pytest.fixture
def editor(bob: User) -> Principal:
    Membership.objects.filter(user=bob).update(role=roles.EDITOR)
    return for_user(bob)


def model(folder: Path, code: str = "class TritonPythonModel:\n    pass\n") -> Path:
    (folder / "echo" / "1").mkdir(parents=True, exist_ok=True)
    (folder / "echo" / "config.pbtxt").write_text(CONFIG)
    (folder / "echo" / "1" / "model.py").write_text(code)
    return folder


@pytest.fixture
def program(dataset: Dataset) -> Path:
    return Path(dataset.options["path"]) / "echo" / "1" / "model.py"


@pytest.fixture
def elsewhere(dataset: Dataset) -> dict[str, Any]:
    """Options of a folder of the editor's own, with another program."""
    return {"path": str(model(Path(dataset.options["path"]).parent / "mine", "evil = True\n"))}


def why(service: Service) -> str:
    newest = service.revisions.order_by("-number").first()
    assert newest is not None and service.serving is not None and service.serving.number < newest.number
    return str(newest.failed)


def test_an_editor_cannot_have_other_code_run_by_pointing_the_dataset_to_it(
    world: World, ready: Make, dataset: Dataset, editor: Principal, elsewhere: dict[str, Any], payload: dict[str, Any]
) -> None:
    service = ready()
    datasets.update(dataset, actor=editor, options=elsewhere)
    with pytest.raises(InvalidFields, match="models is not trusted"):
        verbs.create({**payload, "name": "second"}, team=dataset.team, actor=editor)
    verbs.restart(service, actor=editor)
    assert "dataset models is not trusted. 1/model.py" in why(world.converge(service))
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_what_was_copied_from_the_trusted_location_is_served_wherever_the_dataset_points(
    world: World, ready: Make, dataset: Dataset, actor: Principal, editor: Principal, elsewhere: dict[str, Any]
) -> None:
    service = ready()
    verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    world.converge(service)
    datasets.update(dataset, actor=editor, options=elsewhere)
    verbs.rollback(service, 1, actor=editor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.number == 3
    verbs.stop(service, actor=editor)
    world.converge(service)
    verbs.start(Service.objects.get(), actor=editor)
    assert world.converge(service).state == states.READY


def test_files_from_a_location_that_is_not_trusted_stay_so_when_the_dataset_comes_back(
    world: World, ready: Make, dataset: Dataset, editor: Principal, elsewhere: dict[str, Any]
) -> None:
    trusted, service = dataset.options, ready()
    datasets.update(dataset, actor=editor, options=elsewhere)
    verbs.restart(service, actor=editor)
    service = world.converge(service)
    evil = Round.objects.latest("pk")
    service.revisions.filter(number=2).update(tree=evil.tree, location=evil.location)
    dataset.refresh_from_db()
    datasets.update(dataset, actor=editor, options=trusted)
    verbs.rollback(service, 2, actor=editor)
    assert "were copied from a location that is not trusted" in why(world.converge(service))


def test_a_round_that_copied_while_the_dataset_was_changed_is_judged_by_where_it_read(
    world: World, make: Make, dataset: Dataset, elsewhere: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = dataset.options

    def plan_then_point_back(job: Any, plan: Any = copying._plan) -> Any:
        Dataset.objects.update(options=trusted)
        return plan(job)

    service = make()
    world.settle(service)
    Dataset.objects.update(options=elsewhere)
    monkeypatch.setattr(copying, "_plan", plan_then_point_back)
    service = world.converge(service)
    assert service.state == states.FAILED and "a location that is not trusted" in service.message


def test_a_dataset_made_anew_under_the_same_name_is_not_the_one_that_a_service_uses(
    world: World, ready: Make, dataset: Dataset, actor: Principal, elsewhere: dict[str, Any]
) -> None:
    service = ready()
    dataset.delete()
    other = datasets.create(team=service.team, name="models", kind="local", options=elsewhere, actor=actor)
    trust.trust(other, actor=actor)
    service.refresh_from_db()
    with pytest.raises(InvalidFields, match="Dataset models of revision 1 was deleted"):
        verbs.edit(service, {"env": {"LEVEL": "2"}}, actor=actor)
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert "Dataset models is gone" in why(service)
    verbs.edit(service, {"dataset": "models"}, actor=actor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.dataset == other, "somebody chose it"


def test_code_that_changed_at_the_source_is_not_run_until_it_is_trusted(
    world: World, ready: Make, dataset: Dataset, actor: Principal, program: Path
) -> None:
    service = ready()
    program.write_text("evil = True\n")
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert "is not what its owner trusted: echo/1/model.py was changed or added after trust was given" in why(service)
    assert "ask an owner of team vision to trust dataset models" in why(service)
    trust.trust(dataset, actor=actor)
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.number == 3
    verbs.rollback(service, 1, actor=actor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.number == 4, "what was trusted once still is"


def test_data_may_change_and_other_folders_have_a_first_copy_of_their_own(
    world: World, ready: Make, dataset: Dataset, actor: Principal, program: Path
) -> None:
    service = ready()
    (program.parent / "labels.txt").write_text("a\nb\n")
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.number == 2
    model(program.parents[2] / "more")
    assert ready(name="second", model_path="more/echo").state == states.READY


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("helper.py", b"evil = True\n"),
        ("weights.pkl", b"\x80\x04N."),
        ("lib.so", b"\x7fELF"),
    ],
)
def test_code_that_comes_to_a_folder_later_counts_as_changed(
    world: World, ready: Make, actor: Principal, program: Path, name: str, content: bytes
) -> None:
    service = ready()
    (program.parent / name).write_bytes(content)
    verbs.restart(service, actor=actor)
    assert f"echo/1/{name} was changed or added after trust was given" in why(world.converge(service))


def test_a_folder_inside_a_trusted_copy_is_no_first_copy(
    world: World, ready: Make, team: Team, actor: Principal, program: Path
) -> None:
    ready()
    (program.parent / "model.py").write_text("evil = True\n")
    tensors = [{"name": "X", "datatype": "FP32", "shape": [-1]}]
    config = {"inputs": tensors, "outputs": tensors}
    service = ready(name="second", model_path="echo/1", framework_config=config)
    assert service.state == states.FAILED and "echo/1/model.py was changed or added" in service.message


def test_an_owner_may_choose_that_later_changes_are_trusted(
    world: World, ready: Make, dataset: Dataset, actor: Principal, program: Path
) -> None:
    service = ready()
    trust.trust(dataset, actor=actor, later_changes=True)
    program.write_text("better = True\n")
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.number == 2
    trust.trust(dataset, actor=actor)
    program.write_text("evil = True\n")
    verbs.restart(service, actor=actor)
    assert "echo/1/model.py was changed or added" in why(world.converge(service))


def test_a_service_is_not_scaled_up_once_trust_is_taken_back(
    world: World, ready: Make, dataset: Dataset, actor: Principal
) -> None:
    service = ready(replicas=2)
    trust.withdraw(dataset, actor=actor)
    verbs.scale(service, 1, actor=actor)
    with pytest.raises(Conflict, match=r"not scaled up\. .* is not trusted"):
        verbs.scale(service, 3, actor=actor)
    with pytest.raises(Conflict, match="is not trusted"):
        verbs.edit(service, {"replicas": 3}, actor=actor)


def test_one_that_waited_for_room_does_not_start_once_trust_is_taken_back(
    world: World, make: Make, dataset: Dataset, actor: Principal, queue: Queue
) -> None:
    Queue.objects.update(cpu=1)
    first, second = make(), make(name="second")
    world.converge(first)
    assert world.converge(second).state == states.QUEUED
    trust.withdraw(dataset, actor=actor)
    Queue.objects.update(cpu=4)
    second = world.converge(second)
    assert second.state == states.FAILED and "is not trusted" in second.message
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_a_replica_that_waited_for_room_does_not_start_once_trust_is_taken_back(
    world: World, ready: Make, dataset: Dataset, actor: Principal, queue: Queue
) -> None:
    service = ready()
    Service.objects.filter(pk=service.pk).update(replicas=2)  # as if it had been asked for before
    trust.withdraw(dataset, actor=actor)
    service = world.converge(service)
    assert service.message.startswith("1 of 2 replicas answer. ") and "is not trusted" in service.message
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def test_one_with_files_of_an_earlier_release_copies_them_again(world: World, ready: Make, actor: Principal) -> None:
    service = ready()
    service.revisions.update(location="")
    Round.objects.update(location="")
    verbs.stop(service, actor=actor)
    service = world.converge(service)
    verbs.start(service, actor=actor)
    service = world.converge(service)
    assert service.state == states.READY and service.serving is not None and service.serving.location


@pytest.fixture
def admin_actor(admin: User) -> Principal:
    return for_user(admin)


@pytest.fixture
def remote(
    world: World,
    dataset: Dataset,
    actor: Principal,
    admin_actor: Principal,
    payload: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Service:
    """A service for which an administrator allowed the code of one language model; the owner trusts later changes."""
    monkeypatch.setattr(Vllm, "missing", lambda self, runtime: "")
    monkeypatch.setattr(Vllm, "warms_up", False)
    monkeypatch.setattr(openai_health, "probe", world.probe)
    monkeypatch.setattr(warming, "is_warm", lambda *_where: True)
    monkeypatch.setattr(Vllm, "launch", lambda self, context: Launch(argv=("true",), env={}))
    folder = Path(dataset.options["path"]) / "llm"
    llama_folder.write(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "mine.Model"}}))
    (folder / "mine.py").write_text("good = True\n")
    trust.trust(dataset, actor=actor, later_changes=True)
    changes = {"framework": "vllm", "model_path": "llm", "framework_config": {"trust_remote_code": True}}
    service = verbs.create({**payload, **changes}, team=dataset.team, actor=admin_actor)
    service = world.converge(service)
    assert service.state == states.READY, service.message
    return service


def test_what_an_administrator_allowed_is_that_code_only(
    world: World, remote: Service, dataset: Dataset, editor: Principal, admin_actor: Principal
) -> None:
    verbs.restart(remote, actor=editor)
    service = world.converge(remote)
    assert service.serving is not None and service.serving.number == 2, "the same code"
    (Path(dataset.options["path"]) / "llm" / "mine.py").write_text("evil = True\n")
    verbs.restart(remote, actor=editor)
    service = world.converge(service)
    message = why(service)
    assert "root allowed trust_remote_code for other files: mine.py changed since" in message
    verbs.restart(service, actor=admin_actor)
    service = world.converge(service)
    assert service.serving is not None and service.serving.number == 4


def test_what_an_administrator_allowed_is_that_location_only(
    world: World, remote: Service, dataset: Dataset, actor: Principal, editor: Principal
) -> None:
    other = Path(dataset.options["path"]).parent / "same"
    shutil.copytree(dataset.options["path"], other)
    datasets.update(dataset, actor=editor, options={"path": str(other)})
    trust.trust(dataset, actor=actor)
    verbs.restart(remote, actor=editor)
    assert "the files come from another location" in why(world.converge(remote))


def test_a_dataset_that_is_pointed_elsewhere_before_the_files_came_is_not_what_was_allowed(
    world: World, remote: Service, dataset: Dataset, actor: Principal, editor: Principal, admin_actor: Principal
) -> None:
    other = Path(dataset.options["path"]).parent / "same"
    shutil.copytree(dataset.options["path"], other)
    verbs.restart(remote, actor=admin_actor)
    datasets.update(dataset, actor=editor, options={"path": str(other)})
    trust.trust(dataset, actor=actor)
    assert "the files come from another location" in why(world.converge(remote))
