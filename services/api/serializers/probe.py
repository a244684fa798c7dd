"""What a test inference takes and gives in the REST API, and where a service is called, as the OpenAPI document has it.

What is sent is read by services.panel.tensors and .text, which say what is wrong in every field at once.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from console.web.answers import answer
from services.access.doors import Door
from services.clients.generation.call import Usage


class EndpointsOut(serializers.Serializer[Any]):
    http = serializers.CharField(help_text="The model's V2 address: metadata, /ready, and for Triton /infer.")
    grpc = serializers.CharField(help_text="The target of a gRPC channel.")
    openai = serializers.CharField(help_text='A base URL; "" when the service does not speak it.')
    v1 = serializers.CharField(help_text='The KServe V1 :predict address; "" when the service does not speak it.')
    models = serializers.ListField(
        child=serializers.CharField(), help_text="Names that requests may use: the service, `<service>:<adapter>`."
    )
    host = serializers.CharField(help_text="A Host, or :authority, that names the service.")
    tls = serializers.BooleanField(help_text="The gateway speaks TLS.")
    headers = serializers.DictField(
        child=serializers.CharField(), help_text="What each request must carry; $API_KEY stands for a key."
    )
    doors = answer(Door)(many=True)


class MessageShape(serializers.Serializer[Any]):
    role = serializers.CharField(help_text="system, user or assistant.")
    content = serializers.CharField()


class SequenceShape(serializers.Serializer[Any]):
    id = serializers.JSONField(help_text="A whole number from 1, or a text.")
    start = serializers.BooleanField(required=False, help_text="The first request of the sequence.")
    end = serializers.BooleanField(required=False, help_text="The last one.")


class ProbeBody(serializers.Serializer[Any]):
    """By protocol: `inputs` for http and grpc of a Triton service, `instances` or `inputs` for v1; and of a vLLM
    service, by its task, `messages`, `prompt` or `input`."""

    protocol = serializers.CharField(
        required=False,
        help_text="Triton: http (default), grpc (default of a decoupled model) or v1. vLLM: openai (default) or grpc.",
    )
    encoding = serializers.CharField(required=False, help_text="With http: auto (default), json or binary.")
    inputs = serializers.JSONField(
        required=False,
        help_text="http, grpc: a list of {name, datatype?, shape?, data}, data flat or nested. v1: a column for each "
        "input, by name, or that of the only one.",
    )
    sequence = SequenceShape(
        required=False,
        help_text="http, grpc: the place of the request in a sequence of a model that has some; without it, a whole "
        "sequence of this one request.",
    )
    instances = serializers.ListField(child=serializers.JSONField(), required=False, help_text="v1: a list of rows.")
    signature_name = serializers.CharField(required=False, help_text="v1: tolerated.")
    messages = MessageShape(many=True, required=False)
    prompt = serializers.CharField(required=False)
    input = serializers.CharField(required=False)
    model = serializers.CharField(required=False, help_text="The service, or `<service>:<adapter>`.")
    max_tokens = serializers.IntegerField(required=False, help_text="1 to 1048576.")
    temperature = serializers.FloatField(required=False, help_text="0 to 2.")
    stream = serializers.BooleanField(required=False, help_text="Fetch the answer as a stream, to measure it.")
    api_key = serializers.CharField(required=False, help_text="Another key to try; kept nowhere.")


class UsageOut(answer(Usage)):  # type: ignore[misc]  # a class that is made
    total_tokens = serializers.IntegerField(allow_null=True)


class ProbeOut(serializers.Serializer[Any]):
    """An answer of 4xx or 5xx is a result too: see ok, status and error."""

    protocol = serializers.CharField()
    ok = serializers.BooleanField()
    status = serializers.CharField(help_text="200 OK, or the name of a gRPC status.")
    error = serializers.CharField()
    hint = serializers.CharField()
    outputs = serializers.ListField(
        child=serializers.DictField(), help_text="At most 256 values each and 1 MiB in all; `total` counts the rest."
    )
    responses = serializers.ListField(child=serializers.DictField(), help_text="A streaming model gives several.")
    timing = serializers.DictField(
        help_text="Milliseconds as the console saw them; of text also first_token_ms and tokens_per_second."
    )
    request = serializers.DictField(help_text="What was sent, without the key.")
    response = serializers.DictField()
    snippets = serializers.DictField(child=serializers.CharField())
    text = serializers.CharField(required=False, help_text="vLLM: what was generated, at most 1 MiB.")
    characters = serializers.IntegerField(required=False, help_text="vLLM: how many there are in all.")
    finish_reason = serializers.CharField(required=False)
    usage = UsageOut(required=False)


PROBE_EXAMPLES = [
    OpenApiExample(
        "A tensor over HTTP",
        request_only=True,
        value={"protocol": "http", "inputs": [{"name": "predict", "shape": [1, 4], "data": [0, 1, 2, 3]}]},
    ),
    OpenApiExample("KServe V1", request_only=True, value={"protocol": "v1", "instances": [[0, 1, 2, 3]]}),
    OpenApiExample(
        "A chat",
        request_only=True,
        value={
            "protocol": "openai",
            "messages": [{"role": "user", "content": "What is a gateway?"}],
            "max_tokens": 64,
            "stream": True,
        },
    ),
]
