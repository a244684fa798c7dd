"""Makes tests/upgrade/home: the home of an installation as commit f0de120 left it, by running that commit.

    git clone . CLONE && git -C CLONE checkout f0de120
    CONSOLE_RUNTIMES=... python -m tests.upgrade.make_home CLONE

It starts that commit's whole stack, with Triton, uses it over its REST API and its gateway, and ends it. The database
is kept as SQL, with the preheated files beside it. The keys of the home, the secrets of API keys and the passwords are
constants of this file, and open nothing else. earlier.py puts the home together again.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.ports import free_ports

HOME: Final = Path(__file__).resolve().parent / "home"
DUMP: Final = "console.sql"
# Stands in the dump for the path of the home.
PLACE: Final = "/home-of-the-test"
PASSWORD: Final = "a password of the tests"
SECRET: Final = "a secret of the tests"
SESSION_KEY: Final = "a session key of the tests, which signs nothing"
CREDENTIALS_KEY: Final = base64.urlsafe_b64encode(b"a credentials key of the tests..").decode()
# Written into the home, because the first key is in credentials.json in every home.
KEYS: Final = "keys.json"
# How often each service was called with the key of the shop, and how often in vain.
CALLS, REFUSED = 5, 2

PEOPLE = f"""
from django.contrib.auth.models import User
from console.models import Membership, Team
from console.principal import SYSTEM
from services.actions import keys, places
from services.gateway import keys as key_format
places.report_node()
places.ensure_default_queue()
default, vision = (Team.objects.create(name=name) for name in ("default", "vision"))
User.objects.create_superuser("admin", password={PASSWORD!r})
alice = User.objects.create_user("alice", password={PASSWORD!r})
Membership.objects.create(team=vision, user=alice, role="owner")
key_format.generate = lambda: key_format._assemble("firstrunkey0", "0" * 43)
new = keys.create(team=default, name="first run", scopes=("infer", "read", "manage"), all_teams=True, actor=SYSTEM)
print(new.key)
"""

# Not over the REST API, which would connect to the bucket.
BUCKET = f"""
from console.models import Team
from datasets import credentials
from datasets.models import Dataset
options = {{"bucket": "models", "region": "eu-west-1", "access_key": "reader"}}
sealed = credentials.seal("bucket", {{"secret_key": {SECRET!r}}})
team = Team.objects.get(name="vision")
Dataset.objects.create(team=team, name="bucket", kind="s3", options=options, credentials=sealed, created_by="alice")
"""

SHOP = """
from console.models import Team
from console.principal import SYSTEM
from services.actions import keys
from services.gateway import keys as key_format
def create(key_id, **fields):
    key_format.generate = lambda: key_format._assemble(key_id, "0" * 43)
    return keys.create(team=Team.objects.get(name="vision"), services=["echo"], actor=SYSTEM, **fields)
