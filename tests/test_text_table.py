"""docs/security.md says of every text that a person can send where it goes, and what bounds it there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml
from django import forms

from console.home import CHECKOUT
from datasets.sources import registry
from services.forms import names
from services.frameworks.triton import options as triton
from services.frameworks.vllm import options as vllm
from tests.test_house_rules import tracked

HEADING = "## Where a user's text goes\n"
SPAN = re.compile(r"`([^`]+)`")
READ_FROM = {"POST", "GET", "FILES", "data", "query"}
"""What the views of pages call the fields of a request."""
BY_HAND = {
    "services/views/create.py": {"framework_config.model"},
    "services/views/services.py": {"q"},
    "services/views/usage.py": {"range", "metric", "by"},
    "services/views/panel/tensors_form.py": {
        "how",
        "text",
        "generate",
        "low",
        "high",
        "text_value",
        "shape",
        "file",
        "sequence_start",
        "sequence_end",
    },
    "console/web/pages.py": set(),
    "console/templatetags/console.py": set(),
}
"""Files that read fields by names in variables, and which names these are. The last two write addresses of pages."""


def rows() -> list[list[str]]:
    """Fields, where their text goes, its bound: `- fields → reaches. Bound: bound.`, in lines of any number."""
    text = (CHECKOUT / "docs" / "security.md").read_text()
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    entries = [" ".join(entry.split()) for entry in section.split("\n- ")[1:]]
    return [[cell.strip() for cell in re.split(r" → |\. Bound: ", entry)] for entry in entries]


def of_schema(schema: dict[str, Any], components: dict[str, Any], prefix: str) -> Iterator[str]:
    """Names of what a body may hold, dotted."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        yield from of_schema(part, components, prefix)
    if schema.get("type") == "array":
        yield from of_schema(schema["items"], components, prefix)
    for name, inner in schema.get("properties", {}).items():
        if not inner.get("readOnly"):
            below = list(of_schema(inner, components, f"{prefix}{name}."))
            yield from below or [f"{prefix}{name}"]


def of_api() -> set[str]:
    """`resource.field` for every parameter and every field of a body in the API's document."""
    document = yaml.safe_load((CHECKOUT / "docs" / "openapi.yaml").read_text())
    names_read = set()
    for path, operations in document["paths"].items():
        resource = path.split("/")[3]
        for operation in operations.values():
            names_read |= {f"{resource}.{parameter['name']}" for parameter in operation.get("parameters", ())}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                fields = of_schema(content["schema"], document["components"]["schemas"], "")
                names_read |= {f"{resource}.{field}" for field in fields}
    return names_read


def of_kinds() -> set[str]:
    sources = {kind: registry.source_class(kind) for kind in registry.SOURCES}
    return {f"{kind}.{option.name}" for kind, source in sources.items() for option in source.options}


def of_frameworks() -> set[str]:
    return {
        f"{name}.{key}"
        for name, module in (("triton", triton), ("vllm", vllm))
        for key in module.Options.__annotations__
    }


def of_forms() -> set[str]:
    """Fields of Django's forms, and of the form of a service."""
    for path in tracked("console/*.py", "datasets/*.py", "services/*.py"):
        if re.search(r"^class \w+\(.*Form\b", path.read_text(), re.M):
            import_module(".".join(path.relative_to(CHECKOUT).with_suffix("").parts))
    waiting, names_read = [forms.BaseForm], {*names.DEFAULTS, *names.COLUMNS}
    while waiting:
        waiting += (form := waiting.pop()).__subclasses__()
        if form.__module__.partition(".")[0] in {"console", "datasets", "services"}:
            names_read |= {*getattr(form, "base_fields", {})}
    return names_read


def read_in(source: str) -> Iterator[str]:
    """Names that code reads from a request: `x.POST.get("a")`, `data["a"]`, `"a" in request.GET`; "" for variables."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "getlist"}:
            owner, keys = node.func.value, node.args[:1]
        elif isinstance(node, ast.Subscript):
            owner, keys = node.value, [node.slice]
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            owner, keys = node.comparators[0], [node.left]
        else:
            continue
        if getattr(owner, "attr", getattr(owner, "id", "")) in READ_FROM:
            yield from (key.value if isinstance(key, ast.Constant) else "" for key in keys)


def of_views() -> dict[str, set[str]]:
    """Names by file."""
    files = [*tracked("datasets/*views*.py"), *tracked("services/views/*.py"), *tracked("console/*.py")]
    return {path.relative_to(CHECKOUT).as_posix(): set(read_in(path.read_text())) for path in files}


def of_pages(api: set[str]) -> set[str]:
    """What pages take and the API does not have by the same name."""
    dotted = {name.partition(".")[2] for name in api | of_frameworks()}
    dotted_parts = dotted | {name.rpartition(".")[0] for name in dotted} | {name.rpartition(".")[2] for name in dotted}
    read = of_forms().union(*of_views().values(), *BY_HAND.values()) - {""}
    taken = {name.removeprefix("framework_config.") for name in read}
    batching = {name for name in taken if name.startswith("dynamic_batching.")}
    return {f"page.{name}" for name in taken - dotted_parts - batching}


@pytest.fixture(scope="module")
def fields() -> set[str]:
    api = of_api()
    return api | of_kinds() | of_frameworks() | of_pages(api)


def named() -> set[str]:
    return {name for row in rows() for name in SPAN.findall(row[0])}


def test_every_field_that_a_person_can_fill_in_has_a_row(fields: set[str]) -> None:
    assert len(fields) > 150
    assert sorted(fields - named()) == []


def test_names_that_are_no_literals_are_read_where_they_were_looked_for_by_hand() -> None:
    assert {path for path, read in of_views().items() if "" in read} == BY_HAND.keys()


def test_no_row_is_of_a_field_that_is_gone(fields: set[str]) -> None:
    resources = {name.partition(".")[0] for name in fields}
    assert sorted(name for name in named() - fields if name.partition(".")[0] in resources) == []


def test_every_row_says_where_the_text_goes_and_names_the_code_that_bounds_it() -> None:
    for field, reaches, bound in rows():
        assert reaches, field
        files = [name for name in SPAN.findall(bound) if name.endswith(".py")]
        assert files, field
        assert [name for name in files if not (CHECKOUT / name).is_file()] == []


def test_a_field_that_is_read_anywhere_is_found() -> None:
    code = 'a = request.POST.get("one"); b = self.data["two"]; c = "three" in request.GET; d = query.get(name)'
    assert set(read_in(code)) == {"one", "two", "three", ""}
