"""The one error base of the product. Mapped once per wire (REST problem details, V2, gRPC, page fragment).

No Django here: the gateway renderer, the engines and the frameworks raise these too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain


class ConsoleError(Exception):
    """Something a person can be told.

    `code` is stable and machine-readable, `message` says what is wrong, `hint` what to do about it.
    `status` is the HTTP status the REST API answers.
    """

    code = "error"
    status = 400

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidFields(ConsoleError):
    """One or more fields of a form or a request body are wrong; every wrong one is named.

    Keys are dotted field paths as the REST API spells them: `resources.cpu`, `affinity.required.0.key`.
    """

    code = "invalid"

    def __init__(self, errors: Mapping[str, Sequence[str] | str]) -> None:
        self.errors: dict[str, list[str]] = {k: [v] if isinstance(v, str) else list(v) for k, v in errors.items()}
        super().__init__("; ".join(f"{k}: {' '.join(v)}" for k, v in self.errors.items()))

    @property
    def text(self) -> str:
        """All messages, without their fields."""
        return " ".join(chain.from_iterable(self.errors.values()))


@contextmanager
def collected(errors: dict[str, list[str]]) -> Iterator[None]:
    """What the block finds wrong with fields goes to `errors`."""
    try:
        yield
    except InvalidFields as error:
        errors.update(error.errors)


class NotFound(ConsoleError):
    code = "not_found"
    status = 404


class Forbidden(ConsoleError):
    code = "forbidden"
    status = 403


class Conflict(ConsoleError):
    """The request is well formed but the present state does not allow it."""

    code = "conflict"
    status = 409


class Unavailable(ConsoleError):
    """Something the console needs (redis, supervisord, a disk) is away for the moment."""

    code = "unavailable"
    status = 503


class NoRoom(Unavailable):
    """A disk takes no more. What was asked for can be asked for again once it does."""

    code = "insufficient_storage"
    status = 507
