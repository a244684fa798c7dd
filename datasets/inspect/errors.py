"""What the readers of model files raise. Imports nothing."""

from __future__ import annotations


class Unreadable(ValueError):
    """A file is not what its name says, is damaged, or is too much to be looked at. The text ends without a stop."""


class TooMuch(Unreadable):
    """The time or the number of steps for one look is used up; nothing is said of what was not reached."""
