"""Puts a replica's launch on disk: its files, its links and the launch file that `console/stack/child.py` reads."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from console.files import replace
from services.engines.local import seccomp
from services.engines.local.run_dir import RunDir
from services.errors import EngineError
from services.listeners import Listeners
from services.specs import Launch, ReplicaSpec

KEEPER = Path(__file__).with_name("keeper.py")
START_WINDOW = 300
"""Seconds. More than `start_retries` + 3 starts within it are a crash loop, however long each one lasted."""


@dataclass(frozen=True)
class Papers:
    """What is kept about one replica, beside its run directory so that no file of a model can get in the way."""

    programs: Path
    name: str

    @property
    def conf(self) -> Path:
        """supervisord's own file."""
        return self.programs / f"{self.name}.conf"

    @property
    def launch(self) -> Path:
        """Command and environment, which may hold secrets; gone when the replica is stopped."""
        return self.programs / f"{self.name}.json"

    @property
    def lock(self) -> Path:
        """Held by the process and its children for as long as they live."""
        return self.programs / f"{self.name}.lock"

    @property
    def starts(self) -> Path:
        """When it was started, to notice a crash loop."""
        return self.programs / f"{self.name}.starts"

    def forget_starts(self) -> None:
        """A person or the reconciler asked for this start: earlier crashes do not count against it."""
        self.starts.unlink(missing_ok=True)


def prepare(spec: ReplicaSpec, papers: Papers, listeners: Listeners, box: Sequence[str]) -> str:
    """Make the run directory as `spec` says; remove what an earlier launch made and this one does not. -> digest

    Raises EngineError for a launch that asks for what it must not, OSError when the disk does not take it.
    """
    run_dir, launch = RunDir(spec.run_dir), spec.launch
    _check(launch)
    run_dir.create()
    paths = sorted([*launch.files, *launch.links])
    for stale in sorted(set(_made_before(papers.launch)) - set(paths), reverse=True):
        run_dir.remove(stale)
    for name, content in launch.files.items():
        run_dir.write(name, content)
    for name, target in launch.links.items():
        run_dir.link(name, target)
    Path(listeners.http.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_launch(papers.launch, _document(spec, papers, paths, listeners, box))
    return _digest(launch, box)


def drop_outdated(programs: Path) -> list[str]:
    """Forgets replicas whose launch an earlier release wrote, before supervisord starts them: they listen where nobody
    looks. The control loop starts them anew. Their names.
    """
    names = []
    for path in sorted(programs.glob("svc-*.json")):
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError):
            document = {}
        if "replica" not in document:
            Papers(programs, path.stem).conf.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            names.append(path.stem)
    return names


def write_launch(path: Path, document: Mapping[str, Any]) -> None:
    write(path, json.dumps(document, indent=1).encode(), mode=0o600)


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file as one step, and only when its content differs."""
    if not path.is_symlink() and path.is_file() and path.read_bytes() == content:
        path.chmod(mode)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(path, content, mode=mode)


def _document(
    spec: ReplicaSpec, papers: Papers, paths: list[str], listeners: Listeners, box: Sequence[str]
) -> dict[str, Any]:
    return {
        "argv": [sys.executable, "-IS", str(KEEPER), str(papers.launch)],
        "env": {},
        "cwd": str(spec.run_dir),
        "lock": str(papers.lock),
        "start_limit": [spec.start_retries + 3, START_WINDOW, str(papers.starts)],
        "made": paths,
        "replica": {
            "argv": list(spec.launch.argv),
            "env": dict(spec.launch.env),
            "folder": str(spec.run_dir),
            "box": list(box),
            "seccomp": base64.b64encode(seccomp.program()).decode(),
            "sockets": {own: getattr(listeners, name).path for name, own in spec.launch.sockets.items()},
        },
    }


def _digest(launch: Launch, box: Sequence[str]) -> str:
    document = {
        "box": list(box),
        "argv": launch.argv,
        "env": dict(launch.env),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in launch.files.items()},
        "links": {name: str(target) for name, target in launch.links.items()},
        "sockets": dict(launch.sockets),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def _check(launch: Launch) -> None:
    if not launch.argv:
        raise EngineError("There is nothing to start: the command is empty.", permanent=True)
    for name in [*launch.files, *launch.links]:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise EngineError(f"A replica may not write {name!r} in its run directory.", permanent=True)
    for name in [*launch.files, *launch.links]:
        if any(str(parent) in launch.links for parent in PurePosixPath(name).parents):
            raise EngineError(f"{name!r} would be written through a link, outside the run directory.", permanent=True)
    if any("\0" in text for text in [*launch.argv, *launch.env, *launch.env.values()]):
        raise EngineError("An argument or an environment variable holds a NUL character.", permanent=True)
    if bad := [name for name in launch.env if not name or "=" in name]:
        raise EngineError(f"{bad[0]!r} cannot be the name of an environment variable.", permanent=True)


def _made_before(launch_file: Path) -> list[str]:
    try:
        return list(json.loads(launch_file.read_bytes()).get("made", []))
    except (OSError, ValueError):
        return []
