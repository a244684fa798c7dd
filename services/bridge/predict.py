"""Inference on a Triton service for callers of V1 and of TensorFlow Serving: translate, send, translate back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Set
from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from services.bridge.errors import BridgeError, Kind, invalid
from services.bridge.models import ModelFacts, Models
from services.bridge.protos import tfserving
from services.bridge.table import Service
from services.bridge.translators import tfserving_v2, v1_v2
from services.bridge.translators.v1_v2 import Plan
from services.bridge.upstream import Call, Upstream
from services.bridge.values import tensors
from services.bridge.values.tensors import Body, Outputs

LARGE = 128 << 10
"""Bytes from which translating would hold up everybody else's requests; it is done in a thread."""
AT_ONCE = 8
"""Requests under way for one question whose rows go one by one."""
TOO_MANY_ROWS = re.compile(r"batch-size must be <= ([1-9][0-9]*)")
"""What Triton says; metadata does not tell how many rows a model takes."""
PASSING = {Kind.BUSY, Kind.UNAVAILABLE, Kind.TIMEOUT}
"""Refusals that say nothing of the model."""
T = TypeVar("T")


class Predictor:
    """`largest`: bytes of tensor data in one request."""

    def __init__(self, upstream: Upstream, largest: int) -> None:
        self.models = Models(upstream)
        self._upstream = upstream
        self._largest = largest

    async def v1(self, service: Service, call: Call, body: bytes) -> bytes:
        """The body of POST /v1/models/{model}:predict -> that of the answer. Raises BridgeError."""
        facts = await self.models.of(_triton(service), call)
        plan = await self._plan(facts, call, body)
        whole = await self._whole(plan, facts, call)
        if any(tensor.shape[:1] != (-1,) or tensor.name in whole for tensor in facts.model.outputs):
            plan = v1_v2.split(plan, 1)
        elif facts.largest_batch and (plan.rows or 0) > facts.largest_batch:
            plan = v1_v2.split(plan, facts.largest_batch)
        plan, answers = await self._answers(plan, facts, call)
        return await apart(max(len(body), _size(answers)), v1_v2.answer, plan, answers, whole)

    async def _plan(self, facts: ModelFacts, call: Call, body: bytes) -> Plan:
        """The backend is asked which inputs are optional only when one is missing."""
        try:
            return await apart(len(body), v1_v2.read, body, facts.model, facts.optional or frozenset())
        except v1_v2.LeftOut:
            if facts.optional is not None:
                raise
        optional = await self.models.optional(facts, call)
        return await apart(len(body), v1_v2.read, body, facts.model, optional)

    async def _whole(self, plan: Plan, facts: ModelFacts, call: Call) -> Set[str]:
        """Outputs that have no row for each instance.

        A free first dimension may count rows, or what the model finds in them. Metadata does not tell which, nor does
        the answer to the caller's rows, where each may hold one find: so zeros are sent, once.
        """
        whole = v1_v2.whole_outputs(plan, facts.model)
        free = {tensor.name for tensor in facts.model.outputs if tensor.shape[:1] == (-1,)}
        if plan.free and free and facts.whole is None:
            facts.whole = await self._whole_of_zeros(plan, facts, call)
        return whole | (free & (facts.whole or set())) if plan.free else whole

    async def _whole_of_zeros(self, plan: Plan, facts: ModelFacts, call: Call) -> Set[str] | None:
        """None when there was no time for them. A model that refuses zeros is believed to answer row by row."""
        inputs = v1_v2.zeros(plan, facts.largest_batch or v1_v2.TRIED_ROWS, self._largest)
        rows = len(inputs[0].values)
        try:
            outputs = await self._infer(call, tensors.request(inputs))
        except BridgeError as error:
            if (match := TOO_MANY_ROWS.search(error.message)) and int(match[1]) < rows:
                facts.largest_batch = int(match[1])
                return await self._whole_of_zeros(plan, facts, call)
            return None if error.kind in PASSING else frozenset()
        return {item.name for item in outputs.tensors if item.values.shape[:1] != (rows,)}

    async def _answers(self, plan: Plan, facts: ModelFacts, call: Call) -> tuple[Plan, list[Outputs]]:
        """The answers, and the plan that they are to: a split one when the model takes fewer rows at once."""
        try:
            return plan, await self._all(plan, call)
        except BridgeError as error:
            match = TOO_MANY_ROWS.search(error.message)
            if not match or not plan.stacked:
                raise
            facts.largest_batch = int(match[1])
            return await self._answers(v1_v2.split(plan, facts.largest_batch), facts, call)

    async def _all(self, plan: Plan, call: Call) -> list[Outputs]:
        """In order, a few at once; the first failure ends the others."""
        if len(plan.requests) == 1:
            return [await self._infer(call, tensors.request(plan.requests[0]))]
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(inputs: tuple[tensors.NamedTensor, ...]) -> Outputs:
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
            response: bytes = tfserving_v2.response(request, outputs).SerializeToString()
            return response

        return await apart(_size([outputs]), back)

    async def tfserving_metadata(self, service: Service, call: Call, message: bytes) -> bytes:
        """GetModelMetadataRequest -> GetModelMetadataResponse, serialised. Raises BridgeError."""
        request = parsed(tfserving.GetModelMetadataRequest, message)
        facts = await self.models.of(_triton(service), call)
        response: bytes = tfserving_v2.metadata(request, facts.model).SerializeToString()
        return response


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
