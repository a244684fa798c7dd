"""The panel's and the access page's own examples, as they stand, for models of each kind, through gateway and bridge.

`tests/integration/corpus` does the same for many models; here are the kinds that it does not have.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from console.accounts.principal import SYSTEM, for_user
from console.models import Team
from datasets.actions import datasets
from datasets.actions.rounds import request_round
from datasets.jobs import rounds
from services.control import publishing
from services.gateway.snapshot import Snapshot
from services.models import Replica, Service
from services.panel import keys as panel_keys
from services.panel import tensors as panel_tensors
from tests import clients
from tests.integration.bridge import models
from tests.integration.bridge.models import HEAD, tensors
from tests.servers.gateway.rig import Gateway, until
from tests.servers.triton import RunningTriton, serve_several
from tests.services.ready import ready_service

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

HALF = """\
    def answer(self, request):
        x = read(request, "x")
        texts = np.array([b"\\xff" if value else b"a" for value in x], dtype=object)
        return [pb_utils.Tensor("half", (x / 10).astype(np.float16)), pb_utils.Tensor("text", texts)]
"""
COUNT = """\
    def initialize(self, args):
        self.sums = {}

    def answer(self, request):
        key = request.correlation_id() if hasattr(request, "correlation_id") else 0
        start = read(request, "START").ravel()[0]
        self.sums[key] = (0 if start else self.sums[key]) + read(request, "x")
        return [pb_utils.Tensor("sum", self.sums[key])]
