"""Errors of the datasets app. No Django."""

from __future__ import annotations

from console.errors import ConsoleError

SERVER = "endpoint"
"""The option to blame for a server. The kinds that have none by this name have the server in their first one."""
REFUSED = {
    "address": "servers with an address that hands out credentials, or is private although nobody listed it",
    "path": "names that lead out of their dataset, or that no folder could hold",
    "link": "links that lead out of their dataset, or go in a circle",
    "archive": "archives with members that are no files, or that unpack to far more than they are",
    "endless": "listings, lists and headers without end",
    "slow": "servers that send a byte now and then",
}


class SourceError(ConsoleError):
    """A source cannot give what was asked. `permanent`: trying again will not help.

    `wait`: seconds that the server asks to stay away, 0 if it does not say.
    `option`: the option that is to blame, so that a form can say it there; "" is the kind's first one.
    `refused`: what harm it would do, one of REFUSED; "" for what is no more than a failure. These are counted.
    """

    code = "source"

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = True,
        hint: str = "",
        wait: float = 0.0,
        option: str = "",
        refused: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.refused = refused
        self.permanent = permanent
        self.wait = wait
        self.option = option


class SourceChanged(SourceError):
    """A file is no longer the version that was planned. A new plan keeps every other file."""

    code = "source_changed"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} changed while it was copied.",
            permanent=False,
            hint="Stop whatever writes to the dataset, then try again.",
        )
        self.path = path


class NotLookedInto(SourceError):
    """Looking would fetch too much. A round can copy it all the same."""

    code = "source_not_looked_into"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is too large to look into before it is preheated.",
            permanent=False,
            hint="Name the path of the model in it, or put the files themselves on the server.",
        )


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


class CredentialsLocked(SourceError):
    """What is stored cannot be decrypted."""

    code = "credentials_locked"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The stored credentials of this dataset cannot be read: {reason}.",
            hint="Put the key back (secrets_key in the home, or CONSOLE_SECRETS_KEY), or enter the credentials again.",
        )


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


class Yielded(PreheatError):
    """Nothing is wrong: others need the seat more, and this round goes on in its next turn."""

    code = "yielded"


class NoRoomYet(Waiting):
    """The disk takes nothing now. What was copied stays, and the round goes on by itself once there is room.

    `need`: bytes that must be free before another try is of any use; 0 when nobody knows.
    """

    code = "no_room"

    def __init__(self, message: str, *, need: int = 0, hint: str = "") -> None:
        super().__init__(message, permanent=False, hint=hint)
        self.need = need
