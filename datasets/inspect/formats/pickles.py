"""Which names a pickle would import, found by following its opcodes on a stack of texts. Nothing is ever loaded.

Loading a pickle runs whatever it names (https://docs.python.org/3/library/pickle.html). Every opcode is followed with
its effect on the stack, as `pickletools` documents it, since a scan for text alone can be misled by texts that are
pushed and dropped. What cannot be followed is an import of UNKNOWN, never of nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from datasets.inspect.budget import Budget
from datasets.inspect.errors import Unreadable

UNKNOWN: Final = "?"
MOST_IMPORTS: Final = 200
LONGEST_NAME: Final = 512
LONGEST_LINE: Final = 1 << 16
MOST_STACK: Final = 1_000_000
PIECE: Final = 1 << 16
ARRAY: Final = "joblib.numpy_pickle.NumpyArrayWrapper"
"""joblib puts the bytes of an array right behind the object that announces it, where no pickle goes on."""
OPCODES: Final = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
COUNTED: Final = {
    pickletools.TAKEN_FROM_ARGUMENT1: (1, False),
    pickletools.TAKEN_FROM_ARGUMENT4: (4, True),
    pickletools.TAKEN_FROM_ARGUMENT4U: (4, False),
    pickletools.TAKEN_FROM_ARGUMENT8U: (8, False),
}
"""How long an argument is that says so itself: bytes of the count, and whether it is signed."""
TEXTS: Final = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"})
LINES: Final = frozenset({"UNICODE", "STRING"})
PUTS: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
GETS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
EXTENSIONS: Final = frozenset({"EXT1", "EXT2", "EXT4"})
MARK: Final = pickletools.markobject


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


@dataclass
class Findings:
    imports: list[str] = field(default_factory=list)
    """As `module.name`, each once, in the order of the file."""
    whole: bool = True
    """Whether it was followed to its end."""
    first_number: int = 0
    """The first whole number: PyTorch's old format tells itself by it."""

    def add(self, name: str) -> None:
        if name in self.imports:
            return
        if len(self.imports) < MOST_IMPORTS:
            self.imports.append(name)
        else:
            self.whole = False


def follow(stream: Stream, budget: Budget) -> Findings:
    """One pickle, up to its STOP. Raises Unreadable when it is none from its very first byte; OSError."""
    run = _Run(stream, budget)
    first = stream.read(1)
    if first not in OPCODES:
        raise Unreadable("it is no pickle")
    try:
        while run.step(first):
            first = stream.read(1)
    except (Unreadable, LookupError, ValueError, EOFError) as error:
        run.findings.whole = False
        if isinstance(error, Unreadable) and not run.findings.imports and run.steps < 2:
            raise
    return run.findings


