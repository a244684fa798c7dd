"""Every message of a stream is for the model of the first: a replica may hold more models than callers may call."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.integration.gateway.stage import Stage
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
INSTEAD = "a message that names another model than the first of its stream"


def named(*models: str, size: int = 0) -> bytes:
    """A request that names these models one after the other: servers take the last."""
    data = pb.ModelInferRequest(raw_input_contents=[bytes(size)] if size else []).SerializeToString()
    names = [pb.ModelInferRequest(model_name=model).SerializeToString() for model in models]
    return b"".join([names[0], data, *names[1:]]) if names else data


def stream(stage: Stage, *messages: bytes, **metadata: str) -> list[str]:
    """The model that each message names when it arrives."""
    with stage.channel() as channel:
        call: Any = channel.stream_stream(STREAM, response_deserializer=pb.ModelStreamInferResponse.FromString)
        pairs = [("x-api-key", snapshots.ADMIN), *((name.replace("_", "-"), text) for name, text in metadata.items())]
        answers = [answer.infer_response.model_name for answer in call(iter(messages), metadata=pairs, timeout=20)]
    return answers[::4]  # the backend answers each message four times


@pytest.mark.parametrize("size", [0, 70_000, 3 << 20])
@pytest.mark.parametrize(
    "other",
    [
        ("step",),
        ("mnis",),
        ("mnistt",),
        ("MNIST",),
        ("mnist/1",),
        ("mnist", "step"),
        ("step", "mnist", "step"),
        ("",),
        ("mnist" + "x" * 200,),
        ("mnist\0",),
    ],
)
def test_a_later_message_for_another_model_reaches_no_model(stage: Stage, other: tuple[str, ...], size: int) -> None:
    good, bad = named("mnist"), named(*other, size=size)
    assert stream(stage, good, bad, good, bad) == ["mnist", INSTEAD, "mnist", INSTEAD]


def test_the_service_of_a_header_does_not_open_its_other_models(stage: Stage) -> None:
    good = named("mnist", size=9)
    assert stream(stage, good, named("step"), good, mm_vmodel_id="mnist") == ["mnist", INSTEAD, "mnist"]


def test_of_two_names_in_the_first_message_the_one_that_counts_is_the_service(stage: Stage) -> None:
    assert stream(stage, named("step", "mnist"), named("mnist")) == ["mnist", "mnist"]
    before = stage.count()
    for metadata, code in (({}, "NOT_FOUND"), ({"mm_vmodel_id": "mnist"}, "INVALID_ARGUMENT")):
        with pytest.raises(grpc.RpcError, match=code):
            stream(stage, named("mnist", "step"), named("mnist"), **metadata)
    assert stage.count() == before


def test_a_message_without_a_name_is_for_no_model(stage: Stage) -> None:
    assert stream(stage, named("mnist"), named(size=12), named()) == ["mnist", INSTEAD, INSTEAD]
