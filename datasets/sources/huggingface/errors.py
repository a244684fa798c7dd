"""What a Hugging Face Hub answers instead of what was asked for, in words. Never with a body or a token in them."""

from __future__ import annotations

from dataclasses import dataclass

from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)

from datasets.errors import SERVER, SourceError
from datasets.sources.net.errors import reset_after, retry_after

BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105 - what the Hub says of a wrong one
PASSING = {408, 425, 429}


@dataclass(frozen=True)
class Target:
    """What was asked for, as far as an answer in words needs it."""

    host: str
    page: str
    """The address of the repository, for people."""
    repository: str
    revision: str
    with_token: bool


def words(error: HfHubHTTPError, target: Target, path: str = "") -> SourceError:
    """`path` is the file or folder in question, if there is one."""
    status = error.response.status_code
    if status in PASSING or status >= 500:
        return _passing(error, target, status)
    if isinstance(error, GatedRepoError):
        return _gated(target)
    if isinstance(error, RevisionNotFoundError):
        return SourceError(
            f"{target.repository} has no branch, tag or commit {target.revision}.",
            hint="The usual one is main.",
            option="revision",
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return SourceError(f"There is no {path or 'such file'} in {target.repository} at {target.revision}.")
    if isinstance(error, DisabledRepoError):
        return SourceError(f"{target.host} has disabled {target.repository}: nobody can read it.")
    if error.response.headers.get("X-Error-Message") == BAD_TOKEN:
        return SourceError(
            f"{target.host} does not accept the token.",
            hint="It may be revoked or mistyped. Enter another one.",
            option="token",
        )
    # RepositoryNotFoundError, and its 401 where the client does not know the address for one of a Hub.
    if status == 401 or (status == 404 and error.response.headers.get("X-Error-Code") == "RepoNotFound"):
        return _missing(target)
    if status == 403:
        return SourceError(
            f"{target.host} does not let this token read {target.repository} (403).",
            hint="It needs read access to the contents of this repository.",
            option="token",
        )
    return SourceError(
        f"{target.host} answered {status}, as no Hugging Face Hub does.",
        hint="Check the server.",
        option=SERVER,
    )


def _passing(error: HfHubHTTPError, target: Target, status: int) -> SourceError:
    headers = error.response.headers
    wait = max(retry_after(headers.get("Retry-After", "")), reset_after(headers.get("RateLimit", "")))
    asks = f" It asks to wait {wait:.0f} seconds." if wait else ""
    if status == 429:
        hint = "" if target.with_token else "With a token more requests are allowed."
        return SourceError(f"{target.host} is asked too often (429).{asks}", permanent=False, wait=wait, hint=hint)
    return SourceError(f"{target.host} cannot answer right now ({status}).{asks}", permanent=False, wait=wait)


def _gated(target: Target) -> SourceError:
    if target.with_token:
        return SourceError(
            f"{target.repository} is gated, and the account of this token has not been let in.",
            hint=f"Ask for access at {target.page}, and try again once it is granted.",
            option="token",
        )
    return SourceError(
        f"{target.repository} is gated: only accounts that were let in can read its files.",
        hint=f"Ask for access at {target.page}, then enter a token of that account.",
        option="token",
    )


def _missing(target: Target) -> SourceError:
    if target.with_token:
        return SourceError(
            f"{target.host} has no model repository {target.repository}, or not for the account of this token.",
            hint="Check the spelling, and that the token may read private repositories of that owner.",
        )
    return SourceError(
        f"{target.host} has no model repository {target.repository} that everybody can read.",
        hint="Check the spelling. If it is private, enter a token of an account that can read it.",
    )
