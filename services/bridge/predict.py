"""Inference on a Triton service for callers of V1 and of TensorFlow Serving: translate, send, translate back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from services.bridge import tensors
from services.bridge.errors import BridgeError, Kind, invalid
from services.bridge.models import Known, Models
from services.bridge.protos import tfserving
from services.bridge.table import Service
from services.bridge.tensors import Body, Outputs
from services.bridge.translators import tfserving_v2, v1_v2
from services.bridge.translators.v1_v2 import Plan
from services.bridge.upstream import Call, Upstream

LARGE = 128 << 10
"""Bytes from which translating would hold up everybody else's requests; it is done in a thread."""
AT_ONCE = 8
"""Requests under way for one question whose rows go one by one."""
TOO_MANY_ROWS = re.compile(r"batch-size must be <= ([1-9][0-9]*)")
"""What Triton says; metadata does not tell how many rows a model takes."""
T = TypeVar("T")


class Predictor:
    """`largest`: bytes of tensor data in one request."""

    def __init__(self, upstream: Upstream, largest: int) -> None:
        self.models = Models(upstream)
        self._upstream = upstream
        self._largest = largest

    async def v1(self, service: Service, call: Call, body: bytes) -> bytes:
        """The body of POST /v1/models/{model}:predict -> that of the answer. Raises BridgeError."""
        known = await self.models.of(_triton(service), call)
        plan = await apart(len(body), v1_v2.read, body, known.model)
        if known.largest_batch and (plan.rows or 0) > known.largest_batch:
            plan = v1_v2.split(plan, known.largest_batch)
        answers = await self._answers(plan, known, call)
        return await apart(max(len(body), _size(answers)), v1_v2.answer, plan, answers)

    async def _answers(self, plan: Plan, known: Known, call: Call) -> list[Outputs]:
        try:
            return await self._all(plan, call)
        except BridgeError as error:
            found = TOO_MANY_ROWS.search(error.message)
            if not found or not plan.stacked:
                raise
            known.largest_batch = int(found[1])
            return await self._answers(v1_v2.split(plan, known.largest_batch), known, call)

    async def _all(self, plan: Plan, call: Call) -> list[Outputs]:
        """In order, a few at once; the first failure ends the others."""
        if len(plan.requests) == 1:
            return [await self._infer(call, tensors.request(plan.requests[0]))]
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(inputs: tuple[tensors.Named, ...]) -> Outputs:
            async with slots:
                return await self._infer(call, tensors.request(inputs))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(inputs)) for inputs in plan.requests]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _infer(self, call: Call, body: Body, version: str = "") -> Outputs:
        path = f"/v2/models/{call.service}{f'/versions/{version}' if version else ''}/infer"
        headers = {tensors.HEADER_LENGTH: str(body.header_length), "content-type": "application/octet-stream"}
        answer = await self._upstream.post(call, path, body.content, headers)
        length = answer.headers.get(tensors.HEADER_LENGTH.lower(), "")
        return tensors.outputs_of(answer.content, int(length) if length.isdecimal() else None)

    async def tfserving(self, service: Service, call: Call, message: bytes) -> bytes:
        """PredictRequest -> PredictResponse, serialised. Raises BridgeError."""
        _triton(service)

        def translated() -> tuple[Any, Body]:
            request = parsed(tfserving.PredictRequest, message)
            inputs = tfserving_v2.inputs_of(request, self._largest)
            return request, tensors.request(inputs, request.output_filter)

        request, body = await apart(len(message), translated)
        outputs = await self._infer(call, body, version_of(request.model_spec))

        def back() -> bytes:
            made: bytes = tfserving_v2.response(request, outputs).SerializeToString()
            return made

        return await apart(_size([outputs]), back)

    async def tfserving_metadata(self, service: Service, call: Call, message: bytes) -> bytes:
        """GetModelMetadataRequest -> GetModelMetadataResponse, serialised. Raises BridgeError."""
        request = parsed(tfserving.GetModelMetadataRequest, message)
        known = await self.models.of(_triton(service), call)
        made: bytes = tfserving_v2.metadata(request, known.model).SerializeToString()
        return made


async def apart(size: int, function: Callable[..., T], *arguments: Any) -> T:
    """In a thread when there is much to do. Cancelling does not end the thread, only the waiting for it."""
    return await asyncio.to_thread(function, *arguments) if size > LARGE else function(*arguments)


def parsed(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError:
        raise invalid(f"This is no {kind.DESCRIPTOR.full_name}.") from None


def version_of(spec: Any) -> str:
    """The version that a ModelSpec names; "" for the newest. Triton would take any negative number for the newest."""
    version = spec.version.value if spec.HasField("version") else 0
    if version < 0:
        raise invalid(f"version: must be 1 or more, or left out for the newest; {version} is neither.")
    return str(version) if version else ""


def _size(answers: list[Outputs]) -> int:
    return sum(item.values.nbytes for outputs in answers for item in outputs.tensors)


def _triton(service: Service) -> Service:
    if service.framework != "triton":
        what = "OpenAI's API, and text over V2 gRPC"
        raise BridgeError(Kind.UNSUPPORTED, f"{service.name} generates text: it speaks {what}, not this protocol.")
    return service