"""
STREAM = """\
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for value in read(request, "x"):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("y", np.array([value], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
AUTO_STREAM = """
    @staticmethod
    def auto_complete_config(config):
        config.set_model_transaction_policy({"decoupled": True})
        return config
"""
SIZE = """\
    def answer(self, request):
        image = read(request, "image")
        return [pb_utils.Tensor("boxes", np.zeros((2 * len(image), 4), np.float32))]
"""
X = ("input", "x", "INT32", "-1")
SEQUENCES = """max_batch_size: 1
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  direct {}
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
}
"""
Y = ("output", "y", "INT32", "1")
KINDS = {
    "half": (tensors(X, ("output", "half", "FP16", "-1"), ("output", "text", "STRING", "-1")), HALF),
    "stream": ("model_transaction_policy { decoupled: true }\n" + tensors(X, Y), STREAM),
    "autostream": (tensors(X, Y), STREAM + AUTO_STREAM),
    "count": (SEQUENCES + tensors(("input", "x", "INT32", "1"), ("output", "sum", "INT32", "1")), COUNT),
    "large": (tensors(("input", "image", "UINT8", "[1, 300, 300, 3]"), ("output", "boxes", "FP32", "[-1, 4]")), SIZE),
    "huge": (tensors(("input", "image", "UINT8", "[1, 6000, 6000]"), ("output", "boxes", "FP32", "[-1, 4]")), SIZE),
    "add": models.MODELS["add"],
    "auto": models.MODELS["auto"],
    "either": models.MODELS["either"],
    "find": models.MODELS["find"],
    "none": models.MODELS["none"],
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    for name, (config, code) in KINDS.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(f'backend: "python"\n{config}')
        (root / name / "1" / "model.py").write_text(HEAD + code)
    return {name: root / name for name in KINDS}


@pytest.fixture(scope="module")
def triton(trees: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    with serve_several(trees, tmp_path_factory.mktemp("kinds-run")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """With the bridge behind it."""
    home = settings.HOME
    prepared = Gateway.prepared(home.gateway, Snapshot())
    command = [
        sys.executable,
        "-m",
        "services.bridge",
        "--folder",
        home.bridge,
        "--table",
        home.bridge_table,
        "--egress",
        home.gateway_egress,
    ]
    try:
        prepared.run()
        bridge = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL)
        try:
            until(home.bridge_http.exists)
            yield prepared
        finally:
            bridge.kill()
            bridge.wait(10)
    finally:
        prepared.kill()


@pytest.fixture
def serve(
    trees: dict[str, Path],
    triton: RunningTriton,
    gateway: Gateway,
    team: Team,
    dataset_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Service]:
    """Makes the service of that name: the only one, since all models are in one Triton, where no two may listen."""
    monkeypatch.setattr(settings, "GATEWAY_PORT", gateway.port)
    folder = dataset_root / "kinds"
    shutil.copytree(next(iter(trees.values())).parent, folder, dirs_exist_ok=True)
    dataset = datasets.create(team=team, name="kinds", kind="local", options={"path": str(folder)}, actor=SYSTEM)

    def make(name: str) -> Service:
        Replica.objects.all().delete()
        job = request_round(dataset, name, actor=SYSTEM)
        rounds.run(job.pk)
        job.refresh_from_db()
        service = ready_service(team, name, monkeypatch, listeners=triton.listeners, tree=job.tree)
        until(lambda: not publishing.open_up(service, service.replica_set.all()))
        return service

    return make


@pytest.fixture
def browser(client_of: Any, alice: Any) -> Client:
    logged_in: Client = client_of(alice)
    logged_in.defaults["HTTP_HOST"] = "127.0.0.1"
    return logged_in


def examples(browser: Client, service: Service) -> dict[str, str]:
    page = browser.get(f"/services/{service.name}/access/")
    assert page.status_code == 200
    return {id.removeprefix("call-"): text for id, _, text in page.context["snippets"]}


def run(name: str, snippet: str, service: Service, directory: Path) -> str:
    """What the snippet prints."""
    argv: list[Any] = ["bash", "-euc"]
    if name.startswith("python"):
        argv = [clients.python("clients-tensorflow" if name == "python_tfserving" else "clients"), "-P", "-c"]
    env = {"PATH": os.environ["PATH"], "API_KEY": panel_keys.key_for(service), "NO_PROXY": "*", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([*argv, snippet], env=env, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{snippet}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def send(browser: Client, service: Service, **fields: str) -> Any:
    """The answer to a fresh form, with these fields filled in."""
    page = browser.get(f"/services/{service.name}/test/")
    text = page.content.decode()
    chosen = re.search(r'name="protocol" value="(\w+)" checked', text)
    assert chosen, text
    given = {"protocol": chosen[1]} | {"v1": page.context["form"].v1}
    for item in page.context["form"].inputs:
        given |= {item.prefix + name: value for name, value in item.values.items()}
    if sequence := page.context["form"].sequence:
        given |= {"sequence_id": str(sequence["id"]), "sequence_start": "on", "sequence_end": "on"}
    result = browser.post(f"/services/{service.name}/test/send/", {**given, **fields}, headers={"HX-Request": "true"})
    assert result.status_code == 200, result.content.decode()
    return result.context["answer"]


def values(answer: Any) -> dict[str, Any]:
    assert answer.ok, answer.error
    return {output.name: output.values for output in answer.outputs}


@pytest.mark.parametrize("name", ["autostream", "large", "auto", "find", "none"])
def test_a_fresh_panel_and_each_example_of_the_access_page_answer_as_they_stand(
    serve: Callable[[str], Service], browser: Client, tmp_path: Path, name: str
) -> None:
    service, streams = serve(name), name == "autostream"
    page = browser.get(f"/services/{name}/test/")
    assert page.context["form"].protocol == ("grpc" if streams else "http")
    assert send(browser, service).ok
    snippets = examples(browser, service)
    http = {"curl", "python_http", "curl_v1", "python_v1", "python_tfserving"}
    assert snippets.keys() == {"python_grpc", "grpcurl"} | (set() if streams else http)
    for id, text in snippets.items():
        if id != "grpcurl":  # tests/integration/corpus runs it by a stand-in
            assert run(id, text, service, tmp_path).strip(), id


@pytest.mark.parametrize("encoding", ["auto", "json", "binary"])
def test_half_floats_and_bytes_come_back_over_http(
    serve: Callable[[str], Service], browser: Client, encoding: str
) -> None:
    answer = send(browser, serve("half"), **{"i0-how": "text", "i0-text": "0 5", "encoding": encoding})
    assert values(answer) == {"half": [0.0, 0.5], "text": ["a", "\\xff"]}


def test_the_curl_example_shows_half_floats_as_numbers(
    serve: Callable[[str], Service], tmp_path: Path, bob: Any
) -> None:
    service = serve("half")
    payload = {"protocol": "http", "inputs": [{"name": "x", "data": [0, 5]}]}
    snippets = panel_tensors.probe(service, payload, actor=for_user(bob)).snippets
    output = run("curl", snippets["curl"], service, tmp_path)
    assert output.splitlines() == ["HTTP 200, see answer.bin", "half [2] 0.0 0.5 ", "text [2] b'a' b'\\xff' "]


def test_the_v1_example_of_a_large_model_is_made_where_it_is_sent(
    serve: Callable[[str], Service], browser: Client, tmp_path: Path
) -> None:
    service = serve("large")
    snippets = examples(browser, service)
    predictions = json.loads(run("curl", snippets["curl_v1"], service, tmp_path))["predictions"]
    assert predictions == [[[0.0] * 4] * 2]
    assert run("python_v1", snippets["python_v1"], service, tmp_path).strip() == str(predictions)
    refused = browser.post("/services/large/test/send/", {"protocol": "v1", "v1": ""}, headers={"HX-Request": "true"})
    assert refused.status_code == 422 and "an example would have 270,000 values" in refused.content.decode()


def test_a_model_whose_requests_are_too_large_says_so_instead_of_an_example(
    serve: Callable[[str], Service], browser: Client
) -> None:
    assert examples(browser, serve("huge")) == {}
    page = browser.get("/services/huge/access/").content.decode()
    assert "One request of this model has 34.3 MiB, and the gateway takes 16 MiB" in page


@pytest.mark.parametrize(
    ("name", "reason", "protocols", "doors"),
    [
        ("stream", "The model streams its responses", {"http", "v1"}, {"v2-rest", "v1", "tfserving"}),
        ("autostream", "The model streams its responses", {"http", "v1"}, {"v2-rest", "v1", "tfserving"}),
        ("count", "The model has sequences", {"v1"}, {"v1", "tfserving"}),
        ("half", "", set(), set()),
    ],
)
def test_protocols_that_cannot_answer_say_why(
    serve: Callable[[str], Service], browser: Client, name: str, reason: str, protocols: set[str], doors: set[str]
) -> None:
    serve(name)
    page = browser.get(f"/services/{name}/test/")
    assert {each.value for each in page.context["form"].protocols if each.refusal} == protocols
    text = html.unescape(page.content.decode())
    assert set(re.findall(r'value="(\w+)" disabled', text)) == protocols
    assert text.count(f": {reason}") >= len(protocols)
    access = browser.get(f"/services/{name}/access/")
    assert {door.door for door, refusal in access.context["doors"] if refusal} == doors
    assert access.content.decode().count("No answer here: " + reason) == len(doors)


def test_what_a_refused_protocol_answers_comes_with_what_to_do(
    serve: Callable[[str], Service], browser: Client
) -> None:
    v1 = {"protocol": "v1", "v1": '{"instances": [1]}'}
    for name, fields in (("autostream", {"protocol": "http"}), ("count", v1)):
        serve(name)
        page = browser.post(
            f"/services/{name}/test/send/",
            {"i0-how": "generate", "i0-generate": "ones", **fields},
            headers={"HX-Request": "true"},
        )
        assert not page.context["answer"].ok and "Send it over gRPC." in page.content.decode()


def test_without_a_protocol_a_model_that_streams_is_called_over_grpc(serve: Callable[[str], Service], bob: Any) -> None:
    for name in ("stream", "autostream"):
        result = panel_tensors.probe(serve(name), {"inputs": [{"name": "x", "data": [4, 2]}]}, actor=for_user(bob))
        assert result.protocol == "grpc" and [each.outputs[0].values for each in result.answer.responses] == [[4], [2]]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_sequence_goes_on_in_the_panel(serve: Callable[[str], Service], browser: Client, protocol: str) -> None:
    serve("count")

    def step(number: int, start: bool, end: bool) -> Any:
        fields = {"protocol": protocol, "i0-how": "text", "i0-text": str(number), "i0-shape-0": "", "sequence_id": "77"}
        flags = {name: "on" for name, on in (("sequence_start", start), ("sequence_end", end)) if on}
        page = browser.post("/services/count/test/send/", {**fields, **flags}, headers={"HX-Request": "true"})
        return page.context["answer"]

    sums = [values(step(*each))["sum"] for each in ((1, True, False), (2, False, False), (3, False, True))]
    assert sums == [[1], [3], [6]]
    over = step(4, False, False)
    assert not over.ok and "must specify the START flag" in over.error


def test_a_sequence_id_that_is_none_is_named(serve: Callable[[str], Service], browser: Client) -> None:
    serve("count")
    fields = {"protocol": "http", "i0-how": "generate", "i0-generate": "ones"}
    for wrong in ("", "0", "x" * 129):
        page = browser.post(
            "/services/count/test/send/", {**fields, "sequence_id": wrong}, headers={"HX-Request": "true"}
        )
        assert page.status_code == 422, wrong
        match = re.search(r'id="sequence-errors" hx-swap-oob="true">(.*?)</ul>', page.content.decode(), re.S)
        assert match and "a whole number from 1" in match[1]


def test_optional_inputs_are_left_out_of_examples_and_of_a_fresh_panel(
    serve: Callable[[str], Service], browser: Client
) -> None:
    for name in ("add", "auto"):
        service = serve(name)
        form = browser.get(f"/services/{name}/test/").context["form"]
        assert [(item.tensor.name, item.optional, item.how) for item in form.inputs] == [
            ("a", False, "generate"),
            ("b", True, "none"),
        ]
        assert json.loads(form.v1) == {"instances": [0.0]}
        for text in examples(browser, service).values():
            assert '"b"' not in text and "'b'" not in text
    serve("either")
    form = browser.get("/services/either/test/").context["form"]
    assert [(item.optional, item.how) for item in form.inputs] == [(True, "generate")] * 2
