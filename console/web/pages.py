"""What the views of every app share: who acts, whether a fragment is wanted, errors shown at their fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django import forms
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.accounts.principal import Principal, for_user
from console.errors import InvalidFields

T = TypeVar("T")
ROWS = 50
"""Rows of a list on one page."""


def actor_of(request: HttpRequest) -> Principal:
    return for_user(request.user)


def wants_fragment(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def whole_number(text: str) -> int | None:
    """What an address says in digits; None for anything else, and for more digits than a file or a page has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def show_errors(form: forms.Form, error: InvalidFields) -> None:
    """Puts an action's messages at the form's fields.

    A path that belongs to no field is shown over the form: nothing that was said gets lost. The form may be one that
    was sent nothing: the error is then of something else on its page.
    """
    form.full_clean()  # once more changes nothing, and without it an error has nowhere to go
    if not form.is_bound:
        form.cleaned_data = {}
    for path, messages in error.errors.items():
        if path in form.fields:
            form.add_error(path, messages)
        else:
            form.add_error(None, [f"{path}: {message}" for message in messages])


def carry_out(form: forms.Form, action: Callable[[dict[str, Any]], T]) -> T | None:
    """What the action made of the form's data. None when something is wrong, which is then shown at its fields."""
    if form.is_valid():
        try:
            return action(form.cleaned_data)
        except InvalidFields as error:
            show_errors(form, error)
    return None


def paginate(request: HttpRequest, rows: QuerySet[Any] | Sequence[Any], parameter: str = "page") -> Page[Any]:
    """The page of a list that the address asks for; the nearest one when it asks for a page that does not exist.

    `parameter`: its name in the query string, for addresses with more than one list.
    """
    return Paginator(rows, ROWS).get_page(request.GET.get(parameter))


def page(request: HttpRequest, template: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    """The whole page, or only its fragment when htmx polls."""
    return render(request, fragment if wants_fragment(request) else template, context)
