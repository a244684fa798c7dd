"""Language models of the corpus on the real vLLM, over each protocol, in the panel, and by the snippets of a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services import states
from services.models import Service
from tests.corpus.all import CASES
from tests.corpus.case import Case
from tests.integration.corpus import pages
from tests.integration.corpus.world import World
from tests.servers import vllm

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("corpus"),
]
STARTED = [case for case in CASES if case.answers]


@pytest.fixture(scope="package", params=STARTED, ids=lambda case: case.name)
def llm(request: pytest.FixtureRequest, world: World) -> Iterator[Case]:
    vllm.runtime_root()
    case: Case = request.param
    try:
        service = world.start(case)
        assert service.state == states.READY, f"{service.message}\n{world.log(case)}"
        yield case
    finally:
        if Service.objects.filter(name=case.name).exists():
            world.stop(case)


def test_it_answers_over_openai(world: World, llm: Case) -> None:
    for name, answer in _named(llm):
        status, body = world.server.post("/v1/chat/completions", vllm.chat_body(name, temperature=0))
        assert (status, vllm.text_of(body).strip()) == (200, answer), body


def test_it_answers_over_v2_grpc(world: World, llm: Case) -> None:
    metadata = [("x-api-key", world.key)]
    with grpc.insecure_channel(world.gateway.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for name, answer in _named(llm):
            request = service_pb2.ModelInferRequest(model_name=name)
            prompt = request.inputs.add(name="prompt", datatype="BYTES", shape=[1])
            prompt.contents.bytes_contents.append(vllm.QUESTION.encode())
            request.parameters["temperature"].double_param = 0
            response = stub.ModelInfer(request, metadata=metadata, timeout=60)
            assert response.outputs[0].contents.bytes_contents[0].decode().strip() == answer


def test_v1_is_another_protocol(world: World, llm: Case) -> None:
    status, body = world.server.post(f"/v1/models/{llm.name}:predict", {"instances": [vllm.QUESTION]})
    assert status == 404 and "it answers /v1/chat/completions" in body["error"], body


def test_the_panel_can_be_sent_as_it_stands(world: World, llm: Case) -> None:
    pages.send_panel(world, llm)


def test_each_snippet_of_its_page_runs_as_printed(world: World, llm: Case, tmp_path: Path) -> None:
    snippets = pages.snippets(world, llm)
    assert {"curl", "python_openai", "javascript", "python_grpc"} <= snippets.keys()
    for name, snippet in snippets.items():
        directory = tmp_path / name
        directory.mkdir()
        printed = pages.run(world, snippet, name, directory)
        assert printed.strip() and "error" not in printed[:20], printed
        if name == "curl":
            assert printed.rstrip().endswith("data: [DONE]")


def _named(case: Case) -> list[tuple[str, str]]:
    """Each model that callers can name, and what it answers."""
    return [(f"{case.name}:{adapter}" if adapter else case.name, answer) for adapter, answer in case.answers.items()]
