"""Services whose files run as code: made and started only from a dataset that the team trusts."""

from __future__ import annotations

import collections
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from console.accounts.principal import Principal
from console.errors import Conflict, InvalidFields
from console.models import Team
from datasets.actions import trust
from datasets.models import Dataset
from services import states
from services.actions import services as verbs
from services.frameworks.vllm.framework import Vllm
from services.models import Service
from tests.services.frameworks.triton.onnx_files import write_digits
from tests.services.world import World

Make = Callable[..., Service]


@pytest.fixture
def untrusted(dataset: Dataset, actor: Principal) -> Dataset:
    return trust.withdraw(dataset, actor=actor)


def root(dataset: Dataset) -> Path:
    return Path(dataset.options["path"])


def refused(payload: dict[str, Any], team: Team, actor: Principal) -> list[str]:
    with pytest.raises(InvalidFields) as caught:
        verbs.create(payload, team=team, actor=actor)
    return caught.value.errors["model_path"]


def test_a_service_with_a_python_model_is_refused_and_what_to_do_is_said(
    world: World, untrusted: Dataset, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    [message] = refused(payload, team, actor)
    assert "1/model.py: A Python program" in message and "dataset models is not trusted" in message
    assert "ask an owner of team vision to trust dataset models" in message
    assert not Service.objects.exists()
    trust.trust(untrusted, actor=actor)
    assert verbs.create(payload, team=team, actor=actor).state == states.PREHEATING


def test_one_without_code_needs_no_trust(
    world: World, untrusted: Dataset, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    write_digits(root(untrusted) / "digits" / "1" / "model.onnx")
    service = verbs.create({**payload, "model_path": "digits"}, team=team, actor=actor)
    service = world.converge(service)
    assert service.state == states.READY


def test_a_backend_that_the_form_chooses_counts_and_not_that_of_the_file(
    world: World, untrusted: Dataset, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    write_digits(root(untrusted) / "digits" / "1" / "model.onnx")
    config = {"backend": "python", "parameters": {"a": "b"}}
    messages = refused({**payload, "model_path": "digits", "framework_config": config}, team, actor)
    assert any("is not trusted" in text for text in messages)


def test_what_turns_up_in_the_copy_is_refused_before_anything_starts(
    world: World, make: Make, dataset: Dataset, actor: Principal
) -> None:
    service = make()
    trust.withdraw(dataset, actor=actor)
    service = world.converge(service)
    assert service.state == states.FAILED and "is not trusted" in service.message
    assert not world.engine.running


def test_a_stopped_service_is_not_started_again_once_trust_is_taken_back(
    world: World, ready: Make, dataset: Dataset, actor: Principal
) -> None:
    service = ready()
    trust.withdraw(dataset, actor=actor)
    service = world.converge(service)
    assert service.state == states.READY, "one that runs goes on"
    verbs.stop(service, actor=actor)
    service = world.converge(service)
    with pytest.raises(Conflict, match=r"echo is not started\. .* is not trusted"):
        verbs.start(service, actor=actor)
    assert service.state == states.STOPPED
    trust.trust(dataset, actor=actor)
    verbs.start(service, actor=actor)
    service = world.converge(service)
    assert service.state == states.READY


def test_a_new_revision_is_not_rolled_out_once_trust_is_taken_back(
    world: World, ready: Make, dataset: Dataset, actor: Principal
) -> None:
    service = ready()
    trust.withdraw(dataset, actor=actor)
    verbs.restart(service, actor=actor)
    service = world.converge(service)
    assert service.state == states.READY and service.target is not None and service.target.number == 1
    assert any("is not trusted" in text for text in service.events.values_list("message", flat=True))
    assert list(world.engine.running) == ["svc-echo-r1-0"]


def language_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "dtype": "float32"}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def vllm_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vllm, "missing", lambda self, runtime: "")


def test_a_pickle_of_weights_is_refused_unless_it_holds_nothing_but_tensors(
    world: World, vllm_there: None, untrusted: Dataset, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    folder = language_model(root(untrusted) / "llm")
    llm_payload = {**payload, "framework": "vllm", "model_path": "llm"}
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(os.system))
    assert "pytorch_model.bin: A Python pickle" in refused(llm_payload, team, actor)[0]
    with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(collections.OrderedDict(), 2))
    assert verbs.create(llm_payload, team=team, actor=actor).state == states.PREHEATING


