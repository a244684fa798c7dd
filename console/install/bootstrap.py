"""Makes a virtual environment from a pinned requirements file, once for each content of the file:

    python console/install/bootstrap.py <environment> <requirements.txt> [--also <requirements.txt> ...]
        [--then <script> ...] [--copied <folder> ...]

`--also` names files whose pins are a part of the first one's: they count as installed too. `--then` runs a script of
ours with the environment's folder as its argument after pip is done; `--copied` names folders whose files such a script
copies, so it runs again when one of them changes. Standard library only: it runs before anything is installed. One line
of progress on a terminal, a line now and then elsewhere, pip's own words when it fails.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

STEP = 20
"""Without a terminal: a line for every so many packages."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Make a virtual environment from a pinned requirements file.")
    parser.add_argument("environment", type=Path)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("--also", type=Path, nargs="*", default=[])
    parser.add_argument("--then", type=Path, nargs="*", default=[])
    parser.add_argument("--copied", type=Path, nargs="*", default=[])
    options = parser.parse_args(arguments)
    environment: Path = options.environment.absolute()
    copied = sorted(file for folder in options.copied for file in folder.rglob("*.py"))
    expected = stamp(environment, [options.requirements, *options.then, *copied])
    marker = stamp_file(environment, options.requirements)
    if read(marker) == expected and runs(environment):
        return 0
    began = time.monotonic()
    say(f"Preparing {environment} from {options.requirements.name} (once; this takes a few minutes)")
    if not runs(environment) or not same_python(environment):
        make(environment)
    failure = install(environment, options.requirements) or run_scripts(environment, options.then)
    if failure:
        sys.stderr.write(f"{failure}\nerror: {environment} could not be prepared: see above, then run it again.\n")
        return 1
    for other in options.also:
        stamp_file(environment, other).write_text(stamp(environment, [other]), encoding="ascii")
    marker.write_text(expected, encoding="ascii")
    say(f"{environment.name} is ready ({time.monotonic() - began:.0f} s)")
    return 0


def stamp(environment: Path, files: list[Path]) -> str:
    """Changes with the files, with this Python, and with the place: an environment cannot be moved."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {environment}".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def stamp_file(environment: Path, requirements: Path) -> Path:
    return environment / f".stamp-{requirements.stem}"


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def runs(environment: Path) -> bool:
    try:
        command = [str(environment / "bin" / "python"), "-c", "import pip"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def same_python(environment: Path) -> bool:
    command = [str(environment / "bin" / "python"), "-c", "import sys; print(*sys.version_info[:2])"]
    version = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return version == [str(part) for part in sys.version_info[:2]]


def make(environment: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)


def install(environment: Path, requirements: Path) -> str:
    """ "" or the end of what pip said."""
    total = sum(1 for line in requirements.read_text("utf-8").splitlines() if "==" in line and line[:1].isalnum())
    command = [
        *(str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
        *("--progress-bar", "off", "-r", str(requirements)),
    ]
    last: deque[str] = deque(maxlen=40)
    progress = Progress(total)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            last.append(line.rstrip())
            progress.see(line)
    progress.end()
    return "\n".join(last) if pip.returncode else ""


def run_scripts(environment: Path, scripts: list[Path]) -> str:
    for script in scripts:
        done = subprocess.run(
            [sys.executable, "-P", str(script), str(environment)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return (done.stdout + done.stderr).strip()
    return ""


class Progress:
    """What pip is doing, from the first word of its lines."""

    def __init__(self, total: int) -> None:
        self._total, self._seen, self._terminal = total, 0, sys.stdout.isatty()

    def see(self, line: str) -> None:
        words = line.split()
        if words[:1] == ["Collecting"] or words[:2] == ["Requirement", "already"]:
            self._seen += 1
            self._show(words[3] if words[0] == "Requirement" else words[1], quiet=self._seen % STEP != 0)
        elif words[:2] == ["Installing", "collected"]:
            self._show("unpacking", quiet=False)

    def end(self) -> None:
        if self._terminal:
            sys.stdout.write("\r\x1b[K")

    def _show(self, what: str, *, quiet: bool) -> None:
        name = what.split("==")[0].strip("()")
        text = f"  {min(self._seen, self._total)}/{self._total} packages  {name}"
        if self._terminal:
            sys.stdout.write(f"\r\x1b[K{text[:78]}")
            sys.stdout.flush()
        elif not quiet:
            say(text)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
