"""What every view of the REST API shares: who acts, for which team, and how a request's body and query are read.

Errors and lists: console/web/problems.py; descriptions of operations: console/web/openapi.py. Rules about the resources
themselves are not here: a view parses, calls one action and renders.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import IO, Any, ClassVar, NoReturn

from django.conf import settings
from rest_framework import exceptions, serializers, status
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from console import roles
from console.accounts import teams
from console.accounts.principal import Principal, actor_of
from console.errors import Forbidden, InvalidFields
from console.models import Team

NAME_IN_PATH = "[a-z0-9][-a-z0-9]{0,62}"
"""Anything else in an address is no name, and answers 404 before the database is asked."""
DEEPEST = 100
"""Levels of lists and objects in a body."""
TOO_DEEP = "The body is nested too deeply."

MOST_CONTAINERS = 1_000_000
"""Lists and objects in a body. An empty one takes 3 bytes there, and 60 in memory."""


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class LengthRequired(exceptions.APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length: a chunked one is not read."


class Json(JSONParser):
    """Says where a body stops being JSON, and refuses what no database could hold. Ends at `limit` bytes."""

    limit = 1 << 20

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        raw: bytes = stream.read(self.limit + 1)
        if len(raw) > self.limit:
            raise TooLarge(f"A request body may have at most {self.limit >> 20} MiB here.")
        if raw.count(b"[") + raw.count(b"{") > MOST_CONTAINERS:
            raise TooLarge(f"A request body may have at most {MOST_CONTAINERS:,} lists and objects. Send a flat list.")
        try:
            data = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
        except UnicodeDecodeError as error:
            raise exceptions.ParseError(f"The body is not UTF-8 text: byte {error.start} cannot be read.") from error
        except json.JSONDecodeError as error:
            message = f"The body is not JSON: {error.msg}, at line {error.lineno}, column {error.colno}."
            raise exceptions.ParseError(message) from error
        except RecursionError as error:
            raise exceptions.ParseError(TOO_DEEP) from error
        except ValueError as error:  # NaN, or a number of thousands of digits
            raise exceptions.ParseError(f"The body is not JSON: {error}") from error
        if raw.count(b"[") + raw.count(b"{") > DEEPEST:
            _refuse_deep(data)
        if b"\\u" in raw:
            _refuse_unstorable(data)
        return data


class LargeJson(Json):
    """For bodies that carry tensors."""

    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number.")


def _refuse_deep(data: Any) -> None:
    """Not by recursion: since Python 3.12 the parser reads far deeper than code of ours, or a database, may go."""
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if type(value) is dict else value)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise exceptions.ParseError(TOO_DEEP)


def _refuse_unstorable(data: Any) -> None:
    """Half a surrogate pair is no text, and PostgreSQL has no NUL; both can only come as an escape."""
    for text in _texts(data):
        if "\0" in text:
            raise exceptions.ParseError("The body holds a NUL character (\\u0000).")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise exceptions.ParseError("The body holds an escape that is no character, such as \\ud800.")


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        yield from data
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _texts(item)


class Body(serializers.Serializer[Any]):
    """A request's JSON object: types only, the rules are the actions'. A field that it does not have is an error."""

    fixed: ClassVar[tuple[str, ...]] = ()
    """Fields that the resource has and this request cannot change."""

    def to_internal_value(self, data: Any) -> Any:
        errors = unknown_fields(data, self.fields, fixed=self.fixed) if isinstance(data, Mapping) else {}
        if errors:
            raise serializers.ValidationError(errors)
        return super().to_internal_value(data)


def unknown_fields(
    data: Mapping[str, Any], fields: Mapping[str, Any], *, fixed: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """A message for each field that is not in `fields`."""
    messages = dict.fromkeys(fixed, "Cannot be changed.")
    other = f"There is no such field. Fields: {', '.join(fields)}."
    return {str(name): [messages.get(name, other)] for name in data if name not in fields}


def object_of(request: Request) -> Mapping[str, Any]:
    """The body, which must be a JSON object. Raises InvalidFields."""
    if not isinstance(request.data, Mapping):
        raise InvalidFields({"body": "Must be a JSON object: {...}."})
    return request.data


def parse(body: type[Body], request: Request, *, partial: bool = False) -> dict[str, Any]:
    """The body's fields with their types. Raises ValidationError, which becomes problem details with each field."""
    parsed = body(data=object_of(request), partial=partial)
    parsed.is_valid(raise_exception=True)
    return dict(parsed.validated_data)


def number(request: Request, name: str, default: int, *, most: int) -> int:
    """A whole number from 0 to `most` in the query. Raises InvalidFields."""
    raw = request.query_params.get(name, str(default))
    if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and int(raw) <= most):
        raise InvalidFields({name: f"Must be a whole number from 0 to {most}."})
    return int(raw)


def finite(data: Any) -> Any:
    """`data` with NaN and infinities as texts ("nan", "inf"): JSON has no such numbers, and models answer them."""
    if isinstance(data, float):
        return data if math.isfinite(data) else str(data)
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    return [finite(value) for value in data] if isinstance(data, list | tuple) else data


def team_for(actor: Principal, name: Any = None) -> Team:
    """The team that a new object goes to: the named one, or the only one where the actor may create.

    Whether the actor may really create there is the action's question. Raises InvalidFields for `team`, Forbidden.
    """
    if name not in (None, ""):
        visible = teams.visible_to(actor)
        named_team = visible.filter(name=name).first() if isinstance(name, str) else None
        if named_team is None:
            raise InvalidFields({"team": f"You have no team of that name. Your teams: {_names(visible)}."})
        return named_team
    every = list(teams.editable_by(actor))
    # An administrator who is in a team means that one.
    editable = [team for team in every if team.pk in actor.roles] or every
    if len(editable) == 1:
        return editable[0]
    if editable:
        raise InvalidFields({"team": f"Say which team it belongs to, one of: {_names(editable)}."})
    raise Forbidden(
        f"{actor.label} needs the role {roles.EDITOR} in a team for this.",
        hint="Ask an owner of your team, or an administrator.",
    )


def _names(several: Iterable[Team]) -> str:
    return ", ".join(team.name for team in several) or "none"


class Resource(GenericViewSet[Any]):
    # Base of the views. Subclasses list and find through `get_queryset`, which shows an actor only what is theirs.
    # (No docstring: those of views would appear in the OpenAPI document.)

    http_method_names = ["get", "post", "patch", "delete", "head"]
    parser_classes = [Json]
    metadata_class = None  # the schema says it better
    required_scopes: Mapping[str, str] = {}
    """Method -> scope, where it is not read to look and manage to change (see services/api/permissions.py)."""
    open_to_restricted_keys = False
    """Whether a key that is restricted to some services may change things here."""
    lookup_value_regex = NAME_IN_PATH

    @cached_property
    def actor(self) -> Principal:
        return actor_of(self.request)

    def located(self, answer: Any, address: str, *names: Any, status: int = 201, **headers: str) -> Response:
        """The answer, with the address of what was made as its Location."""
        where = reverse(address, names, request=self.request)
        return Response(answer, status=status, headers={"Location": where, **headers})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers and "Content-Length" not in request.headers:
            raise LengthRequired  # DRF would take the body for an empty one

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        if not request.successful_authenticator:
            raise exceptions.NotAuthenticated("Send an API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`.")
        raise exceptions.PermissionDenied(message, code)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, exceptions.UnsupportedMediaType):
            exc = exceptions.UnsupportedMediaType(
                "", f"Send the body as `Content-Type: application/json`, not {self.request.content_type or 'without'}."
            )
        return super().handle_exception(exc)
