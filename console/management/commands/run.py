"""`python manage.py run`: the whole product on this machine, until Ctrl-C. `make run` makes the environments first."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, call_command

from console import env
from console.errors import ConsoleError
from console.first_run import setup
from console.home import Home
from console.stack import binaries, gateway, lock, programs, runner, supervisord
from datasets.sources.nfs import mounts
from services.actions import places
from services.control import publishing
from services.control.replicas import life as replicas
from services.engines.local import launch


class Command(BaseCommand):
    help = "Start the console, the gateway and all that they need, and keep them running until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--exit-when-ready", action="store_true", help="end once the example service has answered")
        parser.add_argument("--without-example", action="store_true", help="start the programs and make nothing")

    def handle(self, *_args: Any, **options: Any) -> None:
        self._began = time.monotonic()
        os.umask(0o077)  # the database holds password hashes, and logs are nobody else's business
        home: Home = settings.HOME
        status = 0
        patient = not options["exit_when_ready"]
        try:
            runner.retry(lambda: lock.make(home), self.announce, patient=patient)
            with lock.held(home), runner.signals_stop():
                status = self._run(home, options)
        except ConsoleError as error:
            self.stderr.write(self.style.ERROR(str(error)))
            status = 1
        except runner.Stop:
            pass
        sys.exit(status)

    def _run(self, home: Home, options: Mapping[str, Any]) -> int:
        doors = programs.Doors(settings.CONSOLE_BIND, settings.CONSOLE_PORT, settings.GATEWAY_PORT)
        for sentence in env.unknown(os.environ, env.names_read):
            self.announce(f"Warning: {sentence}")
        lock.wait_for_earlier(home, self.announce)
        lock.check_ports(doors)
        patient = not options["exit_when_ready"]
        stack = runner.retry(lambda: self._prepare(home, doors), self.announce, patient=patient)

        def first_run(announce: runner.Announce) -> Mapping[str, str]:
            return {} if options["without_example"] else setup.ensure(home, announce)

        running = runner.Runner(home, doors, stack, self.announce)
        try:
            return running.run(first_run, self.tell, exit_when_ready=options["exit_when_ready"])
        finally:
            mounts.release(home.mounts, 0)

    def _prepare(self, home: Home, doors: programs.Doors) -> list[programs.StackProgram]:
        """All that has to be there before the first program starts. Each step may be repeated."""
        control_plane = programs.control_plane(home, doors, binaries.redis_server())
        publishing.prepare()
        stack = [*control_plane, gateway.program(home, workers=settings.GATEWAY_WORKERS or None)]
        launch.drop_outdated(home.programs)
        supervisord.write(home, stack)
        places.note_sweep()  # the first one is due only once the worker runs
        self.announce("Bringing the database up to date")
        call_command("migrate", verbosity=0, interactive=False)
        replicas.forget_processes()
        return stack

    def announce(self, text: str) -> None:
        self._print(f"[{time.monotonic() - self._began:6.1f} s] {text}")

    def tell(self, summary: Mapping[str, str]) -> None:
        self.announce("Everything is up; Ctrl-C ends it")
        width = max((len(label) for label in summary), default=0)
        lines = [f"  {label:<{width}}  {text}" for label, text in summary.items()]
        self._print("\n".join(["", *lines, ""] if lines else []))

    def _print(self, text: str) -> None:
        """The output may be a file on a full disk, or a pipe that nobody reads: no reason to end."""
        with suppress(OSError):
            self.stdout.write(text)
            self.stdout.flush()
