"""A PostgreSQL of the tests' own: on a free port of this machine, in a temporary directory, without durability."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

DEBIAN = Path("/usr/lib/postgresql")
"""Debian's package puts the server there, and not on PATH."""
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
}


class NoPostgres(Exception):
    """It is not installed, or cannot be started here."""


def binaries() -> Path:
    """The directory with `initdb` and `postgres`. Raises NoPostgres."""
    folders = [Path(path).parent for path in (shutil.which("initdb"),) if path]
    folders += sorted((folder / "bin" for folder in DEBIAN.glob("*")), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoPostgres("There is no PostgreSQL server here (apt install postgresql).")


class Postgres:
    """Started by the constructor; `stop` ends it and removes what it wrote. Raises NoPostgres."""

    def __init__(self) -> None:
        bin_, self._user = binaries(), _user()
        self.directory = Path(tempfile.mkdtemp(prefix="ic-pg-"))
        if self._user:
            shutil.chown(self.directory, self._user)
        data, self.port = self.directory / "data", _free_port()
        self._run(str(bin_ / "initdb"), "-D", str(data), "-A", "trust", "-U", "tests", "-E", "UTF8", "--no-sync")
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        self._log = (self.directory / "log").open("wb")
        self.server = subprocess.Popen(
            [*self._as_user(), bin_ / "postgres", "-D", data, "-p", str(self.port), "-k", self.directory, *options],
            cwd=self.directory,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.url = f"postgres://tests@127.0.0.1:{self.port}/postgres"
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.server.poll() is not None or time.monotonic() > deadline:
                log_text = (self.directory / "log").read_text(errors="replace")
                self.stop()
                raise NoPostgres(f"PostgreSQL did not start: {log_text[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.server.poll() is None:
            subprocess.run([*self._as_user(), "kill", "-INT", str(self.server.pid)], check=False)
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait(20)
        self._log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self._as_user(), *command], cwd=self.directory, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise NoPostgres(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")

    def _as_user(self) -> list[str]:
        """It refuses to run as root."""
        return (
            ["setpriv", f"--reuid={self._user}", f"--regid={_group(self._user)}", "--clear-groups"]
            if self._user
            else []
        )


def _user() -> str:
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoPostgres("PostgreSQL does not run as root, and there is no account to run it as.")


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":  # `make test` asks whether there is one
    try:
        binaries()
    except NoPostgres as error:
        sys.exit(f"note: {error} What the tests of tables and locks say of PostgreSQL is skipped.")
