"""The test panel's pages against a small real V2 server that stands in for both the replica and the gateway."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from google.protobuf import descriptor_pb2

from console.models import Team
from services import states
from services.control import publishing
from services.models import ApiKey, Service
from tests.services.ready import at_port, ready_service
from tests.services.v2_server import V2Server, serve_v2

URL = "/services/digits/test/"
SEND = "/services/digits/test/send/"
HTMX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def server() -> Iterator[V2Server]:
    with serve_v2() as started:
        yield started


@pytest.fixture
def service(team: Team, server: V2Server, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(settings, "GATEWAY_PORT", server.port)
    monkeypatch.setattr(publishing, "publish", lambda: None)
    server.requests.clear()
    return ready_service(team, "digits", monkeypatch, listeners=at_port(server.port))


@pytest.fixture
def owner(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


def form(**more: Any) -> dict[str, Any]:
    return {"protocol": "http", "i0-how": "text", "i0-text": "1 2 3 4", "i0-shape-0": "", **more}


def test_the_form_names_each_input_with_its_type_and_shape(owner: Client, service: Service) -> None:
    page = owner.get(URL)
    assert page.status_code == 200
    text = page.content.decode()
    assert "predict" in text and "FP32 [-1, 2]" in text and "word" in text and "BYTES [1]" in text
    assert 'name="i0-shape-0"' in text and 'name="i0-shape-1"' not in text, "only free dimensions can be changed"
    assert not ApiKey.objects.exists(), "looking makes no key"


def test_a_fresh_form_can_be_sent_as_it_is(owner: Client, service: Service, server: V2Server) -> None:
    fields = re.findall(r'name="(i\d-[\w-]+)"', owner.get(URL).content.decode())
    assert {"i0-how", "i0-generate", "i1-text_value"} <= set(fields)
    answer = owner.post(SEND, {"protocol": "http"}, headers=HTMX)
    assert answer.status_code == 200 and b"200 OK" in answer.content
    sent = server.requests[-1]["inputs"]
    assert [(row["name"], row["shape"]) for row in sent] == [("predict", [1, 2]), ("word", [1])]
    assert sent[1]["data"] == ["hello"]


def test_the_answer_shows_outputs_times_request_and_snippets_but_never_the_key(
    owner: Client, service: Service, server: V2Server
) -> None:
    answer = owner.post(SEND, form(), headers={**HTMX, "host": "testserver"})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "[[1.0, 2.0], [3.0, 4.0]]" in text and "Send and wait" in text and "<html" not in text
    assert f"http://testserver:{server.port}/v2/models/digits/infer" in text, "the gateway as this person reaches it"
    assert "POST /v2/models/digits/infer" in text and "$API_KEY" in text
    key = server.keys[-1]
    assert key.startswith("isk_") and key not in text


def test_the_whole_page_comes_without_htmx_and_keeps_what_was_typed(owner: Client, service: Service) -> None:
    text = owner.post(SEND, form()).content.decode()
    assert "<html" in text and "1 2 3 4</textarea>" in text and "200 OK" in text


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("1 2 3", "Shape [2, 2] needs 4 values, you gave 3."),
        ("1 2 3 oops", 'predict: "oops" is not a number (value 4).'),
        ("1 2 3 1e39", "predict: 1e+39 does not fit FP32."),
        ("[1, 2,", "This is not JSON"),
        ("[1, 2, 3, true]", "FP32 needs a number everywhere; value 4 is true."),
        ("[[1, 2], [3]]", "do not all have the same length"),
        ("", "Give values"),
    ],
)
def test_what_is_wrong_is_said_at_the_input(
    owner: Client, service: Service, server: V2Server, typed: str, message: str
) -> None:
    answer = owner.post(SEND, form(**{"i0-text": typed, "i0-shape-0": "2"}), headers=HTMX)
    assert answer.status_code == 422
    at_input = re.search(r'id="i0-errors" hx-swap-oob="true">(.*?)</ul>', answer.content.decode(), re.S)
    assert at_input is not None and message in html.unescape(at_input.group(1))
    assert server.requests == [], "nothing was sent"


def test_a_size_that_is_no_number_is_named_with_its_dimension(owner: Client, service: Service) -> None:
    answer = owner.post(SEND, form(**{"i0-shape-0": "many"}), headers=HTMX)
    assert answer.status_code == 422
    assert 'such as [1, 64]; dimension 1 is "many".' in html.unescape(answer.content.decode())


def test_an_error_lands_at_its_input_when_one_before_it_is_left_out(owner: Client, service: Service) -> None:
    answer = owner.post(SEND, form(**{"i0-how": "none", "i1-how": "text", "i1-text": "a\nb"}), headers=HTMX)
    text = answer.content.decode()
    assert re.search(r'id="i1-errors"[^>]*><li>Shape \[1\] needs 1 value, you gave 2', text)
    assert re.search(r'id="i0-errors"[^>]*></ul>', text)


def test_messages_of_no_input_are_shown_above(owner: Client, service: Service) -> None:
    answer = owner.post(SEND, form(protocol="soap"), headers=HTMX)
    assert answer.status_code == 422 and "Must be http, grpc or v1" in answer.content.decode()


def test_uploaded_files_are_read(owner: Client, service: Service, server: V2Server) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([[5, 6]], dtype=np.float32))
    stream.seek(0)
    stream.name = "values.npy"
    answer = owner.post(SEND, form(**{"i0-how": "file", "i0-file": stream}), headers=HTMX)
    assert answer.status_code == 200
    assert server.requests[-1]["inputs"][0]["data"] == [5.0, 6.0]
    missing = owner.post(SEND, form(**{"i0-how": "file"}), headers=HTMX)
    assert missing.status_code == 422 and b"Choose a file." in missing.content


def test_a_key_of_ones_own_is_used_once_and_never_shown(owner: Client, service: Service, server: V2Server) -> None:
    for headers in (HTMX, {}):
        answer = owner.post(SEND, form(api_key="isk_mine"), headers=headers)
        assert server.keys[-1] == "isk_mine" and b"isk_mine" not in answer.content
    bad = owner.post(SEND, form(api_key="a\nb"), headers=HTMX)
    assert bad.status_code == 422 and b"without spaces" in bad.content
    assert not ApiKey.objects.exists(), "the panel's own key was not needed"


def test_a_refusal_is_shown_with_its_status_and_what_to_do(owner: Client, service: Service, server: V2Server) -> None:
    server.answer = (400, b'{"error": "unexpected <shape>"}')
    try:
        answer = owner.post(SEND, form(), headers=HTMX)
    finally:
        server.answer = None
    text = answer.content.decode()
    assert answer.status_code == 200 and "400 Bad Request" in text
    assert "unexpected &lt;shape&gt;" in text and "Compare names" in text


def test_a_service_that_is_not_ready_says_so_and_the_page_turns_into_the_panel_once_it_is(
    owner: Client, service: Service
) -> None:
    Service.objects.filter(pk=service.pk).update(state=states.STARTING, message="0 of 1 replicas answer.")
    page = owner.get(URL).content.decode()
    assert "digits is STARTING" in page and "0 of 1 replicas answer." in page and "i0-how" not in page
    waiting = owner.get(URL, headers=HTMX)
    assert b"<html" not in waiting.content and b"STARTING" in waiting.content
    refused = owner.post(SEND, form(), headers=HTMX)
    assert refused.status_code == 422 and b"digits is STARTING" in refused.content
    assert owner.post(SEND, form()).status_code == 409
    Service.objects.filter(pk=service.pk).update(state=states.READY)
    assert owner.get(URL, headers=HTMX).headers["HX-Refresh"] == "true"


def test_who_may_test(
    service: Service, bob: User, charlie: User, admin: User, client_of: Callable[[User | None], Client]
) -> None:
    for user, status in ((bob, 200), (admin, 200), (charlie, 404)):
        client = client_of(user)
        assert client.get(URL).status_code == status
        assert client.post(SEND, form(), headers=HTMX).status_code == status
    nobody = client_of(None)
    for answer in (nobody.get(URL), nobody.post(SEND, form()), nobody.get("/protoset/")):
        assert answer.status_code == 302 and "/login/" in answer.headers["Location"]


def test_sending_needs_a_post_and_a_token(service: Service, alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get(SEND).status_code == 405
    assert client.post(SEND, form()).status_code == 403


def test_the_protoset_describes_the_protocol(owner: Client, db: None) -> None:
    answer = owner.get("/protoset/")
    assert "inference.protoset" in answer.headers["Content-Disposition"]
    files = descriptor_pb2.FileDescriptorSet.FromString(answer.content).file
    methods = {method.name for file in files for service in file.service for method in service.method}
    assert {"ModelInfer", "ModelStreamInfer"} <= methods
    names = [file.name for file in files]
    assert all(dependency in names for file in files for dependency in file.dependency), "nothing else is needed"
    (parameters,) = (
        field
        for file in files
        for message in file.message_type
        if message.name == "ModelInferRequest"
        for field in message.field
        if field.name == "parameters"
    )
    assert parameters.type_name.endswith(".ParametersEntry"), "a map, as clients write it; Envoy gets another form"


def test_kserve_v1_comes_with_an_example_of_the_models_inputs(owner: Client, service: Service) -> None:
    text = html.unescape(owner.get(URL).content.decode())
    assert 'value="v1"' in text and '{"instances": [{"predict": [0.0, 0.0], "word": "hello"}]}' in text


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ('{"instances": [1', "This is not JSON"),
        ("[1]", "Give an object"),
        ('{"rows": []}', "Give an object"),
        ('{"instances": [1], "inputs": [1]}', "Give `instances`"),
    ],
)
def test_what_is_wrong_with_a_v1_request_is_said_at_it(
    owner: Client, service: Service, server: V2Server, typed: str, message: str
) -> None:
    answer = owner.post(SEND, form(protocol="v1", v1=typed), headers=HTMX)
    assert answer.status_code == 422
    at_field = re.search(r'id="v1-errors" hx-swap-oob="true">(.*?)</ul>', answer.content.decode(), re.S)
    assert at_field is not None and message in html.unescape(at_field.group(1))
    assert server.requests == [], "nothing was sent"


def test_a_v1_request_is_sent_as_it_was_typed(owner: Client, service: Service, server: V2Server) -> None:
    server.answer = (200, b'{"predictions": [[8, "<i>"]]}')
    try:
        answer = owner.post(SEND, form(protocol="v1", v1='{"instances": [[1, 2]]}'), headers=HTMX)
    finally:
        server.answer = None
    text = html.unescape(answer.content.decode())
    assert server.requests == [{"instances": [[1, 2]]}]
    assert '[8, "<i>"]' in text and "/v1/models/digits:predict" in text and "import urllib.request" in text
    assert b"<i>" not in answer.content
