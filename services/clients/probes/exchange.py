"""One small HTTP exchange with a replica where it listens: what every probe is made of.

http.client, because tritonclient.http leaves two open files behind in each thread that used it (a gevent hub), and
both the worker and the web process ask in ever new threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final

from services.clients.unix_http import UnixConnection
from services.errors import ProbeError
from services.listeners import Address

MAX_ANSWER_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class ProbeResult:
    ready: bool
    message: str
    """Why not, as a sentence; "" when ready."""
    listening: bool = True
    """False while nothing listens, as it is at first during each start."""


class NotListening(ProbeError):
    """Nothing listens there."""


class NotHttp(ProbeError):
    """Somebody answers there, and it is not HTTP."""


def get(address: Address, path: str, timeout: float, limit: int = MAX_ANSWER_BYTES) -> tuple[int, bytes]:
    """Status and at most `limit` bytes of the body. Raises ProbeError without an HTTP answer in `timeout` seconds."""
    return exchange(address, "GET", path, timeout, limit=limit)


def post(address: Address, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
    """As `get`."""
    return exchange(address, "POST", path, timeout, body=body, headers=headers)


def exchange(
    address: Address,
    method: str,
    path: str,
    timeout: float,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    limit: int = MAX_ANSWER_BYTES,
) -> tuple[int, bytes]:
    connection = connect(address, timeout)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(limit)
    except TimeoutError as error:
        raise ProbeError(f"The server at {address} did not answer within {timeout:g} s.") from error
    except HTTPException as error:
        raise NotHttp(f"The server at {address} does not speak HTTP.") from error
    except (ConnectionRefusedError, FileNotFoundError) as error:
        raise NotListening(f"{address} is closed.") from error
    except OSError as error:
        raise ProbeError(f"No answer at {address}: {error.strerror or error}.") from error
    finally:
        connection.close()


def connect(address: Address, timeout: float) -> HTTPConnection:
    """Not connected yet."""
    if address.path:
        return UnixConnection(address.path, timeout)
    return HTTPConnection(address.host, address.port, timeout=timeout)
