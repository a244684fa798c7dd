"""Changes that meet each other: nobody's is lost without a word, and none is half made."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
from django.apps import apps

from console.accounts.principal import Principal
from console.errors import Conflict
from services.actions import services as verbs
from services.frameworks.triton.framework import Triton
from services.models import Service
from services.models.services import DELETED

Make = Callable[..., Service]


def test_a_change_of_what_somebody_else_has_changed_meanwhile_is_refused(make: Make, actor: Principal) -> None:
    pk = make().pk
    mine, theirs = Service.objects.get(pk=pk), Service.objects.get(pk=pk)
    _ = mine.target, theirs.target  # read, as a page does before it changes something
    verbs.edit(theirs, {"env": {"WHO": "theirs"}}, actor=actor)
    with pytest.raises(Conflict, match="was changed meanwhile"):
        verbs.edit(mine, {"replicas": 2, "resources": {"cpu": 0.5}}, actor=actor)
    now = Service.objects.get(pk=pk)
    assert now.target.spec["env"] == {"WHO": "theirs"}
    assert (now.target.number, now.replicas) == (2, 1)


def test_scaling_does_not_mind_a_change_of_something_else(make: Make, actor: Principal) -> None:
    pk = make().pk
    mine, theirs = Service.objects.get(pk=pk), Service.objects.get(pk=pk)
    verbs.edit(theirs, {"env": {"WHO": "theirs"}}, actor=actor)
    verbs.scale(mine, 2, actor=actor)
    now = Service.objects.get(pk=pk)
    assert (now.target.number, now.replicas) == (2, 2)


def test_a_service_that_is_being_deleted_is_not_scaled(make: Make, actor: Principal) -> None:
    service = make()
    Service.objects.filter(pk=service.pk).update(desired=DELETED)
    with pytest.raises(Conflict, match="is being deleted"):
        verbs.scale(service, 2, actor=actor)
    assert Service.objects.get(pk=service.pk).replicas == 1


def test_variables_that_an_earlier_release_took_are_dropped_with_an_event(make: Make) -> None:
    service = make()
    revision = service.target
    assert revision is not None
    revision.spec["env"] = {"PYTHONUNBUFFERED": "1", "TMP": "/tmp", "MODEL_X": "1", "OMP_NUM_THREADS": "2"}
    revision.save()
    module = importlib.import_module("services.migrations.0016_variables_that_are_no_longer_passed")
    for _ in range(2):
        module.drop(apps, None)
    revision.refresh_from_db()
    assert revision.spec["env"] == {"MODEL_X": "1", "OMP_NUM_THREADS": "2"}
    assert Triton().refused_env(revision.spec["env"]) == []
    (event,) = service.events.filter(message__contains="no longer be set")
    assert "PYTHONUNBUFFERED, TMP" in event.message and "MODEL_X" not in event.message
