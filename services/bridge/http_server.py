"""The bridge's HTTP side: V1 `:predict`, the catalogue, and V2's questions about a vLLM service."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from google.protobuf import json_format

from services.bridge import catalogue, errors
from services.bridge.errors import BridgeError, Kind
from services.bridge.predict import Predictor
from services.bridge.table import Service, Watch
from services.bridge.translators import v2grpc_openai
from services.bridge.upstream import Call

log = logging.getLogger(__name__)

SERVICE = "x-console-service"
CALLER = "x-console-caller"
REQUEST_ID = "x-request-id"
JSON = "application/json"
Handler = Callable[[web.Request], Awaitable[web.Response]]


class HttpServer:
    """`largest_body`: bytes of one request."""

    def __init__(self, watch: Watch, predictor: Predictor, largest_body: int) -> None:
        self._watch, self._predictor, self._largest_body = watch, predictor, largest_body

    def application(self) -> web.Application:
        made = web.Application(client_max_size=self._largest_body)
        made.router.add_post("/v1/models/{model:[^/]+}:predict", _answering(self.predict, errors.v1_body))
        made.router.add_get("/v1/models", _answering(self.models, errors.openai_body))
        made.router.add_get("/v1/models/{model:[^/]+}", _answering(self.model, errors.openai_body))
        for path in ("/v2/models/{model:[^/]+}", "/v2/models/{model:[^/]+}/versions/{version:[0-9]+}"):
            made.router.add_get(path, _answering(self.v2_metadata, errors.v1_body))
            made.router.add_get(f"{path}/ready", _answering(self.v2_ready, errors.v1_body))
        made.router.add_get("/healthz", healthz)
        return made

    async def predict(self, request: web.Request) -> web.Response:
        service = find(self._watch, request.headers.get(SERVICE, ""))
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise BridgeError(Kind.TOO_LARGE, f"The request is larger than {self._largest_body} bytes.") from None
        call = Call(service.name, request.headers.get(REQUEST_ID, ""))
        return web.Response(body=await self._predictor.v1(service, call, body), content_type=JSON)

    async def models(self, request: web.Request) -> web.Response:
        return _json(catalogue.listing(self._watch.table, request.headers.get(CALLER, "")))

    async def model(self, request: web.Request) -> web.Response:
        """404 for what the caller may not use, too; 503 with the reason while it is not ready, as V1 clients expect."""
        name = request.match_info["model"]
        found = catalogue.one(self._watch.table, request.headers.get(CALLER, ""), name)
        if found is None:
            error = BridgeError(Kind.NOT_FOUND, f"There is no model {name}.")
            return _refused(error, errors.openai_body(error, "model_not_found"))
        if not found["ready"]:
            raise BridgeError(Kind.UNAVAILABLE, self._watch.table.services[name.partition(":")[0]].message)
        return _json(found)

    async def v2_metadata(self, request: web.Request) -> web.Response:
        service = find(self._watch, request.headers.get(SERVICE, ""))
        _vllm(service)
        made = v2grpc_openai.metadata(service, request.match_info["model"])
        data = json_format.MessageToDict(made, preserving_proto_field_name=True)
        for tensor in (*data["inputs"], *data["outputs"]):
            tensor["shape"] = [int(size) for size in tensor["shape"]]  # protobuf's JSON has 64-bit numbers as texts
        return _json(data)

    async def v2_ready(self, request: web.Request) -> web.Response:
        service = find(self._watch, request.headers.get(SERVICE, ""))
        _vllm(service)
        v2grpc_openai.model_of(request.match_info["model"], service)
        if not service.ready:
            raise BridgeError(Kind.UNAVAILABLE, service.message)
        return web.Response(status=200)


async def healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def find(watch: Watch, name: str) -> Service:
    """The service that the gateway found. Raises BridgeError."""
    service = watch.find(name)
    if service is None:
        raise BridgeError(Kind.NOT_FOUND, f"There is no service {name}." if name else "The request names no service.")
    return service


def _vllm(service: Service) -> None:
    if service.framework != "vllm":
        raise BridgeError(Kind.NOT_FOUND, f"{service.name} answers this itself.")


def _answering(handler: Handler, shape: Callable[[BridgeError], bytes]) -> Handler:
    """Every failure in the protocol's shape, and none with a traceback."""

    async def answering(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except BridgeError as error:
            return _refused(error, shape(error))
        except Exception:
            log.exception("request %s failed", request.headers.get(REQUEST_ID, ""))
            own = BridgeError(Kind.INTERNAL, "Something went wrong here; the bridge's log says what.")
            return _refused(own, shape(own))

    return answering


def _refused(error: BridgeError, body: bytes) -> web.Response:
    headers = {"Retry-After": error.retry_after} if error.retry_after else {}
    return web.Response(status=error.kind.http, body=body, content_type=JSON, headers=headers)


def _json(data: Any) -> web.Response:
    return web.Response(body=json.dumps(data).encode(), content_type=JSON)
