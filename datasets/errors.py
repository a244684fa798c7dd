"""Errors of the datasets app. No Django."""

from __future__ import annotations

from console.errors import ConsoleError


class SourceError(ConsoleError):
    """A source cannot give what was asked. `permanent`: trying again will not help.

    `wait`: seconds that the server asks to stay away, 0 if it does not say.
    """

    code = "source"

    def __init__(self, message: str, *, permanent: bool = True, hint: str = "", wait: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.permanent = permanent
        self.wait = wait


class SourceChanged(SourceError):
    """A file is no longer the version that was planned. A new plan keeps every other file."""

    code = "source_changed"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while it was copied.",
            permanent=False,
            hint="Wait until nothing writes to the dataset any more, then try again.",
        )
        self.path = path


class SourceDamaged(SourceError):
    """Bytes arrived that are not what the source itself says they are."""

    code = "source_damaged"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} arrived damaged: its bytes are not what the source says they are.",
            permanent=False,
            hint="If it happens again, the file is damaged at the source.",
        )
        self.path = path


class PreheatError(ConsoleError):
    """A round cannot be finished: the disk is full, a file changed while it was copied, a digest is wrong."""

    code = "preheat"

    def __init__(self, message: str, *, permanent: bool = True, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.permanent = permanent


class Cancelled(PreheatError):
    code = "cancelled"


class Paused(PreheatError):
    code = "paused"


class Waiting(PreheatError):
    """Nothing is wrong: another round copies the same files, and this one will find them."""

    code = "waiting"