class _Run:
    """The machine: a stack whose items are texts, MARK, or None for everything else; and the memo."""

    def __init__(self, stream: Stream, budget: Budget) -> None:
        self.stream, self.budget = stream, budget
        self.findings = Findings()
        self.stack: list[Any] = []
        self.memo: dict[int, str | None] = {}
        self.steps = 0

    def step(self, code: bytes) -> bool:
        """False after the last one."""
        self.budget.step()
        self.steps += 1
        if code not in OPCODES:
            raise Unreadable("it is damaged or goes on as something else")
        opcode = OPCODES[code]
        value = self._argument(opcode)
        name = opcode.name
        if name == "STOP":
            return False
        if name in ("GLOBAL", "INST"):
            self.findings.add(value if isinstance(value, str) else UNKNOWN)
        elif name == "STACK_GLOBAL":
            self._stack_global()
        elif name in EXTENSIONS:
            self.findings.add(UNKNOWN)
        elif name == "BUILD" and ARRAY in self.findings.imports:
            raise Unreadable("an array follows")
        if handle := HANDLERS.get(name):
            handle(self, value)
        else:
            self._effect(opcode, value)
        if len(self.stack) > MOST_STACK or len(self.memo) > MOST_STACK:
            raise Unreadable("it nests too much")
        return True

    def _stack_global(self) -> None:
        module, name = self.stack[-2:] if len(self.stack) > 1 else (None, None)
        is_text = isinstance(module, str) and isinstance(name, str)
        self.findings.add(f"{module}.{name}" if is_text else UNKNOWN)

    def _effect(self, opcode: Any, value: Any) -> None:
        before = opcode.stack_before
        if MARK in before:  # everything down to the mark, and what is documented below it
            self._to_mark()
            before = before[: before.index(MARK)]
        if len(before) > len(self.stack):
            raise Unreadable("it takes more than there is")
        if before:
            del self.stack[-len(before) :]
        pushed = [MARK if kind is MARK else None for kind in opcode.stack_after]
        if opcode.name in TEXTS or opcode.name in LINES:
            pushed = [value]
        self.stack += pushed

    def _to_mark(self) -> None:
        while self.stack:
            if self.stack.pop() is MARK:
                return
        raise Unreadable("it ends a list that was not begun")

    def pop(self, _value: Any) -> None:
        self.stack.pop()

    def pop_mark(self, _value: Any) -> None:
        self._to_mark()

    def dup(self, _value: Any) -> None:
        self.stack.append(self.stack[-1])

    def put(self, value: Any) -> None:
        self.memo[value] = self._top()

    def memoize(self, _value: Any) -> None:
        self.memo[len(self.memo)] = self._top()

    def get(self, value: Any) -> None:
        self.stack.append(self.memo[value])

    def _top(self) -> str | None:
        top = self.stack[-1]
        return top if isinstance(top, str) else None

    def _argument(self, opcode: Any) -> Any:
        """Texts and numbers that matter here; everything else is read over."""
        arg = opcode.arg
        if arg is None:
            return None
        if arg.n == pickletools.UP_TO_NEWLINE:
            return self._line(opcode.name)
        if arg.n in COUNTED:
            width, signed = COUNTED[arg.n]
            length = int.from_bytes(self._exactly(width), "little", signed=signed)
            if length < 0:
                raise Unreadable("a length is negative")
            is_kept = opcode.name in TEXTS or opcode.name in ("LONG1", "LONG4")
            content = self._exactly(length, keep=LONGEST_NAME if is_kept else 0)
            if opcode.name in TEXTS:
                return content.decode("utf-8", "replace") if length <= LONGEST_NAME else None
            if opcode.name in ("LONG1", "LONG4") and not self.findings.first_number:
                self.findings.first_number = int.from_bytes(content[:16], "little")
            return None
        return int.from_bytes(self._exactly(arg.n, keep=arg.n), "little")

    def _line(self, name: str) -> Any:
        text = self._readline()
        if name in ("GLOBAL", "INST"):
            second = self._readline()
            return f"{text}.{second}" if len(text) + len(second) <= LONGEST_NAME else UNKNOWN
        if name in PUTS or name in GETS:
            return int(text)
        if name == "STRING":
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and "\\" not in text
            return text[1:-1] if quoted else None
        return text if name == "UNICODE" and "\\" not in text and len(text) <= LONGEST_NAME else None

    def _readline(self) -> str:
        line = self.stream.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise Unreadable("a line does not end")
        return line[:-1].decode("utf-8", "replace").strip()

    def _exactly(self, length: int, keep: int = 8) -> bytes:
        """The first `keep` of `length` bytes; the others are read over, a piece at a time."""
        kept = self.stream.read(min(length, keep)) if length and keep else b""
        left = length - len(kept)
        if len(kept) < min(length, keep):
            raise Unreadable("it is cut short")
        while left:
            piece = self.stream.read(min(left, PIECE))
            self.budget.step()
            if not piece:
                raise Unreadable("it is cut short")
            left -= len(piece)
        return kept


HANDLERS: Final[dict[str, Callable[[_Run, Any], None]]] = {
    "POP": _Run.pop,
    "POP_MARK": _Run.pop_mark,
    "DUP": _Run.dup,
    "MEMOIZE": _Run.memoize,
    **dict.fromkeys(PUTS, _Run.put),
    **dict.fromkeys(GETS, _Run.get),
}