def test_a_pickle_too_large_to_be_looked_into_is_left_for_the_copy(
    world: World, vllm_there: None, untrusted: Dataset, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    folder = language_model(root(untrusted) / "llm")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps([os.system, b"x" * (2 << 20)]))
    service = verbs.create({**payload, "framework": "vllm", "model_path": "llm"}, team=team, actor=actor)
    service = world.converge(service)
    assert service.state == states.FAILED and "pytorch_model.bin: A Python pickle" in service.message


ATTACK = {"OPENSSL_CONF": "repository/echo/1/settings.txt", "OPENSSL_MODULES": "repository/echo/1"}


@pytest.fixture
def digits(untrusted: Dataset) -> Path:
    """The version folder of a model without code."""
    write_digits(root(untrusted) / "digits" / "1" / "model.onnx")
    return root(untrusted) / "digits" / "1"


def test_variables_that_could_load_code_need_trust(
    world: World, digits: Path, untrusted: Dataset, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    body = {**payload, "model_path": "digits", "env": {**ATTACK, "MODEL_X": "1"}}
    with pytest.raises(InvalidFields) as caught:
        verbs.create(body, team=team, actor=actor)
    assert sorted(caught.value.errors) == ["env.OPENSSL_CONF", "env.OPENSSL_MODULES"]
    assert "the dataset must be trusted first" in caught.value.errors["env.OPENSSL_CONF"][0]
    trust.trust(untrusted, actor=actor)
    assert world.converge(verbs.create(body, team=team, actor=actor)).state == states.READY


def test_a_library_among_the_weights_needs_trust_whatever_the_service_says(
    world: World, digits: Path, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    (digits / "notes.dat").write_bytes(b"\x7fELF\x02\x01")
    assert "1/notes.dat: A compiled library" in refused({**payload, "model_path": "digits"}, team, actor)[0]
    (digits / "notes.dat").unlink()
    (digits / "settings.txt").write_text("openssl_conf = i\n[i]\nproviders = p\n")
    assert "1/settings.txt: OpenSSL configuration" in refused({**payload, "model_path": "digits"}, team, actor)[0]


def test_settings_stored_before_they_needed_trust_do_not_start_again(
    world: World, digits: Path, untrusted: Dataset, make: Make, actor: Principal
) -> None:
    service = world.converge(make(model_path="digits"))
    service.revisions.update(spec={**service.target_revision.spec, "env": ATTACK})
    verbs.stop(service, actor=actor)
    service = world.converge(service)
    with pytest.raises(Conflict, match=r"settings that can load code, and .* is not trusted\. env\.OPENSSL"):
        verbs.start(service, actor=actor)


@pytest.mark.parametrize("trusted", [True, False])
def test_no_variable_leads_to_files_of_another_model(
    world: World,
    digits: Path,
    untrusted: Dataset,
    payload: dict[str, Any],
    team: Team,
    actor: Principal,
    settings: Settings,
    trusted: bool,
) -> None:
    if trusted:
        trust.trust(untrusted, actor=actor)
    for value in (f"{settings.HOME.store}/trees/x", "repository/../../x", str(digits)):
        with pytest.raises(InvalidFields) as caught:
            verbs.create({**payload, "model_path": "digits", "env": {"GCONV_PATH": value}}, team=team, actor=actor)
        assert "env.GCONV_PATH" in caught.value.errors


def test_a_parameter_that_a_backend_could_load_code_by_needs_trust(
    world: World, digits: Path, payload: dict[str, Any], team: Team, actor: Principal
) -> None:
    body = {**payload, "model_path": "digits"}
    inside = "$$TRITON_MODEL_DIRECTORY/1/env.tar.gz"
    for config in ({"parameters": {"EXECUTION_ENV_PATH": inside}}, {"parameters": {"anything": "x"}}):
        assert "can have files loaded as code" in refused({**body, "framework_config": config}, team, actor)[0]
    outside = {"parameters": {"EXECUTION_ENV_PATH": "/tmp/env.tar.gz"}}
    assert "must be a file of the model" in refused({**body, "framework_config": outside}, team, actor)[0]
    tuned = {"parameters": {"intra_op_thread_count": "2", "MODEL_LABELS": "a/b"}}
    assert verbs.create({**body, "framework_config": tuned}, team=team, actor=actor).state == states.PREHEATING
