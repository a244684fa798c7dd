"""How an operation of the REST API is described in the OpenAPI document: its summary, its answers and its errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers

from console.web.problems import PROBLEM

F = TypeVar("F", bound=Callable[..., Any])
MEANING: Final = {
    400: "Something in the request is wrong; `errors` names every wrong field.",
    401: "No API key and no session, or a key that is not valid, has expired or was revoked.",
    403: "The key's scope or the role in the team does not allow this.",
    404: "Not found.",
    409: "The present state does not allow this.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    429: "Too many requests. Wait a minute.",
    503: "Something that the console needs is away for the moment.",
}


class Problem(serializers.Serializer[Any]):
    """RFC 9457 problem details."""

    type = serializers.CharField(help_text="`urn:inference-console:<code>`, stable.")
    title = serializers.CharField()
    status = serializers.IntegerField(help_text="The HTTP status again.")
    detail = serializers.CharField(help_text="What is wrong, for people.")
    hint = serializers.CharField(required=False, help_text="What to do about it.")
    errors = serializers.DictField(  # type: ignore[assignment]  # a field of ours, not DRF's property
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Dotted field path (`resources.cpu`, `affinity.required.0.key`) to its messages.",
    )


def describe(
    summary: str, *, answers: Mapping[Any, Any], body: Any = None, errors: Sequence[int] = (), **more: Any
) -> Callable[[F], F]:
    """extend_schema with the errors of every operation (401, 403), and those of reading a body where there is one."""
    codes = {401, 403, *errors} | ({400, 413, 415} if body is not None else set())
    if any(isinstance(answer, serializers.ListSerializer) for answer in answers.values()):
        codes.add(404)  # a page after the last one
    problems = {(code, PROBLEM): OpenApiResponse(Problem, description=MEANING[code]) for code in sorted(codes)}
    decorate: Callable[[F], F] = extend_schema(summary=summary, request=body, responses={**answers, **problems}, **more)
    return decorate
