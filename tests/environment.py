"""Loaded before Django (see addopts in pyproject.toml): every test process has a home of its own.

The runtimes (Triton's environment) are shared, since building one takes minutes: CONSOLE_RUNTIMES, or var/runtimes.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from console.stack.memory import collect_seldom, keep_what_is_loaded
from tests.servers.postgres import Postgres

CHECKOUT = Path(__file__).resolve().parent.parent

collect_seldom()
# Hundreds of processes import the same files: each would compile them anew.
sys.dont_write_bytecode = False
for name in (
    "PYTHONDONTWRITEBYTECODE",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "CONSOLE_PORT",
    "GATEWAY_PORT",
    "CONSOLE_BIND",
    "DATASET_ROOTS",
):
    os.environ.pop(name, None)
# TEST_DATABASE=postgres: a PostgreSQL of the tests' own instead of SQLite. TEST_DATABASE_URL: that one.
if os.environ.get("TEST_DATABASE") == "postgres" and "TEST_DATABASE_URL" not in os.environ:
    postgres = Postgres()
    atexit.register(postgres.stop)
    os.environ["TEST_DATABASE_URL"] = postgres.url  # processes that this one starts use it too
if database := os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = database
os.environ.setdefault("CONSOLE_RUNTIMES", str(CHECKOUT / "var" / "runtimes"))
# Short: unix socket paths may have at most 107 bytes.
HOME = Path(tempfile.mkdtemp(prefix="ic-"))
os.environ["CONSOLE_HOME"] = str(HOME)
os.environ["REDIS_URL"] = "memory://"  # what is enqueued goes nowhere: tests call the actions themselves
os.environ["DATASET_ROOTS"] = str(HOME / "datasets")
(HOME / "datasets").mkdir()
atexit.register(shutil.rmtree, HOME, ignore_errors=True)


def pytest_collection_finish() -> None:
    """The collected tests stay until the end: the garbage collector would look at all of them again and again."""
    keep_what_is_loaded()
