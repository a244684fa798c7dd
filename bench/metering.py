"""How fast the console counts the gateway's log: `python -m bench.metering`, with a database of its own.

SQLite in a temporary home, or the PostgreSQL of DATABASE_URL, whose tables it fills: give it an empty database.
Nothing is measured here of the gateway, which only writes the lines.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path

LINES = 200_000
CASES = ((20, 5), (1000, 100), (10_000, 2000))
"""Keys, services; each key calls one service."""
BEGAN = 1_790_000_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lines", type=int, default=LINES)
    arguments = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="ic-"))
    os.environ.update(CONSOLE_HOME=str(home), DJANGO_SETTINGS_MODULE="console.settings")
    try:
        _measure(home, arguments.lines)
    finally:
        shutil.rmtree(home)


def _measure(home: Path, lines: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from services.gateway.envoy import names
    from services.usage import metering

    call_command("migrate", verbosity=0)
    for keys, services in CASES:
        folder = home / f"{keys}"
        log = folder / names.ACCESS_LOG
        log.parent.mkdir(parents=True)
        size = _write(log, lines, keys, services)
        began, used = time.perf_counter(), time.process_time()
        counted = metering.catch_up(folder, seconds=600)
        took, cpu = time.perf_counter() - began, time.process_time() - used
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        sys.stdout.write(
            f"{connection.vendor}, {keys} keys on {services} services: {counted} lines of {size // lines} bytes in "
            f"{took:.1f} s, {counted / took:,.0f} a second, {cpu / counted * 1e6:.0f} us CPU a line, "
            f"at most {memory} MiB\n"
        )
        sys.stdout.flush()


def _write(path: Path, lines: int, keys: int, services: int) -> int:
    """Lines as of 4,000 requests a second. The bytes of the file."""
    chance = random.Random(1)
    with path.open("w") as log:
        for number in range(lines):
            key = chance.randrange(keys)
            at = BEGAN + number / 4000
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{number % 1000:03}Z"
            service = f"service-{key % services}"
            log.write(
                json.dumps(
                    {
                        "bytes_in": 316,
                        "bytes_out": 174,
                        "client": f"key{key:09}",
                        "details": "via_upstream",
                        "door": "v2-rest",
                        "flags": "-",
                        "grpc_status": None,
                        "method": "POST",
                        "ms": chance.randrange(60),
                        "path": f"/v2/models/{service}/infer",
                        "protocol": "HTTP/1.1",
                        "prompt_tokens": None,
                        "completion_tokens": None,
                        "remote": "127.0.0.1",
                        "request_id": str(uuid.UUID(int=number)),
                        "service": service,
                        "status": 200,
                        "time": stamp,
                        "upstream": "/srv/console/run/s/b4d7x2qa/http.sock",
                        "upstream_ms": 3,
                    },
                    separators=(",", ":"),
                )
                + "\n"
            )
    return path.stat().st_size


if __name__ == "__main__":
    main()
