"""The test panel against real Tritons behind a real gateway: probes over both protocols, and snippets run as pasted.

grpcurl is not run: it cannot be had from the package index that the tests install from. What it would send is parsed
by protobuf's own JSON reader instead, and sent by grpc.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from google.protobuf import json_format
from tritonclient.grpc import service_pb2, service_pb2_grpc

from console.accounts.principal import SYSTEM, Principal, for_user
from console.errors import Conflict, InvalidFields, Unavailable
from console.first_run.example import PIXELS
from console.models import Team
from datasets.actions import datasets
from datasets.actions.rounds import request_round
from datasets.jobs import rounds
from services import states
from services.clients.inference import grpc as inference_grpc
from services.control import publishing
from services.gateway.snapshot import Snapshot
from services.listeners import Listeners
from services.models import ApiKey, GatewayRevision, Service
from services.panel import keys as panel_keys
from services.panel import tensors as panel_tensors
from tests.ports import free_ports
from tests.servers.gateway.rig import Gateway, until
from tests.servers.triton import context_for, runtime_root, serve, shared_samples
from tests.services.ready import place, ready_service

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

TEXT = 'it\'s "quoted" $HOME `id` \\n é'
WORDS_CONFIG = """backend: "python"
max_batch_size: 0
input [ { name: "te\\"xt's" data_type: TYPE_STRING dims: [ -1 ] }, { name: "half" data_type: TYPE_FP16 dims: [ 2 ] } ]
output [ { name: "TEXT" data_type: TYPE_STRING dims: [ -1 ] }, { name: "HALF" data_type: TYPE_FP16 dims: [ 2 ] } ]
"""
WORDS_MODEL = """import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        text, half = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("te\\"xt's", "half"))
        if b"raise" in text:
            raise ValueError("told to raise")
        return pb_utils.InferenceResponse([pb_utils.Tensor("TEXT", text), pb_utils.Tensor("HALF", half)])
"""


@pytest.fixture(scope="module")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Listeners]]:
    """Service name -> where the Triton that serves it listens: no two replicas listen at the same place."""
    samples = shared_samples(tmp_path_factory)
    words = tmp_path_factory.mktemp("panel") / "words"
    (words / "1").mkdir(parents=True)
    (words / "config.pbtxt").write_text(WORDS_CONFIG)
    (words / "1" / "model.py").write_text(WORDS_MODEL)
    trees = {"digits": samples / "mnist-svm", "repeat": samples / "repeat", "echo": samples / "echo", "words": words}
    with ExitStack() as stack:
        listeners = {}
        for name, tree in trees.items():
            context = context_for(name, tree, tmp_path_factory.mktemp(name), runtime_root())
            listeners[name] = stack.enter_context(serve(context)).listeners
        yield listeners


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway.started(settings.HOME.gateway, Snapshot()) as running:
        yield running


@pytest.fixture
def services(
    tritons: dict[str, Listeners], gateway: Gateway, team: Team, repeat_tree: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Service]:
    """Ready services of team vision behind the gateway, which sends to their replicas over both protocols."""
    monkeypatch.setattr(settings, "GATEWAY_PORT", gateway.port)
    trees = {"repeat": repeat_tree}
    by_name = {
        name: ready_service(team, name, monkeypatch, listeners=listeners, tree=trees.get(name, ""))
        for name, listeners in tritons.items()
    }
    until(lambda: not any(publishing.open_up(each, each.replica_set.all()) for each in by_name.values()))
    return by_name


@pytest.fixture
def repeat_tree(team: Team, dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the preheated files of the sample `repeat`: from them the console knows that it streams."""
    folder = dataset_root / "panel" / "repeat"
    shutil.copytree(shared_samples(tmp_path_factory) / "repeat", folder, dirs_exist_ok=True)
    dataset = datasets.create(team=team, name="panel", kind="local", options={"path": str(folder.parent)}, actor=SYSTEM)
    job = request_round(dataset, "repeat", actor=SYSTEM)
    rounds.run(job.pk)
    job.refresh_from_db()
    assert job.tree, job.message
    return job.tree


@pytest.fixture
def viewer(bob: User) -> Principal:
    return for_user(bob)


def digits(protocol: str, **more: Any) -> dict[str, Any]:
    return {"protocol": protocol, "inputs": [{"name": "predict", "shape": [1, 64], "data": PIXELS}], **more}


@pytest.mark.parametrize(("protocol", "encoding"), [("http", "json"), ("http", "binary"), ("grpc", "auto")])
def test_a_viewer_gets_an_8_over_either_protocol(
    services: dict[str, Service], viewer: Principal, protocol: str, encoding: str
) -> None:
    result = panel_tensors.probe(services["digits"], digits(protocol, encoding=encoding), actor=viewer)
    answer = result.answer
    assert answer.ok, answer.error
    assert answer.status == {"http": "200 OK", "grpc": "OK"}[protocol]
    (output,) = answer.outputs
    assert (output.name, output.datatype, output.shape, output.values) == ("predict", "FP32", (1,), [8.0])
    timing = answer.timing
    assert timing.wait_ms > 0 and timing.connect_ms > 0 and timing.total_ms >= timing.wait_ms
    text = json.dumps(result.to_json())
    assert "$API_KEY" in text and "isk_" not in text.replace("isk_...", ""), "the key itself is never shown"


def test_a_decoupled_model_answers_once_for_each_value_over_grpc(
    services: dict[str, Service], viewer: Principal
) -> None:
    payload = {"protocol": "grpc", "inputs": [{"name": "IN", "data": [4, 2, 0, 1]}]}
    answer = panel_tensors.probe(services["repeat"], payload, actor=viewer).answer
    assert answer.ok and answer.request.first_line.endswith("/ModelStreamInfer")
    assert [response.outputs[0].values for response in answer.responses] == [[4], [2], [0], [1]]
    times = [response.at_ms for response in answer.responses]
    assert times == sorted(times) and times[0] > 0


def test_a_stream_without_end_is_ended_by_the_panel(
    services: dict[str, Service], viewer: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_grpc, "MOST_RESPONSES", 3)
    payload = {"protocol": "grpc", "inputs": [{"name": "IN", "data": list(range(500))}]}
    answer = panel_tensors.probe(services["repeat"], payload, actor=viewer).answer
    assert (answer.ok, len(answer.responses), answer.status) == (True, 3, "OK, ended after 3 responses")


def test_a_decoupled_model_over_http_is_refused_and_the_hint_names_grpc(
    services: dict[str, Service], viewer: Principal
) -> None:
    payload = {"protocol": "http", "inputs": [{"name": "IN", "data": [4, 2]}]}
    result = panel_tensors.probe(services["repeat"], payload, actor=viewer)
    assert not result.answer.ok and "decoupled" in result.answer.error and "over gRPC" in result.hint


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_text_and_half_floats_come_back_as_they_were_sent(
    services: dict[str, Service], viewer: Principal, protocol: str
) -> None:
    answer = panel_tensors.probe(services["words"], words(protocol), actor=viewer).answer
    assert answer.ok, answer.error
    assert {output.name: output.values for output in answer.outputs} == {"TEXT": [TEXT, ""], "HALF": [0.1, -2.0]}


def words(protocol: str, text: str = TEXT) -> dict[str, Any]:
    inputs = [{"name": "te\"xt's", "data": [text, ""]}, {"name": "half", "data": [0.1, -2]}]
    return {"protocol": protocol, "inputs": inputs}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_error_of_the_model_is_a_result_in_words(
    services: dict[str, Service], viewer: Principal, protocol: str
) -> None:
    result = panel_tensors.probe(services["words"], words(protocol, "raise"), actor=viewer)
    assert not result.answer.ok and "told to raise" in result.answer.error and "log" in result.hint


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_16_mib_pass_and_17_are_refused_with_the_limit_named(
    services: dict[str, Service], viewer: Principal, protocol: str
) -> None:
    def send(mib: int) -> panel_tensors.ProbeResult:
        inputs = [{"name": "IN", "shape": [mib << 18], "generate": "sequence"}]
        return panel_tensors.probe(services["echo"], {"protocol": protocol, "inputs": inputs}, actor=viewer)

    fine = send(16)
    assert fine.answer.ok, fine.answer.error
    (output,) = fine.answer.outputs
    assert output.total == 16 << 18 and output.truncated and output.values[:3] == [0.0, 1.0, 2.0]
    refused = send(17)
    assert not refused.answer.ok and "16 MiB" in refused.answer.error and "MAX_PAYLOAD_MIB" in refused.hint


@pytest.mark.parametrize(("protocol", "status"), [("http", "401 Unauthorized"), ("grpc", "UNAUTHENTICATED")])
def test_a_key_of_ones_own_is_what_is_sent(
    services: dict[str, Service], viewer: Principal, protocol: str, status: str
) -> None:
    result = panel_tensors.probe(services["digits"], digits(protocol, api_key="isk_wrong"), actor=viewer)
    assert result.answer.status == status and "API key" in result.answer.error and result.hint
    assert "isk_wrong" not in json.dumps(result.to_json())


def test_the_panel_makes_one_key_and_finds_it_again(services: dict[str, Service], viewer: Principal) -> None:
    first = panel_keys.key_for(services["digits"])
    published = GatewayRevision.objects.count()
    assert panel_keys.key_for(services["digits"]) == first
    panel_tensors.probe(services["digits"], digits("grpc"), actor=viewer)
    assert GatewayRevision.objects.count() == published, "a second test publishes nothing"
    row = ApiKey.objects.get()
    assert (row.services, row.scopes, row.team) == (["digits"], ["infer"], services["digits"].team)
    assert first not in json.dumps(list(ApiKey.objects.values()), default=str)


def test_the_panels_key_opens_no_other_service(services: dict[str, Service], viewer: Principal) -> None:
    key = panel_keys.key_for(services["echo"])
    result = panel_tensors.probe(services["digits"], digits("http", api_key=key), actor=viewer)
    assert result.answer.status == "403 Forbidden" and "does not open" in result.hint


def test_a_public_service_is_called_without_a_key(services: dict[str, Service], viewer: Principal) -> None:
    service = services["digits"]
    assert service.serving is not None
    service.serving.spec["auth"]["policy"] = "public"
    service.serving.save()
    publishing.publish()
    for protocol in ("http", "grpc"):
        # The gateway needs a moment to read what was published.
        result = until(lambda p=protocol: succeeded(panel_tensors.probe(service, digits(p), actor=viewer)))
        assert "API_KEY" not in json.dumps(result.to_json())
    assert not ApiKey.objects.exists()


def succeeded(result: panel_tensors.ProbeResult) -> panel_tensors.ProbeResult | None:
    return result if result.answer.ok else None


def test_wrong_inputs_are_named_before_anything_is_sent(services: dict[str, Service], viewer: Principal) -> None:
    payload = {"inputs": [{"name": "predict", "shape": [1, 64], "data": PIXELS[:-1]}]}
    with pytest.raises(InvalidFields) as caught:
        panel_tensors.probe(services["digits"], payload, actor=viewer)
    assert caught.value.errors == {"inputs.0.data": ["Shape [1, 64] needs 64 values, you gave 63."]}
    assert not ApiKey.objects.exists()


def test_a_replica_that_is_away_and_a_service_that_is_not_ready_say_so(
    services: dict[str, Service], viewer: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = services["digits"]
    place(service.replica_set.get(), Listeners.on_ports(1, 2, 3), monkeypatch)
    with pytest.raises(Unavailable, match="No replica of digits"):
        panel_tensors.probe(service, digits("http"), actor=viewer)
    service.state, service.message = states.STARTING, "1 of 1 replicas start."
    with pytest.raises(Conflict, match="digits is STARTING"):
        panel_tensors.probe(service, digits("http"), actor=viewer)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_gateway_that_is_away_is_unavailable(
    services: dict[str, Service], viewer: Principal, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(inference_grpc, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(settings, "GATEWAY_PORT", free_ports(1)[0])
    with pytest.raises(Unavailable, match="gateway does not answer"):
        panel_tensors.probe(services["digits"], digits(protocol, api_key="x"), actor=viewer)


CASES = {
    "digits": (digits("http"), "8."),
    "words": (words("http"), '"quoted" $HOME `id`'),
    "echo": ({"inputs": [{"name": "IN", "shape": [5000], "generate": "ones"}]}, "OUT"),
    "repeat": ({"inputs": [{"name": "IN", "data": [4, 2, 7]}]}, "[7]"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_snippets_run_as_pasted(
    services: dict[str, Service], viewer: Principal, gateway: Gateway, tmp_path: Path, name: str
) -> None:
    payload, expected = CASES[name]
    snippets = panel_tensors.probe(services[name], payload, actor=viewer).snippets
    key = panel_keys.key_for(services[name])
    output = run([sys.executable, "-P", "-c", snippets["python_grpc"]], key, tmp_path)
    assert expected in output
    check_grpcurl(snippets["grpcurl"], key, gateway)
    if name == "repeat":
        return  # it streams, which HTTP cannot
    assert expected in run([sys.executable, "-P", "-c", snippets["python_http"]], key, tmp_path)
    output = run(["bash", "-euc", snippets["curl"]], key, tmp_path)
    answer = tmp_path / "answer.bin"
    if answer.exists():
        assert "HTTP 200" in output and b'"outputs"' in answer.read_bytes()
    else:
        assert json.loads(output)["outputs"][0]["data"] == [8.0]


def run(argv: list[str], key: str, directory: Path) -> str:
    env = {"PATH": os.environ["PATH"], "API_KEY": key, "NO_PROXY": "127.0.0.1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, env=env, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_grpcurl(snippet: str, key: str, gateway: Gateway) -> None:
    """Has the shell take the snippet apart with a `grpcurl` that prints its arguments and input; sends what it says."""
    show = """grpcurl() { printf '%s\\0' "$@"; case "$*" in *' -d @ '*) cat;; esac; }\n"""
    env = {"PATH": os.environ["PATH"], "API_KEY": key}
    done = subprocess.run(["bash", "-euc", show + snippet], env=env, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    *arguments, piped = done.stdout.decode().split("\0")
    flags = dict(itertools.pairwise(arguments))
    body = piped if flags["-d"] == "@" else flags["-d"]
    request = json_format.Parse(body, service_pb2.ModelInferRequest())
    assert arguments[-2] == gateway.address and flags["-protoset"] == "inference.protoset"
    header, _, value = flags["-H"].partition(": ")
    with grpc.insecure_channel(arguments[-2]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        if arguments[-1] == "inference.GRPCInferenceService/ModelStreamInfer":
            answers = list(stub.ModelStreamInfer(iter([request]), metadata=[(header, value)], timeout=30))
            assert answers and not any(answer.error_message for answer in answers)
        else:
            assert arguments[-1] == "inference.GRPCInferenceService/ModelInfer"
            assert stub.ModelInfer(request, metadata=[(header, value)], timeout=30).outputs


def test_a_snippet_without_its_key_says_which_variable_to_set(
    services: dict[str, Service], viewer: Principal, tmp_path: Path
) -> None:
    snippets = panel_tensors.probe(services["digits"], digits("http"), actor=viewer).snippets
    for snippet in snippets.values():
        assert snippet.startswith("# Needs an API key: export API_KEY=")
    path = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-euc", snippets["curl"]], env=path, capture_output=True, text=True)
    assert done.returncode != 0 and "API_KEY" in done.stderr