limits = {"rate_limit_per_minute": 600, "tokens_per_minute": 100000, "max_concurrent": 4}
shop = create("shopfront000", name="shop front", **limits)
revoked = create("revoked00000", name="revoked")
keys.revoke(revoked.row, actor=SYSTEM)
key_format.generate = lambda: key_format._assemble("rotated00000", "0" * 43)
rotated = keys.rotate(shop.row, actor=SYSTEM)
print(shop.key, revoked.key, rotated.key)
"""


class Earlier:
    """The stack of the earlier commit."""

    def __init__(self, clone: Path, root: Path) -> None:
        self.clone, self.root = clone, root
        console, gateway = free_ports(2)
        self.console, self.gateway = f"http://127.0.0.1:{console}", f"http://127.0.0.1:{gateway}"
        self.env = {
            **os.environ,
            "CONSOLE_HOME": str(root),
            "CONSOLE_PORT": str(console),
            "GATEWAY_PORT": str(gateway),
            "DATASET_ROOTS": str(root / "datasets"),
        }
        self.key = ""

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "run", "--without-example"]
        process = subprocess.Popen(command, cwd=self.clone, env=self.env, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            sys.stderr.write(line)
            if "Everything is up" in line:
                return process
        raise SystemExit("It did not start.")

    def manage(self, code: str) -> list[str]:
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
        done = subprocess.run(command, cwd=self.clone, env=self.env, check=True, capture_output=True, text=True)
        return done.stdout.split()

    def api(self, path: str, body: Any = None, method: str = "GET") -> Any:
        return self._send(f"{self.console}/api/v1/{path}", body, self.key, method)

    def infer(self, service: str, key: str, values: list[float]) -> None:
        body = {"inputs": [{"name": "IN", "shape": [len(values)], "datatype": "FP32", "data": values}]}
        self._send(f"{self.gateway}/v2/models/{service}/infer", body, key, "POST")

    def _send(self, url: str, body: Any, key: str, method: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": key, "X-Tenant": "shop", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.msg = f"{error.msg}: {error.read().decode()}"
            raise

    def wait(self, path: str, good: Callable[[Any], bool], seconds: float = 180) -> Any:
        deadline = time.monotonic() + seconds
        while not good(answer := self.api(path)):
            if time.monotonic() > deadline:
                raise SystemExit(f"{path}: {answer}")
            time.sleep(0.5)
        return answer

    def wait_ready(self, name: str, revision: int) -> None:
        def is_ready(service: Any) -> bool:
            return bool(service["state"] == "READY" and service["serving_revision"] == revision)

        self.wait(f"services/{name}/", is_ready)


def use(earlier: Earlier) -> dict[str, str]:
    """Everything that the test looks for. Returns the API keys by name."""
    (earlier.key,) = earlier.manage(PEOPLE)
    earlier.api(
        "datasets/",
        {"name": "models", "team": "vision", "kind": "local", "options": {"path": str(earlier.root / "datasets")}},
        "POST",
    )
    earlier.api("datasets/models/trust/", {"trusted": True}, "POST")
    earlier.manage(BUCKET)
    earlier.api("queues/", {"name": "small", "description": "For trying", "cpu": 2, "memory_gib": 2}, "POST")
    create_echo(earlier)
    body = {"name": "archive", "team": "default", "framework": "triton", "dataset": "models", "model_path": "echo"}
    earlier.api("services/", {**body, "dataset": "models", "team": "vision", "auth": {"policy": "public"}}, "POST")
    earlier.wait_ready("archive", 1)
    earlier.api("services/archive/stop/", {}, "POST")
    earlier.wait("services/archive/", lambda service: service["state"] == "STOPPED")
    shop, revoked, rotated = earlier.manage(SHOP)
    for number in range(CALLS):
        earlier.infer("echo", shop, [float(number)])
    for _ in range(REFUSED):
        try:
            earlier.infer("archive", shop, [1.0])
        except urllib.error.HTTPError as error:
            assert error.code == 503
    for name, count in (("echo", CALLS), ("archive", REFUSED)):
        earlier.wait(f"usage/?service={name}", partial(is_counted, count))
    return {"first run": earlier.key, "shop front": shop, "revoked": revoked, "rotated": rotated}


def is_counted(count: int, usage: Any) -> bool:
    return sum(int(row["used"]["requests"]) for row in usage["results"]) == count


def create_echo(earlier: Earlier) -> None:
    """Three revisions, each READY before the next one."""
    earlier.api(
        "services/",
        {
            "name": "echo",
            "team": "vision",
            "framework": "triton",
            "dataset": "models",
            "model_path": "echo",
            "queue": "small",
            "resources": {"cpu": 0.5, "memory_gib": 0.5},
            "env": {"GREETING": "hello", "TMP": "/var/tmp"},
        },
        "POST",
    )
    earlier.wait_ready("echo", 1)
    limits = {"max_payload_mib": 4, "timeout_seconds": 60, "concurrency": 8, "stall_seconds": 30}
    auth = {"policy": "api_key", "header": "X-Shop-Key", "parameters": [{"name": "X-Tenant", "value": "shop"}]}
    earlier.api("services/echo/", {"limits": limits, "auth": auth}, "PATCH")
    earlier.wait_ready("echo", 2)
    rules = [{"weight": 10, "key": "zone", "operator": "In", "values": ["a", "b"]}]
    changes = {"framework_config": {"instances": 2}, "affinity": {"preferred": rules}}
    earlier.api("services/echo/", changes, "PATCH")
    earlier.wait_ready("echo", 3)


def strip_oldest(database: sqlite3.Connection) -> None:
    """The first revision of echo as releases stored it that knew no limits and no headers."""
    rows = database.execute(
        "SELECT r.id, r.spec FROM services_revision r JOIN services_service s ON s.id = r.service_id "
        "WHERE s.name = 'echo' AND r.number = 1"
    ).fetchall()
    for pk, text in rows:
        spec = json.loads(text)
        del spec["limits"], spec["affinity"], spec["auth"]["header"], spec["auth"]["parameters"]
        database.execute("UPDATE services_revision SET spec = ? WHERE id = ?", [json.dumps(spec), pk])
    database.commit()


def keep(root: Path, keys: dict[str, str]) -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    with sqlite3.connect(root / "console.sqlite3") as database:
        strip_oldest(database)
        dump = "\n".join(database.iterdump()) + "\n"
    (HOME / DUMP).write_text(dump.replace(str(root), PLACE))
    (HOME / KEYS).write_text(json.dumps(keys, indent=2) + "\n")
    # Trees hold the same contents as blobs.
    shutil.copytree(root / "store", HOME / "store", ignore=shutil.ignore_patterns("trees", "lock"))


def main() -> None:
    clone = Path(sys.argv[1]).resolve()
    root = Path(tempfile.mkdtemp(prefix="earlier-"))
    (root / "secret_key").write_text(SESSION_KEY)
    (root / "secrets_key").write_text(CREDENTIALS_KEY)
    sample, model = clone / "datasets" / "samples" / "models" / "echo", root / "datasets" / "echo"
    (model / "1").mkdir(parents=True)
    shutil.copy(sample / "config.pbtxt", model)
    shutil.copy(sample / "model.py", model / "1")
    earlier = Earlier(clone, root)
    process = earlier.start()
    try:
        keys = use(earlier)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    keep(root, keys)
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
