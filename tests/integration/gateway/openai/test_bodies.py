"""The OpenAI doors: who gets in, to which service, and what no body may have in it. Counted at a backend."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.gateway.doors import BOTH, CHAT, COMPLETIONS, EMBEDDINGS, KEY, Doors
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
HELLO: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
DEEP = b'{"model":"llama","messages":' + b"[" * 70 + b"]" * 70 + b"}"


def part(kind: str, value: Any) -> dict[str, Any]:
    return {**HELLO, "messages": [{"role": "user", "content": [{"type": kind, kind: value}]}]}


REFUSED: list[tuple[Any, str | None]] = [
    *(
        ({**HELLO, field: "x"}, field)
        for field in (
            "prompt_embeds",
            "chat_template",
            "chat_template_kwargs",
            "cache_salt",
            "kv_transfer_params",
            "mm_processor_kwargs",
            "vllm_xargs",
            "ec_transfer_params",
            "mm_payload",
            "media_io_kwargs",
            "request_id",
        )
    ),
    (
        {**HELLO, "messages": [{"role": "user", "content": [{"type": "prompt_embeds", "prompt_embeds": "eA=="}]}]},
        "prompt_embeds",
    ),
    (part("image_url", {"url": "http://127.0.0.1/x.png"}), "url"),
    (part("image_url", "file:///etc/passwd"), "image_url"),
    (part("image_url", {"detail": "low", "url": "DATA:image/png;base64,"}), "url"),
    (part("image_url", {"a": {"url": "https://x"}}), "url"),
    (part("image_url", ["https://x"]), "image_url"),
    (part("video_url", {"url": " data:x"}), "url"),
    (part("audio_url", {"url": "\\u0064ata:x"}), "url"),
    (part("input_audio", {"url": "https://x"}), "url"),
    ({**HELLO, "n": 17}, "n"),
    ({**HELLO, "n": "17"}, "n"),
    ({**HELLO, "n": 1e6}, "n"),
    ({**HELLO, "n": -1}, "n"),
    ({**HELLO, "best_of": 17}, "best_of"),
    ({**HELLO, "stream": "true"}, "stream"),
    ({**HELLO, "stream": 1}, "stream"),
    ({**HELLO, "stream": True, "stream_options": []}, "stream_options"),
    ({**HELLO, "stream": True, "stream_options": {"include_usage": "no"}}, "stream_options.include_usage"),
    ({**HELLO, "tools": [{"x": "y" * 70_000}]}, "tools"),
    ({**HELLO, "response_format": {"json_schema": {"x": "y" * 70_000}}}, "response_format"),
    ({**HELLO, "structured_outputs": {"regex": "y" * 70_000}}, "structured_outputs"),
    ({**HELLO, "model": 5}, "model"),
    ({"messages": []}, "model"),
    ({**HELLO, "model": None}, "model"),
    (b'{"model":"llama","\\u0070rompt_embeds":"x"}', "?u0070rompt_embeds"),
    (b'{"model":"llama","chat\\u005ftemplate":"x"}', "chat?u005ftemplate"),
    (b'{"model":"llama","a":[{"b":{"c":[[{"chat_template" : 1}]]}}]}', "chat_template"),
    (b'{"model":"llama","model":"words"}', "model"),
    (b'{"model":"llama","stream":false,"stream":true}', "stream"),
    (b'{"stream":true,"model":"llama","stream_options":{"include_usage":true,"include_usage":false}}', "include_usage"),
    (DEEP, None),
    (b"", None),
    (b"nonsense", None),
    (b"[]", None),
    (b'"llama"', None),
    (b"{", None),
    (b'{"model":"llama"', None),
    (b'{"model":"llama"}}', None),
    (b'{"model":"llama"} {}', None),
    (b'{"model" "llama"}', None),
    (b'{model:"llama"}', None),
    (b"{'model':'llama'}", None),
    (b'{"model":"llama",}', None),
    (b'{,"model":"llama"}', None),
    (b'{"model":"llama\\"}', None),
    (b'{"model":"llama"/*x*/}', None),
    (b'{"model":"llama"\x0b}', None),
    (b'\xef\xbb\xbf{"model":"llama"}', None),
    ('{"model":"llama"}'.encode("utf-16"), None),
    ('{"model":"llama"}'.encode("utf-16-le"), None),
    ('{"model":"llama"}'.encode("utf-32"), None),
    (b'\x00{"model":"llama"}', None),
    (b'{"model":"llama","a":[' + b'"",' * 300_000 + b'""]}', None),
]
PASSES: list[Any] = [
    HELLO,
    {**HELLO, "n": 16, "best_of": None, "stream": None, "stream_options": None, "stop": ["\n", '"}{'], "seed": -1.5e3},
    {**HELLO, "messages": [{"role": "user", "content": 'say "chat_template": {"prompt_embeds": 1} \\u0070rompt \\'}]},
    {**HELLO, "tools": [{"function": {"parameters": {"properties": {"url": {"type": "string"}, "\u00e9": {}}}}}]},
    part("image_url", {"url": "data:image/png;base64,AAAA"}),
    part("input_audio", {"data": "AAAA", "format": "wav"}),
    {**HELLO, "logit_bias": {"5": 1}, "stop_token_ids": list(range(100_000))},
    {**HELLO, "messages": [{"role": "user", "content": 'a "quoted" \\ word\n' * 40_000}]},
    b' \r\n\t{ "model" : "llama" , "messages" : [ ] , "a" : { } , "b" : [ [ ] , [ 1 , -2.5e+7 , null ] ] } \n',
]


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=range(len(REFUSED)))
def test_a_dangerous_body_reaches_nobody(doors: Doors, body: Any, field: str | None) -> None:
    before = doors.backend.count()
    for path in (CHAT, COMPLETIONS, "/services/llama" + CHAT):
        if path != CHAT and field == "model" and b'"model":"words"' not in bytes(str(body), "utf-8"):
            continue  # with a service in the path no model needs to be named
        answer = doors.post(path, body)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", field), error
        assert error["message"].endswith(".")
    assert doors.backend.count() == before


@pytest.mark.parametrize("body", PASSES, ids=range(len(PASSES)))
def test_an_ordinary_body_passes_byte_for_byte(doors: Doors, body: Any) -> None:
    answer = doors.post(CHAT, body)
    assert answer.status == 200, answer.body
    assert doors.backend.last()["body"] == (body.decode() if isinstance(body, bytes) else json.dumps(body))


def test_a_service_has_the_doors_of_its_task(doors: Doors) -> None:
    open_doors = {"llama": {CHAT, COMPLETIONS}, "words": {COMPLETIONS}, "vectors": {EMBEDDINGS}, "mnist": set()}
    for service, paths in open_doors.items():
        for path in (CHAT, COMPLETIONS, EMBEDDINGS):
            answer = doors.post(path, {**HELLO, "model": service, "input": "a"}, key=BOTH)
            assert answer.status == (200 if path in paths else 404), (service, path)
            if path not in paths:
                assert all(each in answer.error for each in (service, *paths))
    for method, path in (("POST", "/v2/models/llama/infer"), ("POST", "/v1/models/llama:predict")):
        answer = doors.gateway.call(method, path, b"{}", X_API_Key=KEY)
        assert (answer.status, answer.error.startswith("The service llama is not served here")) == (404, True)


@pytest.mark.parametrize(
    "model", ["nope", "Llama", "llama/french", "llama:", ":llama", "_door", "llama ", "l" * 300, ""]
)
def test_a_name_that_no_service_has_is_404(doors: Doors, model: str) -> None:
    before = doors.backend.count()
    answer = doors.post(CHAT, {**HELLO, "model": model})
    error = json.loads(answer.body)["error"]
    assert answer.status == (404 if model else 400)
    assert error["code"] in ("model_not_found", None)
    assert doors.backend.count() == before


def test_keys_are_asked_for_first(doors: Doors) -> None:
    cases = [
        ("isk_bad", 401, "authentication_error"),
        (snapshots.STRANGER, 403, "permission_error"),
        (snapshots.READER, 403, "permission_error"),
    ]
    for key, status, kind in cases:
        answer = doors.post(CHAT, HELLO, key=key)
        assert (answer.status, json.loads(answer.body)["error"]["type"]) == (status, kind)
    assert doors.post(CHAT, HELLO, key="").status == 401
    assert doors.post(CHAT, b"nonsense", key="isk_bad").status == 401
    assert doors.post(CHAT, {**HELLO, "model": "open-text"}, key="").status == 200
    for headers in ({}, {"X_API_Key": ""}, {"Authorization": "Basic eA=="}):
        sent = json.dumps({**HELLO, "model": "open-text", "user": "x" * (2 << 20)}).encode()
        held = doors.gateway.call("POST", CHAT, sent, Content_Type="application/json", **headers)
        assert (held.status, "1 MiB" in held.error) == (413, True)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-json", "application/jsonx", "multipart/form-data", ""])
def test_what_is_not_json_by_its_type_is_415(doors: Doors, kind: str) -> None:
    before = doors.backend.count()
    assert doors.post(CHAT, HELLO, Content_Type=kind).status == 415
    assert doors.post(CHAT, HELLO, Content_Encoding="gzip").status == 415
    assert doors.post(CHAT, HELLO, Content_Type="Application/JSON ; charset=utf-8").status == 200
    assert doors.backend.count() == before + 1


def test_a_body_over_the_limit_is_413(doors: Doors) -> None:
    large = {**HELLO, "user": "x" * (17 << 20)}
    assert doors.post(CHAT, large).status == 413
    chunks = iter([json.dumps(large).encode()])
    answer = doors.gateway.call("POST", CHAT, chunks, X_API_Key=KEY, Content_Type="application/json")
    assert (answer.status, "16 MiB" in answer.error) == (413, True)
    assert doors.post(CHAT, {**HELLO, "user": "x" * (15 << 20)}).status == 200
    for path, model in ((CHAT, "little"), ("/services/little" + CHAT, "little")):
        answer = doors.post(path, {**HELLO, "model": model, "user": "x" * (2 << 20)})
        assert (answer.status, "service little, 1 MiB" in answer.error) == (413, True)
