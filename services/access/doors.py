"""How a running service is called from outside: which doors it has, and the ways to name it at each. Pure.

A service is named by the path or a field of the request, by the prefix `/services/<name>/`, by the header
`mm-vmodel-id`, or by the Host `<name>.<domain>`. What the gateway does with them is in services/gateway; snippets and
pages say it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from services.clients.inference.call import GRPC, HTTP, V1
from services.clients.inference.caller import KEY_SHOWN, headers

TRITON: Final = "triton"
DOORS: Final = {HTTP: "v2-rest", GRPC: "v2-grpc", V1: "v1"}
"""Protocol of the test panel -> the door that it calls."""
OPENAI_PATHS: Final = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
}


def refusal(door: str, *, decoupled: bool, sequences: bool) -> str:
    """Why a Triton model of this kind cannot answer there; "" when it can."""
    if decoupled and door in {"v2-rest", "v1", "tfserving"}:
        return "The model streams its responses, which only KServe V2 over gRPC carries."
    if sequences and door in {"v1", "tfserving"}:
        return "The model has sequences, and this protocol has no field for a sequence id."
    return ""


@dataclass(frozen=True)
class Door:
    """`door` is the name that access log and metrics use."""

    door: Annotated[str, "v2-rest, v2-grpc, v1, tfserving, openai or llm-grpc."]
    label: Annotated[str, "For people."]
    method: Annotated[str, "Method and path, or the RPC."]
    url: Annotated[str, "For gRPC: the target of a channel."]
    prefixed: Annotated[str, 'With the service named by a prefix of the path; "" for gRPC.'] = ""
    by_host: Annotated[str, "With the service named by Host, or of gRPC the :authority."] = ""


@dataclass(frozen=True)
class Address:
    """One service as its callers see it. `host`: the gateway's host:port as they reach it; `domain` without port."""

    service: str
    host: str
    framework: str = TRITON
    task: str = ""
    """For a vLLM service: chat, completion or embedding; "" when it is not known yet."""
    public: bool = False
    key_header: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    adapters: tuple[str, ...] = ()
    domain: str = "localhost"
    tls: bool = False

    @property
    def base(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}"

    @property
    def authority(self) -> str:
        """What Host or :authority must be to name the service."""
        port = self.host.rpartition(":")[2]
        return f"{self.service}.{self.domain}" + (f":{port}" if port.isdecimal() else "")

    @property
    def models(self) -> list[str]:
        return [self.service, *(f"{self.service}:{adapter}" for adapter in self.adapters)]

    @property
    def openai_base(self) -> str:
        """What OpenAI's clients call the base URL; "" where they have nothing to ask."""
        return "" if self.framework == TRITON else f"{self.base}/v1"

    def headers(self, key: str = KEY_SHOWN) -> dict[str, str]:
        """What each request must carry."""
        return headers("" if self.public else key, self.key_header, self.parameters)

    def doors(self) -> list[Door]:
        name = quote(self.service, safe="")
        if self.framework == TRITON:
            return [
                self._http("v2-rest", "KServe V2, REST", f"/v2/models/{name}/infer"),
                self._grpc("v2-grpc", "KServe V2, gRPC", "inference.GRPCInferenceService/ModelInfer"),
                self._http("v1", "KServe V1, REST", f"/v1/models/{name}:predict"),
                self._grpc("tfserving", "TensorFlow Serving, gRPC", "tensorflow.serving.PredictionService/Predict"),
            ]
        labels = {"chat": "OpenAI, chat", "completion": "OpenAI, completion", "embedding": "OpenAI, embedding"}
        tasks = [self.task] if self.task in OPENAI_PATHS else list(OPENAI_PATHS)
        openai_endpoints = [self._http("openai", labels[task], OPENAI_PATHS[task]) for task in tasks]
        return [
            *openai_endpoints,
            self._grpc("llm-grpc", "Text over V2 gRPC", "inference.GRPCInferenceService/ModelInferStream"),
        ]

    def _http(self, door: str, label: str, path: str) -> Door:
        scheme = "https" if self.tls else "http"
        prefixed = f"{self.base}/services/{quote(self.service, safe='')}{path}"
        return Door(door, label, f"POST {path}", f"{self.base}{path}", prefixed, f"{scheme}://{self.authority}{path}")

    def _grpc(self, door: str, label: str, method: str) -> Door:
        return Door(door, label, method, self.host, "", self.authority)

    def to_json(self) -> dict[str, Any]:
        """`endpoints` of a service in the REST API."""
        name, triton = quote(self.service, safe=""), self.framework == TRITON
        return {
            "http": f"{self.base}/v2/models/{name}",
            "grpc": self.host,
            "openai": self.openai_base,
            "v1": f"{self.base}/v1/models/{name}:predict" if triton else "",
            "models": self.models,
            "host": self.authority,
            "tls": self.tls,
            "headers": self.headers(),
            "doors": [asdict(door) for door in self.doors()],
        }
