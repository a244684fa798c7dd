"""What a plain copy with the SHA-256 of every byte takes on this machine: one process for each core, nothing else.

    python -m bench.movers.bare_mover <folder> <target>

No journal, no resuming, no store, no look whether a file has changed. A single file is summed by one process while
another copies it: the SHA-256 of one file cannot be shared. Written through the page cache, as `cp` does.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from multiprocessing.synchronize import Event
from pathlib import Path

STEP = 1 << 20
"""Bytes read, summed and written at a time: few enough to stay in a core's cache meanwhile."""
Share = list[tuple[str, str]]
"""(file, its copy); no copy is made where that is ""."""


def main(folder: Path, target: Path) -> None:
    files = [(str(path), str(target / path.relative_to(folder))) for path in folder.rglob("*") if path.is_file()]
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("fork")
    gate = context.Event()
    if len(files) == 1:
        workers = [
            context.Process(target=plainly, args=(files, gate)),
            context.Process(target=summed, args=([(files[0][0], "")], gate)),
        ]
    else:
        workers = [context.Process(target=summed, args=(files[number::cores], gate)) for number in range(cores)]
    for worker in workers:
        worker.start()
    print("ready", flush=True)
    for place in {os.path.dirname(copy) for _, copy in files}:  # noqa: PTH120 - strings all along
        os.makedirs(place, exist_ok=True)  # noqa: PTH103
    gate.set()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit(f"A process ended with {worker.exitcode}.")
    print("{}", flush=True)


def summed(share: Share, gate: Event) -> None:
    gate.wait()
    buffer = memoryview(bytearray(STEP))
    for name, copy in share:
        sha256 = hashlib.sha256()
        source = os.open(name, os.O_RDONLY)
        to = os.open(copy, os.O_WRONLY | os.O_CREAT, 0o444) if copy else -1
        while count := os.readv(source, [buffer]):
            sha256.update(buffer[:count])
            if copy:
                os.write(to, buffer[:count])
        sha256.hexdigest()
        os.close(source)
        if copy:
            os.close(to)


def plainly(share: Share, gate: Event) -> None:
    """As `cp` does it."""
    gate.wait()
    for name, copy in share:
        source, to = os.open(name, os.O_RDONLY), os.open(copy, os.O_WRONLY | os.O_CREAT, 0o444)
        while os.copy_file_range(source, to, 1 << 30):
            pass
        os.close(source)
        os.close(to)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
