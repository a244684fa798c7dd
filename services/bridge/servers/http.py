"""The bridge's HTTP side: V1 `:predict`, the catalogue, and V2's questions about a vLLM service."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format

from services.bridge import catalogue, errors
from services.bridge.errors import BridgeError, Kind
from services.bridge.http1.server import Request, Response
from services.bridge.predict import Predictor
from services.bridge.table import Service, TableFile
from services.bridge.translators import v2grpc_openai
from services.bridge.upstream import Call
from services.schema import internal_headers

log = logging.getLogger(__name__)

JSON = {"content-type": "application/json"}
MODEL = "([^/?]+)"
Handler = Callable[[Request, str], Awaitable[Response]]
"""Takes the model that the path names, too; "" for none."""
Shape = Callable[[BridgeError], bytes]


class HttpServer:
    """`largest_body`: bytes of one request."""

    def __init__(self, watch: TableFile, predictor: Predictor, largest_body: int) -> None:
        self._watch, self._predictor, self._largest_body = watch, predictor, largest_body
        v2 = rf"/v2/models/{MODEL}(?:/versions/[0-9]+)?"
        doors: list[tuple[str, Handler, Shape]] = [
            (rf"POST /v1/models/{MODEL}:predict", self.predict, errors.v1_body),
            (r"GET /v1/models", self.models, errors.openai_body),
            (rf"GET /v1/models/{MODEL}", self.model, errors.openai_body),
            (v2_get := rf"GET {v2}", self.v2_metadata, errors.v1_body),
            (rf"{v2_get}/ready", self.v2_ready, errors.v1_body),
            (r"GET /healthz", healthz, errors.v1_body),
        ]
        self._doors = [(re.compile(rf"{door}(?:\?.*)?"), handler, shape) for door, handler, shape in doors]

    async def answer(self, request: Request) -> Response:
        """Every failure in the protocol's shape, and none with a traceback."""
        model, handler, shape = self._door(f"{request.method} {request.path}")
        try:
            return await handler(request, model)
        except BridgeError as error:
            return _refused(error, shape(error))
        except Exception:
            log.exception("request %s failed", request.headers.get(internal_headers.REQUEST_ID, ""))
            own = BridgeError(Kind.INTERNAL, "Internal error: see the bridge's log.")
            return _refused(own, shape(own))

    def _door(self, line: str) -> tuple[str, Handler, Shape]:
        for door, handler, shape in self._doors:
            if match := door.fullmatch(line):
                return unquote(match[1]) if door.groups else "", handler, shape
        return "", nothing, errors.v1_body

    async def predict(self, request: Request, _model: str) -> Response:
        service = find(self._watch, request.headers.get(internal_headers.CONSOLE_SERVICE, ""))
        if request.body is None:
            raise BridgeError(Kind.TOO_LARGE, f"The request is larger than {self._largest_body} bytes.")
        call = Call(service.name, request.headers.get(internal_headers.REQUEST_ID, ""))
        return Response(200, await self._predictor.v1(service, call, request.body), JSON)

    async def models(self, request: Request, _model: str) -> Response:
        return _json(catalogue.listing(self._watch.table, request.headers.get(internal_headers.CONSOLE_CALLER, "")))

    async def model(self, request: Request, name: str) -> Response:
        """404 for what the caller may not use, too; 503 while it is not ready, as V1 clients expect."""
        entry = catalogue.one(self._watch.table, request.headers.get(internal_headers.CONSOLE_CALLER, ""), name)
        if entry is None:
            error = BridgeError(Kind.NOT_FOUND, f"There is no model {name}.")
            return _refused(error, errors.openai_body(error, "model_not_found"))
        if not entry["ready"]:
            raise BridgeError(Kind.UNAVAILABLE, self._watch.table.services[name.partition(":")[0]].not_ready)
        return _json(entry)

    async def v2_metadata(self, request: Request, model: str) -> Response:
        service = find(self._watch, request.headers.get(internal_headers.CONSOLE_SERVICE, ""))
        _vllm(service)
        message = v2grpc_openai.metadata(service, model)
        data = json_format.MessageToDict(message, preserving_proto_field_name=True)
        for tensor in (*data["inputs"], *data["outputs"]):
            tensor["shape"] = [int(size) for size in tensor["shape"]]  # protobuf's JSON has 64-bit numbers as texts
        return _json(data)

    async def v2_ready(self, request: Request, model: str) -> Response:
        service = find(self._watch, request.headers.get(internal_headers.CONSOLE_SERVICE, ""))
        _vllm(service)
        v2grpc_openai.model_of(model, service)
        if not service.ready:
            raise BridgeError(Kind.UNAVAILABLE, service.not_ready)
        return Response()


async def healthz(_request: Request, _model: str) -> Response:
    return _json({"status": "ok"})


async def nothing(_request: Request, _model: str) -> Response:
    raise BridgeError(Kind.NOT_FOUND, "This is not served here.")


def find(watch: TableFile, name: str) -> Service:
    """The service that the gateway found. Raises BridgeError."""
    service = watch.find(name)
    if service is None:
        raise BridgeError(Kind.NOT_FOUND, f"There is no service {name}." if name else "The request names no service.")
    return service


def _vllm(service: Service) -> None:
    if service.framework != "vllm":
        raise BridgeError(Kind.NOT_FOUND, f"{service.name} answers this itself.")


def _refused(error: BridgeError, body: bytes) -> Response:
    again = {"retry-after": error.retry_after} if error.retry_after else {}
    return Response(error.kind.http, body, {**JSON, **again})


def _json(data: Any) -> Response:
    return Response(200, json.dumps(data).encode(), JSON)
