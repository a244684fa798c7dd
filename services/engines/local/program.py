"""One program as supervisord's configuration spells it. Pure; used for replicas and for the stack itself.

The text holds as little as possible: what runs and with which environment is in a launch file that
`console/stack/child.py` reads, so no argument, secret or `%` of a user ever meets supervisord's own syntax.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from console.home import CHECKOUT
from services.errors import EngineError

CHILD = CHECKOUT / "console" / "stack" / "child.py"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LOG_BYTES = 10 * 1024 * 1024
LOG_BACKUPS = 3
REPLICA_PRIORITY = 50
"""Between redis (1) and the rest of the stack (100). supervisord ends one program after the other, and a replica that
ends while the gateway still holds connections to it waits for those: the gateway has to go first.
"""


@dataclass(frozen=True)
class Program:
    name: str
    launch_file: Path
    log: Path
    digest: str
    """Digest of the launch, so that supervisord sees a changed launch as a changed program."""
    start_seconds: int = 2
    start_retries: int = 3
    stop_seconds: int = 10
    priority: int = REPLICA_PRIORITY
    """Low numbers start first and stop last."""


def render(program: Program) -> str:
    """The `[program:...]` section. Raises EngineError when a name or a path cannot be written down safely."""
    if not NAME.fullmatch(program.name):
        raise EngineError(f"{program.name!r} cannot be the name of a process.", permanent=True)
    command = [sys.executable, "-IS", str(CHILD), str(program.launch_file)]
    lines = [
        f"[program:{program.name}]",
        f"command={' '.join(_argument(part) for part in command)}",
        f'environment=LAUNCH_DIGEST="{program.digest}"',
        f"priority={program.priority}",
        "autostart=true",
        "autorestart=true",
        f"startsecs={program.start_seconds}",
        f"startretries={program.start_retries}",
        f"stopwaitsecs={program.stop_seconds}",
        "stopsignal=TERM",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={value(program.log)}",
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
    ]
    return "\n".join(lines) + "\n"


def value(path: Path) -> str:
    """A path as the value of an option. supervisord would take `%` for an expansion, and ` ;` or ` #` for a comment."""
    text = str(path)
    if re.search(r"[\x00-\x1f\x7f]|\s[;#]|\s$", text):
        raise EngineError(
            f"The path {text!r} cannot be used: it holds a control character, or ; or # after a space.",
            permanent=True,
            hint="Choose another CONSOLE_HOME.",
        )
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    return shlex.quote(value(Path(text)) if text.startswith("/") else text)
