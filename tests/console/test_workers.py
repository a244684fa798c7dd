"""What each worker does: whatever may take long is kept away from the control loop."""

from __future__ import annotations

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
