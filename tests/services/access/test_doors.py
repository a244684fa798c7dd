"""Which doors a service has, and how each is addressed."""

from __future__ import annotations

import pytest

from services.access.doors import Address


def address(**more: object) -> Address:
    return Address("svc", "10.0.0.5:8080", **more)  # type: ignore[arg-type]


def test_a_triton_service_has_v2_v1_and_tensorflow_serving_but_no_openai() -> None:
    doors = {door.door: door for door in address().doors()}
    assert list(doors) == ["v2-rest", "v2-grpc", "v1", "tfserving"]
    assert doors["v1"].url == "http://10.0.0.5:8080/v1/models/svc:predict"
    assert doors["v2-rest"].prefixed == "http://10.0.0.5:8080/services/svc/v2/models/svc/infer"
    assert doors["v2-rest"].by_host == "http://svc.localhost:8080/v2/models/svc/infer"
    assert (doors["v2-grpc"].url, doors["v2-grpc"].by_host) == ("10.0.0.5:8080", "svc.localhost:8080")


@pytest.mark.parametrize(
    ("task", "paths"),
    [
        ("chat", ["/v1/chat/completions"]),
        ("completion", ["/v1/completions"]),
        ("embedding", ["/v1/embeddings"]),
        ("", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]),
    ],
)
def test_a_text_service_has_the_openai_path_of_its_task_and_grpc(task: str, paths: list[str]) -> None:
    doors = address(framework="vllm", task=task).doors()
    assert [door.url for door in doors] == [*(f"http://10.0.0.5:8080{path}" for path in paths), "10.0.0.5:8080"]
    assert doors[-1].door == "llm-grpc"


def test_clients_of_openai_get_a_base_url_where_there_is_something_to_ask() -> None:
    assert address(framework="vllm", tls=True).openai_base == "https://10.0.0.5:8080/v1"
    assert address().openai_base == ""


def test_tls_and_a_domain_change_every_address() -> None:
    document = address(tls=True, domain="models.example").to_json()
    assert document["http"].startswith("https://") and document["host"] == "svc.models.example:8080"
    assert all(
        door["by_host"].startswith("https://svc.models.example") for door in document["doors"] if door["prefixed"]
    )


def test_adapters_are_models_of_their_own() -> None:
    assert address(framework="vllm", adapters=("polite",)).to_json()["models"] == ["svc", "svc:polite"]


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        ({}, {"authorization": "Bearer $API_KEY"}),
        ({"key_header": "X-Tenant-Key"}, {"x-tenant-key": "$API_KEY"}),
        ({"public": True, "parameters": (("x-tenant", "blue"),)}, {"x-tenant": "blue"}),
    ],
)
def test_the_headers_are_those_that_the_service_asks_for(more: dict[str, object], headers: dict[str, str]) -> None:
    assert address(**more).headers() == headers
