"""Origins of web pages on the pages of a service."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.accounts.principal import Principal
from services.actions import services as verbs
from services.models import Service


def test_the_access_page_names_them_and_warns_of_all(
    make: Callable[..., Service], alice: User, actor: Principal, client_of: Callable[[User | None], Client]
) -> None:
    service = make()
    warning = "visible to everyone who opens the page"

    def shown() -> str:
        return client_of(alice).get(reverse("service-access", args=[service.name])).content.decode()

    assert "Web pages" not in shown()
    verbs.edit(service, {"cors": {"allowed_origins": ["https://app.example"]}}, actor=actor)
    assert "https://app.example" in shown() and warning not in shown()
    verbs.edit(service, {"cors": {"allowed_origins": ["*"]}}, actor=actor)
    assert warning in shown()
    verbs.edit(service, {"auth": {"policy": "public"}}, actor=actor)
    assert warning not in shown()
