"""The description of a service: typed into the form, shown on its page, and no reason to restart anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from services import forms
from services.models import Service
from tests.services.test_forms import post_of
from tests.services.world import World


@pytest.fixture
def browser(alice: User, client_of: Callable[[User | None], Client]) -> Client:
    return client_of(alice)


def saved(browser: Client, service: Service, description: str) -> Any:
    form = forms.from_spec("echo", "vision", service.replicas, service.target_revision.parsed().to_json())
    sent: QueryDict = post_of(form)
    sent["description"] = description
    url = reverse("service-edit", args=[service.name])
    return browser.post(url, sent.urlencode(), content_type="application/x-www-form-urlencoded", follow=True)


def test_it_is_typed_into_the_form_and_shown_on_the_page(
    ready: Callable[..., Service], world: World, browser: Client
) -> None:
    service, started = ready(), list(world.engine.applied)
    text = saved(browser, service, "Reads <digits>.").content.decode()
    assert "Saved as revision 2. No replica is restarted." in text
    world.converge(service)
    assert world.engine.applied == started
    assert "Reads &lt;digits&gt;." in browser.get(reverse("service", args=["echo"])).content.decode()
    form = browser.get(reverse("service-edit", args=["echo"])).content.decode()
    assert 'name="description" value="Reads &lt;digits&gt;."' in form


def test_one_that_is_too_long_is_refused_at_its_field(make: Callable[..., Service], browser: Client) -> None:
    answer = saved(browser, make(), "x" * 201)
    assert answer.status_code == 422
    assert answer.context["form"].fields["description"].errors == ["At most 200 characters."]
