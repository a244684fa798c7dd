"""The discovery files as Envoy reads them: protobuf. Their JSON is the record beside, with the same version.

To read megabytes of JSON takes Envoy a second of its main thread, the same as protobuf a twentieth of that. A file is
assembled of items that were each encoded on their own: the encoding of an unchanged item is in the previous file, at
the place of its line in the previous JSON. So a change costs what is new, in a new process as well.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from console.formats import varints
from services.errors import GatewayRefused
from services.gateway.envoy import names
from services.gateway.envoy.document import Document, apart

_MODULES: Final = (
    "config.cluster.v3.cluster",
    "config.route.v3.route",
    "extensions.filters.http.api_key_auth.v3.api_key_auth",
    "extensions.filters.http.buffer.v3.buffer",
    "extensions.filters.http.grpc_http1_reverse_bridge.v3.config",
    "extensions.filters.http.lua.v3.lua",
    "extensions.filters.http.rbac.v3.rbac",
    "extensions.filters.http.set_filter_state.v3.set_filter_state",
    "extensions.retry.host.previous_hosts.v3.previous_hosts",
    "extensions.upstreams.http.v3.http_protocol_options",
)
"""Whose messages are in the files."""
_LISTS: Final = {
    names.ROUTES: (("envoy.config.route.v3.RouteConfiguration", "virtual_hosts"),),
    names.KEYS: (
        ("envoy.config.core.v3.TypedExtensionConfig", "typed_config"),
        ("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth", "credentials"),
    ),
    names.CLUSTERS: (),
}
"""Where a file's items are: field by field below its one resource. Clusters are resources themselves."""
_VERSION, _RESOURCES = 1, 2
_TYPE_URL, _VALUE = 1, 2
_BYTES = 2
"""The wire type of texts, bytes and messages."""


_NOTHING: Final = Document.read(b"")


def file_name(name: str) -> str:
    """What the protobuf of a discovery file is called; of any other file its own name."""
    return name.removesuffix(".json") + ".pb" if name in _LISTS else name


def encode(name: str, document: Document, before: Document = _NOTHING, encoded_before: bytes = b"") -> bytes:
    """The file `name` in protobuf. `before` is the file published now, `encoded_before` the same in protobuf.

    Raises GatewayRefused for what has no such form.
    """
    lines, path = document.lines, _LISTS[name]
    number = _number(*path[-1]) if path else _RESOURCES
    old_fields = _list(name, before, encoded_before)
    front, old, new = apart(before.lines, lines) if old_fields else (0, 0, len(lines))
    fields_by_line = dict(zip(before.lines[front:old], old_fields[front:old], strict=True))
    items = b"".join(
        [
            *old_fields[:front],
            *(fields_by_line.get(line) or _field(number, _item(path, line)) for line in lines[front:new]),
            *old_fields[old:],
        ]
    )
    start = _field(_VERSION, document.version.encode())
    if not path:
        return start + items
    shell = json.loads(document.head + document.tail + b"}")["resources"][0]
    return start + _field(_RESOURCES, _any(_around(path, shell, items)))


def version(encoded: bytes) -> str:
    """The version in a file that `encode` wrote; "" for any other. Its first bytes are enough."""
    try:
        field = next(_fields(encoded[:64]), None)
    except ValueError:
        return ""
    return field[1].decode("ascii", "replace") if field and field[0] == _VERSION else ""


def _list(name: str, before: Document, encoded: bytes) -> list[bytes]:
    """The previous lines' encodings, each as a field. Empty when the two files do not belong together."""
    if not encoded or version(encoded) != before.version:
        return []
    message, number = encoded, _RESOURCES
    try:
        for kind, field in _LISTS[name]:
            (value,) = _values(message, number)
            message, number = next(iter(_values(value, _VALUE)), b""), _number(kind, field)
        items = _cut(message, number)
    except ValueError:  # cut short, or not one value
        return []
    return items if len(items) == len(before.lines) else []


def _values(message: bytes, number: int) -> list[bytes]:
    return [content for field, content in _fields(message) if field == number]


def _cut(message: bytes, number: int) -> list[bytes]:
    """The list `number` at the end of a message, each item with its tag and length: there may be thousands. Empty for
    anything else.
    """
    tag = varints.encode(number << 3 | _BYTES)
    at, end, items = _start(message, number), len(message), []
    while at < end:
        size, over = varints.decode(message, at + len(tag), end)
        if message[at : at + len(tag)] != tag:
            return []
        items.append(message[at : over + size])
        at = over + size
    return items if at == end else []


def _start(message: bytes, number: int) -> int:
    """Where the first item of a list is, or the end of an empty list."""
    at, end = 0, len(message)
    while at < end:
        began = at
        tag, at = varints.decode(message, at, end)
        if tag >> 3 == number:
            return began
        size, at = varints.decode(message, at, end)
        if tag & 7 == _BYTES:
            at += size
        elif tag & 7:
            return end  # as in `_fields`
    return end


def _around(path: tuple[tuple[str, str], ...], shell: Any, items: bytes) -> tuple[str, bytes]:
    """Type and content of the message `shell`, with the items, which are fields, in the list at the end of `path`."""
    (kind, field), *rest = path
    inner = shell.pop(field)
    if rest:
        items = _field(_number(kind, field), _any(_around(tuple(rest), inner, items)))
    return kind, _serialized(kind, shell) + items


def _item(path: tuple[tuple[str, str], ...], line: bytes) -> bytes:
    if not path:
        value = _read(line)
        kind = value["@type"].removeprefix(names.TYPE)
        return _any((kind, _serialized(kind, value)))
    kind, field = path[-1]
    return _serialized(_pool().FindMessageTypeByName(kind).fields_by_name[field].message_type.full_name, _read(line))


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise GatewayRefused(f"The gateway's configuration is no JSON: {error}") from error


def _any(message: tuple[str, bytes]) -> bytes:
    return _field(_TYPE_URL, (names.TYPE + message[0]).encode()) + _field(_VALUE, message[1])


def _serialized(kind: str, value: Any) -> bytes:
    """Equal values give equal bytes."""
    value.pop("@type", None)
    message: Message = message_factory.GetMessageClass(_pool().FindMessageTypeByName(kind))()
    try:
        json_format.ParseDict(value, message, descriptor_pool=_pool())
    except json_format.ParseError as error:
        raise GatewayRefused(f"The gateway's configuration cannot be written for Envoy: {error}") from error
    return message.SerializeToString(deterministic=True)


def _number(kind: str, field: str) -> int:
    return int(_pool().FindMessageTypeByName(kind).fields_by_name[field].number)


@functools.cache
def _pool() -> Any:
    """Imported late: only whoever publishes pays for that."""
    for module in _MODULES:
        importlib.import_module(f"envoy.{module}_pb2")
    return descriptor_pool.Default()


def _field(number: int, content: bytes) -> bytes:
    return varints.encode(number << 3 | _BYTES) + varints.encode(len(content)) + content


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field that is a text, bytes or a message. Other fields are left out."""
    at, end = 0, len(message)
    while at < end:
        tag, at = varints.decode(message, at, end)
        size, at = varints.decode(message, at, end)
        if tag & 7 == _BYTES:
            yield tag >> 3, message[at : at + size]
            at += size
        elif tag & 7:
            return  # fixed numbers: nothing that is looked for comes with them
