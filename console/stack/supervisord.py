"""supervisord's configuration for the stack. `render` is pure, `write` puts it and the launch files into the home."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from console.home import CHECKOUT, Home
from console.stack.programs import NEVER_GIVE_UP, StackProgram
from services.engines.local import launch
from services.engines.local import program as section
from services.engines.local.program import LOG_BACKUPS, LOG_BYTES, value

PARENT_PID = "STACK_SUPERVISOR_PID"
"""console/stack/child.py reads this: each child makes sure that it was this supervisord that forked it."""
GUARD = CHECKOUT / "console" / "stack" / "guard.py"
SIGTERM = 15
OPEN_FILES = 1024


def folder(home: Home) -> Path:
    """Launch files and locks of the stack's own programs."""
    return home.run / "stack"


def log(home: Home, name: str) -> Path:
    return home.logs / f"{name}.log"


def render(home: Home, programs: Sequence[StackProgram], open_files: int) -> str:
    """The whole of supervisord.conf. Replicas come in through the include."""
    head = f"""\
[unix_http_server]
file={value(home.supervisor_socket)}
chmod=0700

[supervisord]
nodaemon=true
silent=true
nocleanup=true
umask=077
minfds={open_files}
identifier=console
pidfile={value(home.run / "supervisord.pid")}
logfile={value(log(home, "supervisord"))}
logfile_maxbytes={LOG_BYTES}
logfile_backups={LOG_BACKUPS}
childlogdir={value(home.logs)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{value(home.supervisor_socket)}

[include]
files=programs/*.conf
"""
    sections = [section.render(_program(home, program)) for program in programs]
    return "\n".join([head, *sections])


def write(home: Home, programs: Sequence[StackProgram]) -> None:
    """Everything that supervisord and its programs need to find before they start."""
    for path in (home.root, home.run, home.programs, home.replicas, home.logs, home.logs / "replicas", folder(home)):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for program in programs:
        program.cwd.mkdir(mode=0o700, parents=True, exist_ok=True)
        launch.write_launch(folder(home) / f"{program.name}.json", program.launch(folder(home)))
    launch.write_launch(folder(home) / "supervisord.json", own_launch(home))
    launch.write(home.supervisor_conf, render(home, programs, open_files()).encode())


def own_launch(home: Home) -> dict[str, Any]:
    """How supervisord itself is started. It gets SIGTERM, not SIGKILL, when `manage.py run` dies: it then stops all."""
    supervisor = [sys.executable, "-m", "console.stack.supervise", "-c", str(home.supervisor_conf)]
    return {
        "argv": [sys.executable, "-IS", str(GUARD), *supervisor],
        "env": {"CONSOLE_HOME": str(home.root)},
        "cwd": str(CHECKOUT),
        "inherit_env": True,
        "lock": str(folder(home) / "supervisord.lock"),
        "lock_grace": 60,
        "death_signal": SIGTERM,
    }


def open_files() -> int:
    """Low: supervisord closes so many, one by one, for each program that it starts. child.py raises it again."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)


def _program(home: Home, program: StackProgram) -> section.Program:
    return section.Program(
        name=program.name,
        launch_file=folder(home) / f"{program.name}.json",
        log=log(home, program.name),
        digest=program.digest(),
        start_seconds=program.start_seconds,
        start_retries=NEVER_GIVE_UP,
        stop_seconds=program.stop_seconds,
        priority=program.priority,
    )
