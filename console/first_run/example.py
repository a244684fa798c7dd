"""The example request: 64 pixels of a handwritten 8, as ModelMesh's documentation sends them; the answer is 8."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from console.errors import Unavailable

NAME = "example-mnist-isvc"
_EIGHT = """
 0  0  1 11 14 15  3  0
 0  1 13 16 12 16  8  0
 0  8 16  4  6 16  5  0
 0  5 15 11 13 14  0  0
 0  0  2 12 16 13  0  0
 0  0  0 13 16 16  6  0
 0  0  0 16 16 16  7  0
 0  0  0 11 13 12  1  0
"""
PIXELS = [int(pixel) for pixel in _EIGHT.split()]
EXPECTED = 8.0


def body() -> dict[str, Any]:
    """The V2 request: one input, FP32 [1, 64]."""
    return {"inputs": [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "data": PIXELS}]}


def url(gateway_url: str) -> str:
    return f"{gateway_url}/v2/models/{NAME}/infer"


def curl(gateway_url: str, api_key: str) -> str:
    """A line that can be pasted into a shell."""
    data = json.dumps(body(), separators=(",", ":"))
    return f"curl -s {url(gateway_url)} -H 'X-API-Key: {api_key}' -d '{data}'"


def ask(gateway_url: str, api_key: str) -> float:
    """One real inference through the gateway. Raises Unavailable with what the gateway said."""
    request = urllib.request.Request(  # noqa: S310  (our own gateway, http on loopback)
        url(gateway_url), json.dumps(body()).encode(), {"X-API-Key": api_key, "Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return float(json.load(answer)["outputs"][0]["data"][0])
    except urllib.error.HTTPError as error:
        raise Unavailable(f"The gateway answered {error.code}: {error.read(500).decode(errors='replace')}") from error
    except (OSError, ValueError, LookupError) as error:
        raise Unavailable(f"The gateway gave no answer: {error}") from error
