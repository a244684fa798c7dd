"""Counts a log in processes that are killed. Run as a program with a home of its own: prints what came out as JSON.

`lines`: a process is killed with SIGKILL before each line of our code, one after the other, that a count runs through.
`race`: several processes count at once, and are killed at random, while another writes and rotates the log.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import django

from services.gateway.envoy import names

TRACED = ("metering.py", "metering_rows.py")


def die_before(number: int) -> None:
    """Kill this process when it comes to the `number`th line of the code that counts."""
    left = number

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        if event == "line" and frame.f_code.co_filename.endswith(TRACED):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def child(work: Any, *args: Any) -> int:
    """Fork; the child does the work and ends. Its pid."""
    from django.db import connections

    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    try:
        work(*args)
    finally:
        sys.settrace(None)
        os._exit(0 if sys.exc_info()[0] is None else 3)


def lines(log: Path) -> dict[str, Any]:
    """Each round adds a line, and dies one line of code later; the next begins where the last one left off."""
    from services.usage import metering

    def count(number: int) -> None:
        die_before(number)
        metering.catch_up(log.parents[1])

    deaths, wrong = 0, []
    for number in range(1, 5000):
        append(log, 1, client=f"key-{number % 3}")
        status = os.waitstatus_to_exitcode(os.waitpid(child(count, number), 0)[1])
        totals = sums()
        if len(set(totals)) != 1 or totals[0] > number:
            wrong.append([number, totals])
        if status != -signal.SIGKILL:
            break
        deaths += 1
    metering.catch_up(log.parents[1])
    return {"deaths": deaths, "last": status, "wrong": wrong, "written": number, "counted": sums()}


def race(log: Path) -> dict[str, Any]:
    """Four that count, killed and started again at random for a while; the last of them are let run to the end."""
    from services.clients.envoy_admin import EnvoyAdmin
    from services.usage import access_log, metering

    EnvoyAdmin.reopen_logs = lambda self: None  # type: ignore[method-assign]  # the writer below opens it anew itself

    def count() -> None:
        while True:
            metering.catch_up(log.parents[1])
            time.sleep(0.005)

    chance = random.Random(20)
    metering.CHUNK = 20_000  # type: ignore[misc]
    counting = [child(count) for _ in range(4)]
    written, kills, rotations, ends = 0, 0, 0, time.monotonic() + 6
    while time.monotonic() < ends:
        written += append(log, chance.randrange(1, 40), torn=chance.random() < 0.2)
        rotations += access_log.rotate(log.parents[1], limit=200_000, kept=1)
        if chance.random() < 0.1:
            place = chance.randrange(len(counting))
            os.kill(counting[place], signal.SIGKILL)
            os.waitpid(counting[place], 0)
            counting[place] = child(count)
            kills += 1
        time.sleep(chance.random() / 100)
    for pid in counting:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    last = [child(metering.catch_up, log.parents[1]) for _ in range(2)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in last]
    access_log.rotate(log.parents[1], limit=1 << 40, kept=1)
    left = len(metering.log_files(log.parents[1]))
    return {"written": written, "kills": kills, "rotations": rotations, "codes": codes, "counted": sums(), "left": left}


def append(log: Path, count: int, *, torn: bool = False, **more: Any) -> int:
    from tests.services.usage_log import line

    text = b"".join(line(**more) for _ in range(count))
    with log.open("ab") as file:
        file.write(line()[:77] + text if torn else text)
    return count


def sums() -> list[int]:
    """Requests by each span, and by the positions of the files."""
    from django.db.models import Sum

    from services.models import LogPosition, Usage
    from services.models.usage import SPANS

    of = [Usage.objects.filter(span=span).aggregate(found=Sum("requests"))["found"] or 0 for span in SPANS]
    return [*of, LogPosition.objects.aggregate(found=Sum("lines"))["found"] or 0]


def main(what: str) -> None:
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    log = settings.HOME.gateway / names.ACCESS_LOG
    log.parent.mkdir(parents=True)
    sys.stdout.write(json.dumps({"lines": lines, "race": race}[what](log)))


if __name__ == "__main__":
    main(sys.argv[1])
