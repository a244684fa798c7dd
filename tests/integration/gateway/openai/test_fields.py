"""Fields that ordinary clients send pass as they are; what could carry a template or a tokenizer's switch does not."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.doors import CHAT, COMPLETIONS, EMBEDDINGS, Doors
from tests.servers import vllm

pytestmark = pytest.mark.integration
HELLO: dict[str, Any] = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
OPTIONAL: dict[str, Any] = {"type": ["string", "null"], "enum": ["https://a", None]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "request_id": {"type": "string"},
        "image_url": OPTIONAL,
        "input_audio": {"anyOf": [OPTIONAL, {"const": "x"}]},
        "chat_template": {"$ref": "#/$defs/cache_salt"},
        "url": {"default": "https://example.org"},
    },
    "required": ["request_id", "image_url"],
    "$defs": {"cache_salt": {"type": "object", "properties": {"prompt_embeds": {"type": "array"}}}},
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA, "strict": True}}
VARIABLES: list[Any] = [
    {"enable_thinking": False},
    {"thinking": True},
    {"enable_thinking": False, "reasoning_effort": "low"},
    {"thinking_budget": 512, "temperature": 0.5, "x": -1e3},
    {"effort": None},
    {},
    None,
    {"a": "b" * 256},
    {"language": "\u65e5\u672c\u8a9e"},
    {"quoted": 'a "b" {{ c }}'},
    {f"v{i}": i for i in range(32)},
    {"builtin_tools": "none", "date_string": "26 Jul 2026", "preserve_thinking": True},
]
ORDINARY: list[dict[str, Any]] = [
    *({"chat_template_kwargs": each} for each in VARIABLES),
    {"reasoning_effort": "low", "include_reasoning": False, "verbosity": "low", "parallel_tool_calls": True},
    {"store": False, "service_tier": "auto", "user": "u-1", "safety_identifier": "s", "prompt_cache_key": "k"},
    {"metadata": {"request_id": "r-1", "trace": {"image_url": "https://a"}, "session_id": "s"}},
    {"tools": [TOOL, TOOL], "tool_choice": "auto"},
    {"functions": [{"name": "f", "parameters": SCHEMA}], "function_call": "auto"},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}},
    {"response_format": {"type": "json_object"}},
    {"structured_outputs": {"json": SCHEMA}},
    {"structured_outputs": {"regex": "a|b"}},
    {"guided_json": SCHEMA},
    {"guided_regex": "a+"},
    {"guided_choice": ["a", "b"]},
    {"documents": [{"title": "a", "text": "b"}]},
    {"stream": False, "stream_options": None, "logprobs": True, "top_logprobs": 2, "logit_bias": {"5": 1}},
    {"min_p": 0.1, "top_k": 5, "repetition_penalty": 1.1, "stop_token_ids": [1], "bad_words": ["x"], "echo": False},
    {"add_generation_prompt": False, "continue_final_message": True, "skip_special_tokens": True, "priority": 0},
    {"modalities": ["text"], "prediction": {"type": "content", "content": "a"}, "seed": 1, "max_completion_tokens": 5},
]


@pytest.mark.parametrize("fields", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_fields_pass_byte_for_byte(doors: Doors, fields: dict[str, Any]) -> None:
    for body in ({**HELLO, **fields}, {**fields, **HELLO}):
        for ascii_only in (True, False):
            sent = json.dumps(body, ensure_ascii=ascii_only).encode()
            assert doors.post(CHAT, sent).status == 200
            assert doors.backend.last()["body"] == sent.decode("latin-1")


ARGUMENTS = [
    "chat_template",
    "tokenize",
    "tools",
    "documents",
    "conversation",
    "messages",
    "add_generation_prompt",
    "continue_final_message",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "tokenizer_kwargs",
    "processor_kwargs",
    "mm_processor_kwargs",
    "self",
    "__class__",
    "_x",
    "template",
    "tool_chat_template",
    "return_anything",
    "any_kwargs",
    "load_audio_from_video",
]
NO_VARIABLES: list[tuple[Any, str]] = [
    *(({name: value}, f"chat_template_kwargs.{name}") for name in ARGUMENTS for value in (True, None, "x")),
    *(
        ({"enable_thinking": False, "x": value}, "chat_template_kwargs.x")
        for value in (
            {},
            [],
            {"a": 1},
            ["a"],
            [[]],
            "a" * 257,
        )
    ),
    ({f"v{i}": i for i in range(33)}, ""),
    ({"a b": 1}, "chat_template_kwargs.a?b"),
    ({"": 1}, "chat_template_kwargs."),
    ({"a.b": 1}, "chat_template_kwargs.a.b"),
    ({"\u00e9": 1}, ""),
    ({"a" * 65: 1}, ""),
    ("x", "chat_template_kwargs"),
    ([], "chat_template_kwargs"),
    ([{"a": 1}], "chat_template_kwargs"),
    (1, "chat_template_kwargs"),
    (True, "chat_template_kwargs"),
]


@pytest.mark.parametrize(("variables", "field"), NO_VARIABLES, ids=range(len(NO_VARIABLES)))
def test_what_is_no_plain_variable_of_a_template_reaches_nobody(doors: Doors, variables: Any, field: str) -> None:
    before = doors.count()
    for path, body in (
        (CHAT, HELLO),
        (COMPLETIONS, {"model": "llama", "prompt": "a"}),
        (EMBEDDINGS, {"model": "vectors", "messages": HELLO["messages"]}),
    ):
        answer = doors.post(path, {**body, "chat_template_kwargs": variables})
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"]) == (400, "invalid_request_error")
        assert field.endswith(error["param"]) if field else error["param"].startswith("chat_template_kwargs")
    assert doors.count() == before


@pytest.mark.parametrize(
    "body",
    [
        b'"chat_template_kwargs":{"a":1},"chat_template_kwargs":{"tokenize":true}',
        b'"chat_template_kwargs":{"tokenize":true},"chat_template_kwargs":null',
        b'"chat_template_kwargs":{"a":1,"a":[]}',
        b'"chat_template_kwargs":{"\\u0074okenize":true}',
        b'"chat_template_kwargs":{"tokeni\\u007ae":true}',
        b'"chat_template_kwargs":{"a":NaN}',
        b'"chat_template_kwargs":{"a":1e999}',
        b'"chat_template_kwargs":{"a":{"tokenize":true}}',
        b'"extra_body":{"chat_template_kwargs":{"a":1}}',
        b'"x":[{"chat_template_kwargs":{"a":1}}]',
        b'"tools":[],"chat_template":"x"',
        b'"metadata":{},"request_id":"x"',
        b'"tools":[{"a":[]}],"vllm_xargs":{}',
        b'"tools":[{}],"x":{"cache_salt":1}',
        b'"metadata":{"a":1},"messages":[{"content":[{"prompt_embeds":"x"}]}]',
        b'"response_format":{},"messages":[{"content":[{"type":"image_url","image_url":{"url":"http://a"}}]}]',
        b'"x":{"tools":{"request_id":1}}',
        b'"x":[{"metadata":{"image_url":"http://a"}}]',
        b'"messages":[{"tools":[{"image_url":"http://a"}]}]',
    ],
)
def test_no_other_spelling_gets_in(doors: Doors, body: bytes) -> None:
    before = doors.count()
    given = b"" if b'"messages"' in body else b'"messages":[],'
    answer = doors.post(CHAT, b'{"model":"llama",' + given + body + b"}")
    assert answer.status == 400, answer.body
    assert doors.count() == before


def parameters(python_file: Path, of: str) -> set[str]:
    """The names that the class's apply_chat_template has for its arguments. Importing it takes a CPU ten seconds."""
    [kind] = [each for each in ast.parse(python_file.read_text()).body if getattr(each, "name", "") == of]
    assert isinstance(kind, ast.ClassDef)
    [function] = [each for each in kind.body if getattr(each, "name", "") == "apply_chat_template"]
    assert isinstance(function, ast.FunctionDef)
    return {each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}


def test_every_argument_of_the_tokenizers_call_is_refused(doors: Doors) -> None:
    """Read from the libraries that vLLM runs with."""
    [library] = vllm.runtime_root().glob("lib/python3*/site-packages/transformers")
    classes = {"tokenization_utils_base.py": "PreTrainedTokenizerBase", "processing_utils.py": "ProcessorMixin"}
    arguments = set().union(*(parameters(library / name, of) for name, of in classes.items()))
    assert {"chat_template", "tokenize", "tokenizer_kwargs"} <= arguments
    for name in arguments:
        assert doors.post(CHAT, {**HELLO, "chat_template_kwargs": {name: True}}).status == 400, name
