"""Signing in and out, and what an error looks like in a page and in a fragment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django import forms
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from console.errors import Conflict, InvalidFields
from console.web.middleware import ErrorPages
from console.web.pages import show_errors

ClientOf = Callable[[User | None], Client]
HX = {"HX-Request": "true"}


def test_a_person_signs_in_and_out(alice: User, client_of: ClientOf) -> None:
    client = client_of(None)
    answer = client.post(reverse("login"), {"username": "alice", "password": "alice"})
    assert answer["Location"] == reverse("dashboard")
    assert "alice" in client.get(reverse("teams")).content.decode()
    assert client.get(reverse("logout")).status_code == 405  # a link on another site must sign nobody out
    client.post(reverse("logout"))
    assert client.get(reverse("teams")).status_code == 302


def test_a_wrong_password_is_refused_without_saying_what_was_wrong(alice: User, client_of: ClientOf) -> None:
    page = client_of(None).post(reverse("login"), {"username": "alice", "password": "wrong"})
    unknown = client_of(None).post(reverse("login"), {"username": "nobody", "password": "wrong"})
    assert page.status_code == unknown.status_code == 200
    assert 'role="alert"' in page.content.decode()
    assert "Please enter a correct username and password" in page.content.decode()
    assert "Please enter a correct username and password" in unknown.content.decode()


def test_signing_in_leads_on_only_inside_the_console(alice: User, client_of: ClientOf) -> None:
    sent = {"username": "alice", "password": "alice", "next": "https://example.org/"}
    assert client_of(None).post(reverse("login"), sent)["Location"] == reverse("dashboard")
    assert client_of(None).post(reverse("login"), {**sent, "next": "/keys/"})["Location"] == "/keys/"


def test_a_person_changes_the_password(alice: User, client_of: ClientOf) -> None:
    client = client_of(alice)
    new = "correct-horse-7"
    sent = {"old_password": "alice", "new_password1": new, "new_password2": new}
    assert client.get(reverse("password")).status_code == 200
    assert "errors" in client.post(reverse("password"), {**sent, "old_password": "x"}).content.decode()
    assert client.post(reverse("password"), sent).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(new)
    assert client_of(None).get(reverse("password")).status_code == 302


@pytest.mark.parametrize("address", ["/teams/unknown/", "/services/unknown/", "/datasets/unknown/rounds/"])
def test_a_live_page_whose_subject_is_gone_is_told_so_instead_of_an_error(
    alice: User, client_of: ClientOf, address: str
) -> None:
    answer = client_of(alice).get(address, headers={**HX, "X-Live": "true"})
    assert answer.status_code == 286  # the end of a poll
    assert answer["HX-Reswap"] == "none"  # what the page shows stays
    assert 'id="gone"' in answer.content.decode() and "This was deleted" in answer.content.decode()
    assert client_of(alice).get(address, headers=HX).status_code == 404
    assert client_of(None).get(address, headers={**HX, "X-Live": "true"}).status_code == 302


def test_what_is_not_there_is_a_page_or_a_fragment(alice: User, client_of: ClientOf) -> None:
    page = client_of(alice).get("/teams/unknown/")
    part = client_of(alice).get("/teams/unknown/", headers=HX)
    assert page.status_code == part.status_code == 404
    assert "<html" in page.content.decode() and "Go to the dashboard" in page.content.decode()
    assert "<html" not in part.content.decode() and "no access to it" in part.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, HX])
def test_an_error_of_ours_says_what_to_do_about_it(headers: dict[str, str], alice: User) -> None:
    request = RequestFactory().get("/", headers=headers)
    request.user = alice
    request.htmx = bool(headers)  # type: ignore[attr-defined]
    error = Conflict("Queue <b> is used.", hint="Stop it first.")
    answer = ErrorPages(lambda request: None).process_exception(request, error)  # type: ignore[arg-type, return-value]
    assert answer is not None
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "Queue &lt;b&gt; is used." in text and "Stop it first." in text
    assert ("<html" in text) is not bool(headers)


def test_messages_for_fields_that_a_form_lacks_are_not_lost() -> None:
    class Two(forms.Form):
        name = forms.CharField()
        path = forms.CharField()

    form = Two({"name": "a", "path": "b"})
    assert form.is_valid()
    show_errors(form, InvalidFields({"name": "Taken.", "path": "Outside.", "other": "Odd."}))
    assert form.errors["name"] == ["Taken."]
    assert form.errors["path"] == ["Outside."]
    assert form.non_field_errors() == ["other: Odd."]


def test_every_page_of_the_frame_is_reachable_by_its_navigation(alice: User, client_of: ClientOf) -> None:
    page = client_of(alice).get(reverse("teams")).content.decode()
    for name in ("dashboard", "services", "datasets", "queues", "nodes", "keys", "teams", "api-docs"):
        assert f'href="{reverse(name)}"' in page
    assert f'href="{reverse("teams")}" aria-current="page"' in page
