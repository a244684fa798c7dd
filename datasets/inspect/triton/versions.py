"""Which versions of a model Triton loads: by the names of its folders and by the policy in config.pbtxt. Pure.

The rules are those of VersionsToLoad in Triton's core (src/model_repository_manager/model_lifecycle.cc).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

OTHER_FOLDERS: Final = frozenset({"warmup", "initial_state", "configs"})
"""Folders beside the versions that have a meaning of their own."""
LEADING_NUMBER: Final = re.compile(r"\s*([+-]?\d+)", re.ASCII)
"""What C++'s std::stoll takes for a number, whatever follows it."""
INT64: Final = range(-(1 << 63), 1 << 63)
DIGITS: Final = 18
"""The most that always fit 64 bits."""


def is_version(name: str) -> bool:
    """Whether a folder of this name is a version, and nothing else."""
    is_number = name.isascii() and name.isdecimal() and len(name) <= DIGITS
    return is_number and (name == "0" or not name.startswith("0"))


def loaded(config: Any, versions: Sequence[int]) -> tuple[int, ...]:
    """Those of `versions` that the policy loads, in ascending order. `config`: None without a config.pbtxt."""
    present = sorted(set(versions))
    if config is None or not config.HasField("version_policy"):
        return tuple(present[-1:])
    policy = config.version_policy
    if policy.HasField("specific"):
        return tuple(version for version in present if version in policy.specific.versions)
    if policy.HasField("latest"):
        return tuple(present[-policy.latest.num_versions :]) if policy.latest.num_versions else ()
    return tuple(present)


def problems(config: Any, folders: Iterable[str]) -> list[str]:
    """Why Triton would load no version, or one that is not there. `folders`: names beside config.pbtxt."""
    names = sorted(set(folders) - OTHER_FOLDERS)
    versions = [int(name) for name in names if is_version(name)]
    sentences = list(_misread(config, names, versions))
    if not versions or loaded(config, versions):
        return sentences
    if config.version_policy.HasField("latest"):
        return [*sentences, "version_policy { latest } asks for no version: write num_versions: 1, or leave it out."]
    policy = list(config.version_policy.specific.versions)
    if not policy:
        return [*sentences, "version_policy in config.pbtxt names no version: name one, or leave it out."]
    present = f"there {'is' if len(versions) == 1 else 'are'} {_listed(versions)}"
    return [*sentences, f"version_policy asks for {_listed(policy)}, and {present}: correct it, or leave it out."]


def notes(config: Any, folders: Iterable[str]) -> list[str]:
    versions = {int(name) for name in folders if is_version(name)}
    if config is None or not loaded(config, sorted(versions)):
        return []
    absent = [version for version in config.version_policy.specific.versions if version not in versions]
    if not absent:
        return []
    has, it = ("has", "it") if len(absent) == 1 else ("have", "them")
    return [f"version_policy names {_listed(absent)}, which {has} no folder: Triton leaves {it} out."]


def _misread(config: Any, names: Sequence[str], versions: Sequence[int]) -> Iterator[str]:
    """Folders that Triton takes for another version, by the number at the start of their names."""
    taken = {int(match[1]): name for name in names if (match := _number(name))}
    chosen = loaded(config, [*versions, *(number for number in taken if number in INT64)])
    for number, name in taken.items():
        if number not in INT64:
            yield f"The folder {name} has a number for a name, which is too large for Triton: rename it."
        elif number in chosen and number not in versions:
            yield (
                f"Triton takes the folder {name} for version {number}, and finds no folder {number} then: give it a "
                "name that begins with a letter."
            )


def _number(name: str) -> re.Match[str] | None:
    is_ignored = len(name) > 1 and name.startswith("0")
    return None if is_ignored or is_version(name) else LEADING_NUMBER.match(name)


def _listed(versions: Sequence[int]) -> str:
    shown = ", ".join(map(str, versions[:5])) + (", …" if len(versions) > 5 else "")
    return f"version{'' if len(versions) == 1 else 's'} {shown}"
