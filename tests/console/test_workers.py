"""What each worker does: whatever may take long is kept away from the control loop. And what none of them loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from console.celery import app
from console.home import Home
from console.stack.programs import Doors, control_plane


def queue_of(task: str) -> str:
    return str(app.amqp.router.route({}, task)["queue"].name)


def test_tasks_of_datasets_have_a_worker_of_their_own(tmp_path: Path) -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if name.split(".")[0] in {"datasets", "services"}}
    queues = {name: queue_of(name) for name in ours}
    assert {queue for name, queue in queues.items() if name.startswith("datasets.")} == {"preheat"}
    assert {queue for name, queue in queues.items() if name.startswith("services.")} == {"default"}
    programs = control_plane(Home(tmp_path, tmp_path), Doors("127.0.0.1", 1, 2), "redis-server")
    served = [program.argv[program.argv.index("-Q") + 1] for program in programs if "-Q" in program.argv]
    assert sorted(served) == ["default", "preheat"], "each queue has one worker, and no worker both"


def test_what_reads_for_hours_is_not_delivered_again_meanwhile() -> None:
    app.loader.import_default_modules()
    for name in ("datasets.run_round", "datasets.reverify", "datasets.verify_asked"):
        assert app.tasks[name].acks_late is False


def test_every_task_of_the_schedule_exists() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


BEAT = """
import sys
from console.beat import app
schedule = app.conf.beat_schedule.values()
assert schedule
for entry in schedule:
    print(entry["task"], app.amqp.router.route({}, entry["task"])["queue"].name)
assert not {"django.apps", "django.db", "services", "numpy"} & set(sys.modules)
"""
WORKER = """
import sys
from console.celery import app
app.loader.import_default_modules()
assert "services.reconcile" in app.tasks
assert not {"console.urls", "services.views", "services.api", "drf_spectacular.views"} & set(sys.modules)
"""


def load(script: str, **env: str) -> str:
    """In a process of its own: this one has loaded everything."""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, timeout=60, stdout=-1, text=True, env={**os.environ, **env}).stdout


def test_beat_sends_each_task_to_its_queue_without_loading_the_code_of_any() -> None:
    sent = dict(line.split() for line in load(BEAT).splitlines())
    assert sent == {entry["task"]: queue_of(entry["task"]) for entry in app.conf.beat_schedule.values()}


def test_a_worker_loads_neither_pages_nor_the_rest_api(tmp_path: Path) -> None:
    programs = control_plane(Home(tmp_path, tmp_path), Doors("127.0.0.1", 1, 2), "redis-server")
    skip = {program.env.get("CELERY_SKIP_CHECKS", "") for program in programs if "-Q" in program.argv}
    load(WORKER, CELERY_SKIP_CHECKS=skip.pop())
    assert not skip, "both workers alike"
