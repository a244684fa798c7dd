"""Server-sent events, as OpenAI's streams use them: bytes in as they come, the data of whole events out. Pure."""

from __future__ import annotations

from services.bridge.errors import BridgeError, Kind

LONGEST_EVENT = 1 << 20
"""Bytes. Longer ones are no event of a token."""
DONE = b"[DONE]"


class Events:
    """Events end with an empty line; lines end with LF or CRLF. Comments and other fields are passed over."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of each event that `chunk` completes. Raises BridgeError when one does not end."""
        content = self._rest + chunk
        whole, separator, self._rest = content.replace(b"\r\n", b"\n").rpartition(b"\n\n")
        # A CRLF may be cut in two: its LF then comes with the next chunk, and the replacing is done again.
        if len(self._rest) > LONGEST_EVENT:
            raise BridgeError(Kind.BAD_ANSWER, "The service's stream holds an event without an end.")
        return [data for event in whole.split(b"\n\n") if (data := _data(event))] if separator else []


def _data(event: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
