"""The OpenAPI document: open to everybody, the same as the one in docs/, and every operation says what it does."""

from __future__ import annotations

import io
from pathlib import Path

from django.core.management import call_command
from django.test import Client

from tests.rest import document

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"


def test_the_published_document_is_the_present_one() -> None:
    output = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=output)
    hint = "make it again: python manage.py spectacular --file docs/openapi.yaml"
    assert output.getvalue().strip() == PUBLISHED.read_text(encoding="utf-8").strip(), hint


def test_everybody_may_read_the_document_and_its_page(db: None) -> None:
    assert Client().get("/api/v1/schema/").status_code == 200
    page = Client().get("/api/v1/docs/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert b"//cdn" not in page.content and b"jsdelivr" not in page.content


def test_every_operation_has_a_summary_and_says_how_it_fails() -> None:
    for path, operations in document()["paths"].items():
        if path.endswith("/schema/"):
            continue
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            codes = set(operation["responses"])
            assert {"401", "403"} <= codes, (method, path)
            assert "requestBody" not in operation or {"400", "415"} <= codes, (method, path)
            assert "{" not in path or "404" in codes, (method, path)


def test_creating_a_service_comes_with_examples() -> None:
    content = document()["paths"]["/api/v1/services/"]["post"]["requestBody"]["content"]
    assert len(content["application/json"]["examples"]) == 3
