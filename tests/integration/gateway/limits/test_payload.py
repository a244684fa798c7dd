"""How large a request may be: 16 MiB of tensor passes in every form, more is refused with the limit in the message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.integration.gateway.stage import Stage, infer_request, refused, send
from tests.services.gateway import snapshots

pytestmark = pytest.mark.integration
MIB = 1 << 20
INFER = "/v2/models/mnist/infer"
RAW = "application/octet-stream"
TOO_LARGE = "The request is larger than this gateway's limit of 16 MiB."


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // 65536):
        yield bytes(65536)


def tensor(module: Any, mib: int) -> Any:
    data = np.zeros(mib * MIB // 4, dtype=np.float32)
    infer_input = module.InferInput("x", list(data.shape), "FP32")
    infer_input.set_data_from_numpy(data)
    return infer_input


@pytest.mark.parametrize("mib", [1, 16])
def test_a_tensor_of_16_mib_passes(stage: Stage, stub: Any, mib: int) -> None:
    size = mib * MIB
    assert send(stub.ModelInfer, infer_request("mnist", size), key=snapshots.TEAM).id == str(size)
    assert len(send(stub.ModelStreamInfer, iter([infer_request("mnist", size)]), key=snapshots.TEAM)) == 4
    for body in (bytes(size), chunks(size)):
        answer = stage.gateway.call("POST", INFER, body, X_API_Key=snapshots.TEAM, Content_Type=RAW)
        assert answer.status == 200
        assert json.loads(answer.body)["bytes"] == size


@pytest.mark.parametrize("mib", [17, 30, 100])
def test_more_is_refused_in_words_over_grpc(stub: Any, mib: int) -> None:
    expected = (grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE)
    assert refused(stub.ModelInfer, infer_request("mnist", mib * MIB), key=snapshots.TEAM)[:2] == expected
    request = iter([infer_request("mnist", mib * MIB)])
    assert refused(stub.ModelStreamInfer, request, key=snapshots.TEAM)[:2] == expected


@pytest.mark.parametrize("mib", [17, 30])
def test_more_is_refused_in_words_over_rest(stage: Stage, mib: int) -> None:
    before = stage.count()
    answer = stage.gateway.call("POST", INFER, bytes(mib * MIB), X_API_Key=snapshots.TEAM, Content_Type=RAW)
    assert (answer.status, answer.error) == (413, TOO_LARGE)
    answer = stage.gateway.call("POST", INFER, chunks(17 * MIB), X_API_Key=snapshots.TEAM, Content_Type=RAW)
    assert (answer.status, answer.error) == (413, TOO_LARGE)
    assert stage.count() == before


def test_triton_clients_are_told_the_limit(stage: Stage) -> None:
    headers = {"X-API-Key": snapshots.TEAM}
    http = tritonclient.http.InferenceServerClient(stage.gateway.address, network_timeout=30)
    assert http.infer("mnist", [tensor(tritonclient.http, 16)], headers=headers).get_response()["bytes"] > 16 * MIB
    with pytest.raises(InferenceServerException, match="16 MiB"):
        http.infer("mnist", [tensor(tritonclient.http, 17)], headers=headers)
    http.close()
    rpc = tritonclient.grpc.InferenceServerClient(stage.gateway.address)
    sent = {"x-api-key": snapshots.TEAM}
    assert rpc.infer("mnist", [tensor(tritonclient.grpc, 16)], headers=sent).get_response().id == str(16 * MIB)
    with pytest.raises(InferenceServerException, match="16 MiB"):
        rpc.infer("mnist", [tensor(tritonclient.grpc, 17)], headers=sent)
    rpc.close()


def test_the_length_is_checked_after_the_key(stage: Stage, stub: Any) -> None:
    answer = stage.gateway.call("POST", INFER, b"", Content_Length=str(17 * MIB))
    assert answer.status == 401
    code, _, _ = refused(stub.ModelInfer, infer_request("mnist", 17 * MIB), key="isk_bad")
    assert code is grpc.StatusCode.UNAUTHENTICATED


def test_a_later_message_of_a_stream_is_not_inflated_either(stub: Any) -> None:
    """gRPC compresses only what shrinks, so the first message passes as it is, and the second is a small bomb."""
    names = streamed(stub, 4, 4 * MIB, 4, compression=grpc.Compression.Gzip)
    assert names == ["mnist"] * 4 + ["a compressed message, which this gateway does not take"] * 4 + ["mnist"] * 4


def streamed(stub: Any, *sizes: int, **options: Any) -> list[str]:
    """The model names that come back from a stream of messages of these sizes: the backend gives four to each."""
    sent = iter([infer_request("mnist", size) for size in sizes])
    answers = stub.ModelStreamInfer(sent, metadata=(("x-api-key", snapshots.TEAM),), timeout=20, **options)
    return [answer.infer_response.model_name for answer in answers]


def test_every_message_of_a_stream_may_be_as_large_as_the_limit(stub: Any) -> None:
    assert streamed(stub, 4, 16 * MIB, 0, 16 * MIB, 5, 70_000) == ["mnist"] * 24


def test_many_messages_of_odd_sizes_arrive_whole(stub: Any) -> None:
    assert streamed(stub, *(size * 7919 % 50_021 for size in range(400))) == ["mnist"] * 1600


@pytest.mark.parametrize("mib", [17, 100])
def test_a_later_message_of_a_stream_that_is_too_large_reaches_nobody(stub: Any, mib: int) -> None:
    instead = "a message larger than this gateway's limit of 16 MiB"
    names = streamed(stub, 4, mib * MIB, 4, mib * MIB)
    assert names == ["mnist"] * 4 + [instead] * 4 + ["mnist"] * 4 + [instead] * 4
