"""Bodies that say a thing twice, or in another coding: what the scripts have not read reaches no backend."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from itertools import product
from typing import Any

import pytest

from services.gateway.envoy import filters
from tests.integration.gateway.doors import BOTH, CHAT, COMPLETIONS, EMBEDDINGS, KEY, Doors
from tests.integration.gateway.raw import http1, http2

pytestmark = pytest.mark.integration
INFER = "/v2/models/mnist/infer"
OPENAI = [CHAT, COMPLETIONS, "/services/llama" + CHAT, "/services/vectors" + EMBEDDINGS]
HELLO = '{"model":"llama","messages":[]}'
JSON = "application/json"


def dangerous() -> list[str]:
    """Every field that the script refuses, read from the script itself."""
    source = (filters.LUA / "text/openai.lua").read_text(encoding="utf-8")
    match = re.search(r"refused = set\((.*?)\)", source, re.DOTALL)
    assert match
    return re.findall(r'"(\w+)"', match[1])


def test_every_dangerous_field_is_known(doors: Doors) -> None:
    assert {"prompt_embeds", "chat_template", "kv_transfer_params", "media_io_kwargs", "vllm_xargs"} <= set(dangerous())


@pytest.mark.parametrize("field", dangerous())
def test_a_dangerous_field_twice_reaches_nobody(doors: Doors, field: str) -> None:
    before = doors.count()
    harmless, harmful = ("null", "false", '""', "[]", "{}"), ('"x"', '{"a":1}', "[1]", "true")
    for good, bad in product(harmless, harmful):
        for first, then in ((good, bad), (bad, good)):
            pair = f'"{field}":{first},"{field}":{then}'
            for body in (
                f'{{"model":"llama","messages":[],{pair}}}',
                f'{{{pair},"model":"llama","messages":[]}}',
                f'{{"model":"llama","messages":[{{"role":"user","content":[{{{pair}}}]}}]}}',
            ):
                answer = doors.post(CHAT, body.encode())
                assert (answer.status, field in answer.body.decode()) == (400, True), body
    assert doors.count() == before


@pytest.mark.parametrize("kind", ["image_url", "video_url", "audio_url", "input_audio", "file_url"])
def test_media_twice_reach_nobody_when_one_is_remote(doors: Doors, kind: str) -> None:
    before = doors.count()
    good, bad = '"data:,"', '"http://127.0.0.1/"'
    for first, then in ((good, bad), (bad, good)):
        for part in (
            f'"{kind}":{{"url":{first},"url":{then}}}',
            f'"{kind}":{{"url":{first}}},"{kind}":{{"url":{then}}}',
            f'"{kind}":{first},"{kind}":{then}',
            f'"{kind}":{{"url":{first}}},"{kind}":{then}',
        ):
            body = f'{{"model":"llama","messages":[{{"role":"user","content":[{{"type":"{kind}",{part}}}]}}]}}'
            assert doors.post(CHAT, body.encode()).status == 400, body
    assert doors.count() == before


TWICE = [
    ("model", '"llama"', '"words"'),
    ("model", '"llama"', "null"),
    ("stream", "true", "false"),
    ("n", "1", "99"),
    ("messages", "[]", '[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://a"}}]}]'),
    ("stream_options", '{"include_usage":true}', '{"include_usage":false}'),
    ("tools", "[]", "[1]"),
    ("response_format", "null", "{}"),
    ("encoding_format", '"float"', '"bytes"'),
]


@pytest.mark.parametrize(("field", "good", "bad"), TWICE)
def test_no_field_of_a_request_is_there_twice(doors: Doors, field: str, good: str, bad: str) -> None:
    before = doors.count()
    rest = '"prompt":"a"' if field == "model" else '"model":"llama"'
    for first, then in ((good, bad), (bad, good), (good, good)):
        answer = doors.post("/services/llama" + CHAT, f'{{{rest},"{field}":{first},"{field}":{then}}}'.encode())
        assert (answer.status, "there twice" in answer.error or field == "messages") == (400, True), answer.body
    assert doors.count() == before


OTHER_TYPES = [
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/json",
    "application/json+x",
    "application/vnd.api+json",
    "application/jsonx",
    "application/octet-stream",
    "application/json, text/plain",
    "text/plain, application/json",
    "application/grpc",
    "application/grpc+json",
    "*/*",
    "application/msgpack",
    "application/problem+json",
    "application/x-json",
]
FORMS = {
    "application/x-www-form-urlencoded": b"model=llama&messages=&chat_template=x",
    "multipart/form-data; boundary=x": b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nllama\r\n--x--\r\n',
}


@pytest.mark.parametrize("send", [http1, http2])
@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_a_body_of_another_type_is_not_even_read(doors: Doors, send: Any, kind: str) -> None:
    before = doors.count()
    headers = [("x-api-key", KEY), *([("content-type", kind)] if kind else [])]
    for path in OPENAI:
        for body in (HELLO.encode(), b'{"model":"llama","chat_template":"x"}', FORMS.get(kind, b"")):
            status = send(doors.gateway.port, "POST", path, headers, body)
            # A refusal of gRPC is a 200 with another status in it.
            assert status not in (200, 0) or kind.startswith("application/grpc"), (path, body)
    assert doors.count() == before


def test_another_type_is_refused_in_words(doors: Doors) -> None:
    answer = doors.post(CHAT, HELLO.encode(), Content_Type="text/plain")
    assert (answer.status, "application/json" in answer.error) == (415, True)


@pytest.mark.parametrize(
    "kind", [JSON, JSON + "; charset=utf-8", JSON + ";charset=utf-16", "Application/JSON;charset=x"]
)
def test_a_charset_changes_nothing_of_what_is_read(doors: Doors, kind: str) -> None:
    """As at the backend, which reads UTF-8 whatever the header says: bytes in another coding are no JSON here."""
    before = doors.count()
    bad = '{"model":"llama","chat_template":"x"}'
    for coding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7"):
        if coding != "utf-7":  # which is ASCII here
            assert doors.post(CHAT, bad.encode(coding), Content_Type=kind).status == 400
        if coding not in ("utf-8", "utf-7"):
            assert doors.post(CHAT, HELLO.encode(coding), Content_Type=kind).status == 400
    hidden = b'{"model":"llama","+AGMAaABhAHQAXwB0AGUAbQBwAGwAYQB0AGU-":"x"}'
    assert doors.count() == before
    # UTF-7 is what it says to every reader of UTF-8, and passes as that.
    assert doors.post(CHAT, hidden, Content_Type=kind).status == 200
    assert json.loads(doors.backend.last()["body"]) == json.loads(hidden)
    assert doors.post(CHAT, HELLO.encode(), Content_Type=kind).status == 200


GZIP = gzip.compress(HELLO.encode())
PACKED = {
    "gzip": GZIP,
    "x-gzip": GZIP,
    "GZIP": GZIP,
    "identity, gzip": GZIP,
    "deflate": zlib.compress(HELLO.encode()),
    "br": b"\x0b\x0f\x80" + HELLO.encode() + b"\x03",
    "zstd": b"\x28\xb5\x2f\xfd",
    "aws-chunked": HELLO.encode(),
    "compress": HELLO.encode(),
    "none": HELLO.encode(),
}


@pytest.mark.parametrize("send", [http1, http2])
@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_body_reaches_nobody(doors: Doors, send: Any, coding: str) -> None:
    before = doors.count()
    for path in (*OPENAI, INFER, "/v1/models/mnist:predict"):
        for body in (PACKED[coding], HELLO.encode()):
            for encoded in (
                [("content-encoding", coding)],
                [("content-encoding", "identity"), ("content-encoding", coding)],
            ):
                headers = [("x-api-key", BOTH), ("content-type", JSON), *encoded]
                assert send(doors.gateway.port, "POST", path, headers, body) not in (200, 0), (path, encoded)
    assert doors.count() == before


def test_packed_bytes_without_a_word_of_it_are_no_json(doors: Doors) -> None:
    before = doors.count()
    for body in PACKED.values():
        if body != HELLO.encode():
            assert doors.post(CHAT, body).status == 400
            assert doors.post(CHAT, body, Content_Encoding="identity").status == 400
    assert doors.count() == before
