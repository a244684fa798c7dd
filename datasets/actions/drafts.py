"""What a dataset would be with these options and credentials: what is wrong with it, and whether its source answers.

A form, a new dataset, a changed one and a mere look at whether it would work all go through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.accounts.principal import SYSTEM, Principal
from console.web import rates
from datasets import credentials, wiring
from datasets.errors import CredentialsLocked, SourceError
from datasets.models import Dataset
from datasets.sources import registry
from datasets.sources.base import Option, Source

LONGEST = 64 << 10
"""Characters of an option: some are lists."""
CHECKS, CHECKS_SECONDS = 30, 60
"""How often a person may have the console connect somewhere: enough to get a form right, too few to scan a network."""


@dataclass(frozen=True)
class Draft:
    """`given` are credentials in plain text, "" for one to remove; `stored` those that the dataset has, sealed."""

    kind: str
    options: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    stored: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = ""
    """Name of the dataset that `stored` belongs to."""
    before: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """That dataset's options as they are."""

    def kept(self) -> dict[str, str]:
        return {name: sealed for name, sealed in self.stored.items() if name not in self.given}

    def sealed(self, name: str) -> dict[str, str]:
        """What the credentials of the dataset `name` are to be."""
        return self.kept() | credentials.seal(name, {key: value for key, value in self.given.items() if value})


def new(kind: str, options: Mapping[str, Any], given: Mapping[str, Any]) -> Draft:
    return Draft(kind, dict(options), dict(given))


def changed(dataset: Dataset, options: Mapping[str, Any] | None, given: Mapping[str, Any] | None) -> Draft:
    """What is not given stays."""
    return Draft(
        dataset.kind,
        dict(dataset.options if options is None else options),
        dict(given or {}),
        dataset.credentials,
        dataset.name,
        dataset.options,
    )


def mistakes(draft: Draft) -> dict[str, str]:
    """What is wrong with it by itself, by field. Asks nobody."""
    try:
        declared = registry.source_class(draft.kind).options
    except SourceError as error:
        return {"kind": str(error)}
    plain = [option for option in declared if not option.secret]
    secret = [option for option in declared if option.secret]
    return (
        _wrong("options", plain, draft.options, {}, elsewhere={option.name for option in secret})
        | _wrong("credentials", secret, draft.given, draft.kept(), elsewhere={option.name for option in plain})
    ) or _led_elsewhere(draft, plain)


def ask(draft: Draft, actor: Principal) -> str:
    """What its source says of itself. For a draft without mistakes. Raises SourceError and TooOften."""
    secrets = {name: value for name, value in draft.given.items() if value}
    secrets |= credentials.unseal(draft.name, draft.kept())
    if registry.source_class(draft.kind).connects and actor != SYSTEM:
        rates.count("dataset-check", actor.label, most=CHECKS, seconds=CHECKS_SECONDS)
    return registry.make(draft.kind, {**draft.options, **secrets}, wiring.site()).check()


def refusal(draft: Draft, error: SourceError) -> dict[str, str]:
    """The error at the field that it is about."""
    if isinstance(error, CredentialsLocked):
        return {f"credentials.{name}": str(error) for name in draft.kept()}
    source = registry.source_class(draft.kind)
    options = {option.name: option for option in source.options}
    at = options.get(error.option, source.options[0])
    return {f"{'credentials' if at.secret else 'options'}.{at.name}": _with_roots(source, error)}


def _wrong(
    part: str, declared: list[Option], values: Mapping[str, Any], kept: Mapping[str, str], *, elsewhere: set[str]
) -> dict[str, str]:
    errors = {}
    for option in declared:
        if message := _wrong_value(option, values.get(option.name, ""), kept=option.name in kept):
            errors[f"{part}.{option.name}"] = message
    other = "credentials" if part == "options" else "options"
    names = ", ".join(sorted(option.name for option in declared)) or "none"
    for name in set(values) - {option.name for option in declared}:
        message = f"Move this to `{other}`." if name in elsewhere else f"There is no such option. Options: {names}."
        errors[f"{part}.{name}"] = message
    return errors


def _wrong_value(option: Option, value: Any, *, kept: bool) -> str:
    """Never shows the value: it may be a secret."""
    if not isinstance(value, str):
        return "This must be text."
    if option.required and not value.strip() and not kept:
        return f"{option.label} is required."
    if len(value) > LONGEST:
        return f"At most {LONGEST} characters."
    if value and option.choices and value not in dict(option.choices):
        return f"Choose one of: {', '.join(choice for choice, _ in option.choices)}."
    return ""


def _led_elsewhere(draft: Draft, plain: list[Option]) -> dict[str, str]:
    """A stored credential goes only where it was given for: whoever changes the place has to know it."""
    moved = [
        option.label
        for option in plain
        if not option.keeps_credentials and draft.options.get(option.name, "") != draft.before.get(option.name, "")
    ]
    message = "Enter it again, or remove it: a stored one is not used with another"
    return {f"credentials.{name}": f"{message} {' or '.join(moved).lower()}." for name in draft.kept()} if moved else {}


def _with_roots(source: type[Source], error: SourceError) -> str:
    if source.connects or not source.directories:
        return str(error)
    roots = ", ".join(str(root) for root in wiring.allowed_roots())
    return (
        f"{error} Allowed directories: {roots}. To allow another, an administrator starts the console again with it: "
        "DATASET_ROOTS=/path/to/models make run"
    )
