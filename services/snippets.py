"""The same call as curl, Python (HTTP and gRPC) and grpcurl, each runnable as pasted. Pure: values in, text out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Snippets:
    """Each takes the key from the environment variable API_KEY."""

    curl: str
    python_http: str
    python_grpc: str
    grpcurl: str
