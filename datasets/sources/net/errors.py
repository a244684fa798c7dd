"""What servers answer and how connections fail, in words. Never with a query string, a header or a body in them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, IncompleteRead

from datasets.errors import SERVER, SourceError
from datasets.sources.net.slow_server import HeadTooLong, TooSlow
from datasets.sources.net.url import Url

_SPENT = re.compile(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", re.ASCII)
MAX_WAIT = 600.0
"""Seconds of a Retry-After that are believed."""


def refusal(url: Url, status: int, headers: Message) -> SourceError:
    """For a status that is no success. `permanent` where the same request would get the same answer."""
    host = url.authority
    if status == 401:
        return SourceError(f"{host} requires authentication (401).", hint="Give a user name and password, or a token.")
    if status == 403:
        return SourceError(f"{host} does not let these credentials read {url.path} (403).")
    if status in {404, 410}:
        return SourceError(f"There is no {url.path} at {host} ({status}).", hint="Check the address.")
    if status in {408, 425, 429} or status >= 500:
        wait = max(retry_after(headers.get("Retry-After", "")), reset_after(headers.get("RateLimit", "")))
        asks = f" It asks to wait {wait:.0f} seconds." if wait else ""
        what = "is asked too often" if status == 429 else "cannot answer right now"
        return SourceError(f"{host} {what} ({status}).{asks}", permanent=False, wait=wait)
    return SourceError(f"{host} answered {status} to a request for {url.path}.", hint="Check the address.")


def reset_after(value: str) -> float:
    """Seconds from a RateLimit (`"name";r=0;t=55`) of which nothing remains; 0 for one that says something else."""
    match = _SPENT.search(value)
    return min(float(match[1]), MAX_WAIT) if match else 0.0


def retry_after(value: str) -> float:
    """Seconds from a Retry-After of either form; 0 for one that says nothing."""
    if value.strip().isdecimal():
        return min(float(value), MAX_WAIT)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), MAX_WAIT)


@contextmanager
def explained(url: Url) -> Iterator[None]:
    """What goes wrong on a connection, as a SourceError."""
    try:
        yield
    except (OSError, HTTPException) as error:
        raise broken(url, error) from error


def broken(url: Url, error: OSError | HTTPException) -> SourceError:
    """The words for `error`. Not permanent, but for a certificate that is not trusted."""
    source_error = _words(url.authority, error)
    source_error.option = SERVER
    return source_error


def _words(host: str, error: OSError | HTTPException) -> SourceError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceError(
            f"The certificate of {host} is not trusted: {error.verify_message}.",
            hint="If it is signed by a private authority, SSL_CERT_FILE names the file with its certificate.",
        )
    if isinstance(error, ssl.SSLError):
        return SourceError(
            f"No TLS connection to {host}: {(error.reason or 'it broke').replace('_', ' ').lower()}.",
            permanent=False,
            hint="Is it https, and is the port right?",
        )
    if isinstance(error, TimeoutError):
        dripped = "slow" if isinstance(error, TooSlow) else ""
        return SourceError(f"{host} stopped sending, or sends too slowly.", permanent=False, refused=dripped)
    if isinstance(error, HeadTooLong):
        return SourceError(f"{host} sent more headers than an answer has.", refused="endless")
    if isinstance(error, ConnectionError | IncompleteRead):
        return SourceError(f"{host} closed the connection too early.", permanent=False)
    if isinstance(error, OSError):
        return SourceError(f"The connection to {host} broke: {error.strerror or 'unknown'}.", permanent=False)
    return SourceError(f"{host} did not answer as an HTTP server does.", permanent=False)
