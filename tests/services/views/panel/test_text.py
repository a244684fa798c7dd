"""The test panel of a service that generates text, against a small server of the OpenAI API in the gateway's place."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from console.asgi import application
from console.models import Team
from services import states
from services.control import publishing
from services.models import Service
from services.specs import Auth, Header
from tests.services.openai_server import USAGE, WORDS, OpenAIServer, serve_openai
from tests.services.ready import at_port, ready_service

URL = "/services/chatty/test/"
SEND = "/services/chatty/test/send/"
STREAM = "/services/chatty/test/stream/"
ESCAPED = "I am &lt;b&gt;small&lt;/b&gt; &amp; é"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with serve_openai() as started:
        yield started


@pytest.fixture
def make(team: Team, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Service]:
    monkeypatch.setattr(settings, "GATEWAY_PORT", server.port)
    monkeypatch.setattr(publishing, "publish", lambda: None)

    def make_service(task: str = "chat", **more: Any) -> Service:
        config = {"task": task, **more.pop("framework_config", {})}
        more |= {"framework": "vllm", "framework_config": config}
        return ready_service(team, "chatty", monkeypatch, listeners=at_port(server.port), **more)

    return make_service


@pytest.fixture
def service(make: Callable[..., Service]) -> Service:
    return make()


@pytest.fixture
def owner(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


def form(**more: str) -> dict[str, str]:
    return {
        "protocol": "openai",
        "user": "Who are you?",
        "system": "",
        "max_tokens": "16",
        "temperature": "0",
        "stream": "on",
        **more,
    }


def events(answer: Any) -> list[tuple[str, Any]]:
    """(kind, data) of what came."""
    assert answer.headers["Content-Type"] == "text/event-stream"

    async def whole() -> str:
        return b"".join([chunk async for chunk in answer.streaming_content]).decode()

    return parsed(async_to_sync(whole)())


def parsed(text: str) -> list[tuple[str, Any]]:
    matches = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)
    return [(kind, json.loads(data)) for kind, data in matches]


def test_the_form_asks_what_a_chat_needs_and_no_tensors(owner: Client, service: Service) -> None:
    text = owner.get(URL).content.decode()
    for field in ("system", "user", "max_tokens", "temperature", "stream"):
        assert f'name="{field}"' in text
    assert 'name="i0-how"' not in text and "gRPC (V2 text)" in text


@pytest.mark.parametrize("task", ["chat", "completion"])
def test_a_fresh_form_can_be_sent_as_it_is(
    owner: Client, make: Callable[..., Service], server: OpenAIServer, task: str
) -> None:
    """Also to a model whose whole context is shorter than what is usually asked for."""
    service = make(task)
    revision = service.serving
    assert revision is not None
    form = owner.get(URL).context["text_form"]
    assert (form.user, form.max_tokens) == ("Hello! Who are you?", "128")
    revision.described = {"max_model_len": 48}
    revision.save()
    form = owner.get(URL).context["text_form"]
    fields = {name: getattr(form, name) for name in ("protocol", "user", "system", "max_tokens", "temperature")}
    assert owner.post(SEND, fields).status_code == 200
    assert server.requests[-1]["max_tokens"] == 24
    examples = [text for _, _, text in owner.get("/services/chatty/access/").context["snippets"]]
    assert examples and all(re.search(r"max_tokens.{1,20}\b24\b", text) for text in examples)


def test_an_embedding_asks_for_a_text_only_and_shows_the_vector(
    owner: Client, make: Callable[..., Service], server: OpenAIServer
) -> None:
    make("embedding")
    page = owner.get(URL).content.decode()
    assert 'name="user"' in page and 'name="max_tokens"' not in page and 'name="stream"' not in page
    text = owner.post(SEND, form(user="a text")).content.decode()
    assert server.requests[-1] == {"model": "chatty", "input": "a text"}
    assert "[0.25, -1.5, 2.0]" in text and "3 numbers" in text and "2 tokens" in text


def test_the_answer_comes_in_pieces_and_then_as_a_whole(owner: Client, service: Service, server: OpenAIServer) -> None:
    came = events(owner.post(STREAM, form(system="Be brief."), headers={"host": "testserver"}))
    assert [data["text"] for kind, data in came if kind == "text"] == list(WORDS)
    times = [data["at_ms"] for kind, data in came if kind == "text"]
    assert times == sorted(times) and times[0] > 0
    (kind, last) = came[-1]
    assert kind == "result" and ESCAPED in last["html"] and "<b>small" not in last["html"]
    for figure in ("First token", "tokens/s", f"{USAGE['prompt_tokens']} tokens"):
        assert figure in last["html"]
    assert f"http://testserver:{server.port}/v1/chat/completions" in last["html"], "as this person reaches the gateway"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]
    assert server.requests[-1] == {
        "model": "chatty",
        "messages": messages,
        "max_tokens": 16,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    key = server.headers[-1]["authorization"].removeprefix("Bearer ")
    assert key.startswith("isk_") and key not in json.dumps(came)


def test_without_javascript_the_whole_page_comes_back_with_what_was_typed(owner: Client, service: Service) -> None:
    text = owner.post(SEND, {name: value for name, value in form().items() if name != "stream"}).content.decode()
    assert "<html" in text and ESCAPED in text and "Who are you?</textarea>" in text
    assert 'name="stream" value="on" checked' not in text


def test_a_completion_sends_its_prompt(owner: Client, make: Callable[..., Service], server: OpenAIServer) -> None:
    make("completion")
    came = events(owner.post(STREAM, form(user="Once upon")))
    assert server.requests[-1]["prompt"] == "Once upon" and came[-1][0] == "result"


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("max_tokens", "0", "whole number from 1"),
        ("max_tokens", "many", "whole number from 1"),
        ("temperature", "3", "number from 0 to 2"),
        ("user", " ", "Write a message."),
        ("model", "other", "Must be one of: chatty"),
        ("api_key", "a\tb", "without spaces"),
        ("protocol", "soap", "Must be openai or grpc"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_sent(
    owner: Client, service: Service, server: OpenAIServer, field: str, typed: str, message: str
) -> None:
    for url in (SEND, STREAM):
        answer = owner.post(url, form(**{field: typed}))
        assert answer.status_code == 422 and message in answer.content.decode(), url
    assert server.requests == []


def test_a_refusal_is_shown_with_what_to_do(owner: Client, service: Service, server: OpenAIServer) -> None:
    server.refusal = (429, b'{"error": {"message": "tokens <per> minute", "type": "rate_limit"}}')
    html = events(owner.post(STREAM, form()))[-1][1]["html"]
    assert "429 Too Many Requests" in html and "tokens &lt;per&gt; minute" in html and "used up" in html
    assert "tokens &lt;per&gt; minute" in owner.post(SEND, form()).content.decode()


def test_a_stream_that_is_cut_keeps_what_came_and_says_so(
    owner: Client, service: Service, server: OpenAIServer
) -> None:
    server.torn = True
    html = events(owner.post(STREAM, form()))[-1][1]["html"]
    assert ESCAPED in html and "ended before it was complete" in html and 'data-ok="false"' in html


def test_what_the_service_asks_for_is_sent_and_stands_in_the_snippets(
    owner: Client, make: Callable[..., Service], server: OpenAIServer
) -> None:
    make(auth=Auth(header="x-tenant-key", parameters=(Header("x-tenant", "blue"),)))
    html = events(owner.post(STREAM, form(api_key="isk_mine")))[-1][1]["html"]
    sent = server.headers[-1]
    assert sent["x-tenant-key"] == "isk_mine" and sent["x-tenant"] == "blue" and "authorization" not in sent
    assert "isk_mine" not in html and "x-tenant-key: $API_KEY" in html and "x-tenant: blue" in html


def test_an_adapter_can_be_chosen(owner: Client, make: Callable[..., Service], server: OpenAIServer) -> None:
    make(framework_config={"lora_modules": [{"name": "polite", "path": "polite"}]})
    assert 'value="chatty:polite"' in owner.get(URL).content.decode()
    events(owner.post(STREAM, form(model="chatty:polite")))
    assert server.requests[-1]["model"] == "chatty:polite"


def test_a_gateway_that_is_away_is_said(owner: Client, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "GATEWAY_PORT", 1)
    ((kind, data),) = events(owner.post(STREAM, form(api_key="isk_mine")))
    assert kind == "problem" and "gateway does not answer" in data["html"]
    page = owner.post(SEND, form(api_key="isk_mine"))
    assert page.status_code == 503 and "gateway does not answer" in page.content.decode()


def test_a_service_that_is_not_ready_says_so(owner: Client, service: Service) -> None:
    Service.objects.filter(pk=service.pk).update(state=states.STARTING, message="loading")
    assert "chatty is STARTING" in owner.get(URL).content.decode()
    for url, status in ((SEND, 409), (STREAM, 422)):
        answer = owner.post(url, form())
        assert answer.status_code == status and "chatty is STARTING" in answer.content.decode()


def test_who_may_test(
    service: Service,
    alice: User,
    bob: User,
    charlie: User,
    admin: User,
    client_of: Callable[[User | None], Client],
) -> None:
    for user, status in ((alice, 200), (bob, 200), (admin, 200), (charlie, 404)):
        client = client_of(user)
        assert client.get(URL).status_code == status
        assert client.post(SEND, form()).status_code == status
        answer = client.post(STREAM, form())
        assert answer.status_code == status
        if status == 200:
            assert events(answer)[-1][0] == "result"
    nobody = client_of(None)
    for answer in (nobody.get(URL), nobody.post(SEND, form()), nobody.post(STREAM, form())):
        assert answer.status_code == 302 and "/login/" in answer.headers["Location"]


def test_streaming_needs_a_post_and_a_token(service: Service, alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get(STREAM).status_code == 405
    assert client.post(STREAM, form()).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_who_closes_the_tab_ends_the_generation(service: Service, owner: Client, server: OpenAIServer) -> None:
    server.endless = True
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in owner.cookies.items())
    came = asyncio.run(_read_and_leave(cookie))
    assert came[0][0] == "text"
    assert server.gone.wait(10), "the model goes on generating for nobody"


async def _read_and_leave(cookie: str) -> list[tuple[str, Any]]:
    """The first piece of an endless answer; then the browser is gone."""
    body = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in form().items()).encode()
    headers = [
        (b"host", b"127.0.0.1"),
        (b"cookie", f"{cookie}; {settings.CSRF_COOKIE_NAME}={'a' * 32}".encode()),
        (b"x-csrftoken", b"a" * 32),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", str(len(body)).encode()),
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": STREAM,
        "raw_path": STREAM.encode(),
        "query_string": b"",
        "headers": headers,
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    browser = ApplicationCommunicator(application, scope)
    await browser.send_input({"type": "http.request", "body": body})
    start = await browser.receive_output(10)
    assert start["status"] == 200, start
    text = ""
    while "event: text" not in text:
        text += (await browser.receive_output(10)).get("body", b"").decode()
    await browser.send_input({"type": "http.disconnect"})
    await browser.wait(10)
    return parsed(text)
