"""What the page shows of a form: fields, rows, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.forms.inputs import INPUTS
from services.forms.names import COLUMNS, NAMED, PRESET, label
from services.forms.triton import BATCHING
from services.forms.typed import CONFIG, Row, flat

ELSEWHERE = {
    # What a queue cannot hold is a matter of the queue as much as of the amounts.
    "resources": "queue",
    BATCHING: f"{BATCHING}.enabled",
    # What only an administrator may ask for.
    CONFIG: f"{CONFIG}.trust_remote_code",
    "auth": "auth.policy",
    "limits": "limits.max_payload_mib",
}
"""Fields without an input of their own -> the input that shows their errors."""


@dataclass
class Field:
    """One input: its name, what it shows, and what is wrong with it."""

    name: str
    value: str
    errors: list[str] = field(default_factory=list)
    read: str = ""
    """The value from the model files, if the input shows it. Sent along, so that a typed value can be told from it."""

    @property
    def id(self) -> str:
        """For components/field.html, which puts `id_` before it."""
        return flat(self.name)

    @property
    def label(self) -> str:
        return label(self.name)


@dataclass
class FormRow:
    """One row of a list. `errors` are those of the whole row."""

    cells: dict[str, Field]
    errors: list[str] = field(default_factory=list)

    @property
    def all_errors(self) -> list[str]:
        return [*self.errors, *(message for cell in self.cells.values() for message in cell.errors)]


@dataclass
class ServiceForm:
    """`fields`, and `rows` of each list, by name with `_` for `.`."""

    fields: dict[str, Field]
    rows: dict[str, list[FormRow]]
    list_errors: dict[str, list[str]] = field(default_factory=dict)
    """Errors of a list as a whole, by the same names as `rows`."""
    others: list[str] = field(default_factory=list)
    """Errors without a field on this page."""

    @property
    def notes(self) -> list[tuple[Field, str]]:
        """The fields that only the console reads, each with its help: the page draws them as plain inputs."""
        return [(self.fields[flat(each.name)], each.help) for each in INPUTS if each.is_note]

    @property
    def wrong(self) -> list[Field]:
        """The fields that have errors, in the order of the page: for the summary on top."""
        return [field for field in self.fields.values() if field.errors]

    @property
    def wrong_lists(self) -> list[tuple[str, list[str]]]:
        """(label, messages) of the lists that have errors, of their rows or as a whole."""
        by_list = (
            (label(name), [*self.list_errors.get(flat(name), []), *_row_errors(self.rows.get(flat(name), []))])
            for name in COLUMNS
        )
        return [(name, messages) for name, messages in by_list if messages]

    @property
    def has_errors(self) -> bool:
        return bool(self.wrong or self.wrong_lists or self.others)

    def add_errors(self, errors: Mapping[str, Sequence[str]]) -> ServiceForm:
        """Add each message to its field. A message without a field goes to `others`, with its path."""
        for path, messages in errors.items():
            where = self._find(path)
            if where is None:
                self.others.extend(f"{path}: {message}" for message in messages)
            else:
                where.extend(messages)
        return self

    def _find(self, path: str) -> list[str] | None:
        path = ELSEWHERE.get(path, path)
        simple = self.fields.get(flat(path))
        if simple is not None and simple.name == path:
            return simple.errors
        for name in COLUMNS:
            if path == name:
                return self.list_errors.setdefault(flat(name), [])
            if path.startswith(f"{name}."):
                return self._in_rows(name, path.removeprefix(f"{name}."))
        # `framework_config.dynamic_batching.preferred_batch_size.0` is said at the field that holds them all.
        shorter = path.rpartition(".")[0]
        return self._find(shorter) if shorter not in {"", CONFIG} else None

    def _in_rows(self, name: str, rest: str) -> list[str] | None:
        rows = self.rows[flat(name)]
        if name in NAMED:  # the rest is the name that was given, which may itself have dots
            return next((row.errors for row in rows if row.cells["name"].value.strip() == rest), None)
        index, _, column = rest.partition(".")
        if not index.isdigit() or int(index) >= len(rows):
            return None
        row = rows[int(index)]
        column = column.partition(".")[0]
        return row.cells[column].errors if column in row.cells else row.errors


def _row_errors(rows: Sequence[FormRow]) -> list[str]:
    return [message for row in rows for message in row.all_errors]


def make_form(values: Mapping[str, str], rows: Mapping[str, Sequence[Row]]) -> ServiceForm:
    return ServiceForm(
        fields={flat(name): Field(name, value) for name, value in values.items()},
        rows={flat(name): [make_row(name, row) for row in several] for name, several in rows.items()},
    )


def make_row(name: str, row: Row | None = None) -> FormRow:
    """`name`: of COLUMNS. Without `row`, the empty row that "Add" adds."""
    cells = PRESET if row is None else row
    return FormRow({column: Field(f"{name}.{column}", cells.get(column, "")) for column in COLUMNS[name]})
