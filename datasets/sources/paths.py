"""Paths inside a dataset: put together, and shown where a blank could be overlooked. No I/O."""

from __future__ import annotations


def quoted(path: str) -> str:
    """For messages: in quotes where blanks at its ends would not be seen."""
    return path if path == path.strip() else f"'{path}'"


def blank_hint(path: str) -> str:
    """What may be wrong with a path that names nothing; "" for one without blanks at the ends of its folders."""
    parts = path.split("/")
    return (
        "A folder in it has a blank at its end: remove it if that is not meant."
        if any(part != part.strip() for part in parts)
        else ""
    )


def joined(folder: str, name: str) -> str:
    """The path of `name` in a folder; "" is the dataset itself."""
    return f"{folder}/{name}" if folder else name
