"""How the REST API answers, whatever the resource: errors as RFC 9457 problem details, lists as pages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from console.errors import ConsoleError, InvalidFields
from console.web import trouble

PROBLEM = "application/problem+json"
UNEXPECTED = "Something went wrong in the console. Its log has the details."

logger = logging.getLogger(__name__)


class Pages(PageNumberPagination):
    page_size_query_param = "page_size"
    max_page_size = 1000


def problem(
    code: str, status_code: int, detail: str, *, hint: str = "", errors: Mapping[str, list[str]] | None = None
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:inference-console:{code}",
        "title": code.replace("_", " "),
        "status": status_code,
        "detail": detail,
    }
    if hint:
        body["hint"] = hint
    if errors:
        body["errors"] = errors
    return Response(body, status=status_code, content_type=PROBLEM)


def problem_details(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER: every error of the API in one shape. What nobody expected is logged, never told."""
    if isinstance(error, ConsoleError):
        errors = error.errors if isinstance(error, InvalidFields) else None
        return problem(error.code, error.status, error.message, hint=error.hint, errors=errors)
    if isinstance(error, Http404):
        return problem("not_found", 404, "Not found.")
    if isinstance(error, PermissionDenied):
        return problem("forbidden", 403, str(error) or "You may not do this.")
    if isinstance(error, exceptions.ValidationError):
        errors = flatten(error.detail)
        return problem("invalid", status.HTTP_400_BAD_REQUEST, "Some fields are wrong.", errors=errors)
    response = exception_handler(error, dict(context))
    if response is None and (cause := trouble.of_request(error)) is not None:
        logger.error("%s %s failed: %s", context["request"].method, context["request"].path, cause)
        return problem(cause.code, cause.status, cause.message, hint=cause.hint)
    if response is None:
        return _unexpected(error, context["request"])
    if not isinstance(error, exceptions.APIException):
        return response
    details = problem(str(error.default_code), response.status_code, str(error.detail))
    for name in ("WWW-Authenticate", "Retry-After", "Allow"):
        if name in response.headers:
            details.headers[name] = response.headers[name]
    return details


def _unexpected(error: Exception, request: Request) -> Response:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    # As Django itself would: whatever listens for failures (the test client does) learns of this one.
    got_request_exception.send(sender=None, request=request)
    return problem("internal", status.HTTP_500_INTERNAL_SERVER_ERROR, UNEXPECTED)


def flatten(detail: Any, path: str = "") -> dict[str, list[str]]:
    """DRF's nested error details as dotted paths: {"resources": {"cpu": [..]}} -> {"resources.cpu": [..]}."""
    if isinstance(detail, Mapping):
        pairs: list[tuple[Any, Any]] = list(detail.items())
    elif isinstance(detail, list) and any(isinstance(item, Mapping | list) for item in detail):
        pairs = list(enumerate(detail))
    else:
        return {path or "body": [str(item) for item in (detail if isinstance(detail, list) else [detail])]}
    flat: dict[str, list[str]] = {}
    for key, value in pairs:
        if value:
            flat.update(flatten(value, f"{path}.{key}" if path else str(key)))
    return flat
