"""As whom, and with which headers, the gateway is called; and what of that may be shown. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from console.stack.addresses import authority

KEY_SHOWN: Final = "$API_KEY"
"""What stands in for the key wherever a request is shown."""
CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Caller:
    """`key` is the API key, or "" for none; it goes into `key_header`, or into Authorization when that is "".

    `parameters` are headers that the service asks of each request. `timeout` in seconds, for each read.
    """

    host: str
    port: int
    key: str = field(default="", repr=False)
    key_header: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    timeout: float = 60.0

    @property
    def address(self) -> str:
        return authority(self.host, self.port)

    def headers(self) -> dict[str, str]:
        """What a request carries to be let in. Names in lower case, as gRPC wants them."""
        return headers(self.key, self.key_header, self.parameters)


def headers(key: str, key_header: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, str]:
    header_values = {name.lower(): value for name, value in parameters}
    if key and key_header:
        header_values[key_header.lower()] = key
    elif key:
        header_values["authorization"] = f"Bearer {key}"
    return header_values


def without_key(sent: Mapping[str, str], key: str) -> dict[str, str]:
    """Headers as they are shown: wherever the key stood stands its variable."""
    return {name: value.replace(key, KEY_SHOWN) if key else value for name, value in sent.items()}
