"""`make bench-preheat`: how fast model files come to this disk, beside the programs that people use for it.

One run, one real S3 server (SeaweedFS) on this machine, the same files for everybody, taking turns. Every round begins
with an empty target. A program's time ends when it ends; the console's when its tree is published, each byte digested.
Then the file system is flushed, and that time is told apart. For local files: `cp -r --reflink=auto`.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bench import machine
from bench.report import into_page
from console import home
from console.home import CHECKOUT
from datasets.preheat.disk import flush
from tests.servers import s3

RESULTS = CHECKOUT / "bench" / "results"
DOCS = CHECKOUT / "docs" / "performance.md"
MARKS = ("<!-- bench-preheat -->", "<!-- /bench-preheat -->")
MIB = 1 << 20
ROUNDS = 5
BARE = "SHA-256, bare"
"""No program that anybody uses: a copy with the digest of every byte and nothing else. See movers/bare_mover.py."""
MANY = 1000
"""From so many files on what a program brought stays until the end of all: ext4 without a journal looks for minutes at
every inode that was freed before it gives out a new one, which would cost the next program more than its own work."""


@dataclass(frozen=True)
class Case:
    """`count` files of `size` bytes, `folders` of them side by side."""

    name: str
    count: int
    size: int

    def paths(self) -> Iterator[str]:
        for number in range(self.count):
            yield f"{number // 500:03}/{number:05}.bin"


CASES = (
    Case("one file of 4 GiB", 1, 4096 * MIB),
    Case("64 files of 64 MiB", 64, 64 * MIB),
    Case("20,000 files of 16 KiB", 20_000, 16 * 1024),
)
SMALL = (
    Case("one file of 256 MiB", 1, 256 * MIB),
    Case("8 files of 32 MiB", 8, 32 * MIB),
    Case("1,000 files of 16 KiB", 1000, 16 * 1024),
)


@dataclass(frozen=True)
class Taken:
    """`seconds` until the program ended, or had published; `flush` until it was on the disk after that."""

    seconds: float
    flush: float
    cpu: float
    memory_mib: float
    printed: dict[str, Any]


@dataclass(frozen=True)
class Mover:
    """A program: given a target folder, its command, environment and standard input."""

    name: str
    command: Callable[[Path], list[str]]
    environment: dict[str, str]
    stdin: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure preheating beside aws s3 cp, rclone, boto3 and cp.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--small", action="store_true", help="a sixteenth of the files, to see that it works")
    parser.add_argument("--only", choices=("s3", "local"))
    parser.add_argument("--work", type=Path, help="a folder with room for 14 GiB; default: a temporary one")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-preheat-", dir=options.work) as folder:
        work = Path(folder)
        for case in SMALL if options.small else CASES:
            if options.only != "local":
                with in_bucket(case) as bucket:
                    rows.append(measure(case, "S3", s3_movers(bucket), work, options.rounds))
            if options.only != "s3":
                files = on_disk(case, work / "source")
                rows.append(measure(case, "local", local_movers(files), work, options.rounds))
                shutil.rmtree(files)
    result = {
        "date": date.today().isoformat(),
        "machine": machine.facts(home.from_environment().runtimes / "triton"),
        "versions": versions(),
        "rows": rows,
    }
    text = report(result)
    print(text)
    if not options.small:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"preheat-{result['date']}.json").write_text(json.dumps(result, indent=1) + "\n")
    if options.docs:
        write_docs(text)


def fill(target: Path, size: int) -> Path:
    """A file of bytes that neither compress nor repeat."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        for left in range(size, 0, -4 * MIB):
            stream.write(os.urandom(min(left, 4 * MIB)))
    return target


def on_disk(case: Case, folder: Path) -> Path:
    for path in case.paths():
        fill(folder / path, case.size)
    flush(folder)
    return folder


@contextmanager
def in_bucket(case: Case) -> Iterator[s3.Bucket]:
    """The files in a bucket of a server that starts for them: by boto3's own upload, so large ones have parts."""
    with s3.start_s3() as server, tempfile.TemporaryDirectory() as folder:
        bucket = server.bucket()
        for path in case.paths():
            if case.size > 8 * MIB:
                bucket.client.upload_file(str(fill(Path(folder) / "file", case.size)), bucket.name, path)
            else:
                bucket.put(path, os.urandom(case.size))
        yield bucket


def s3_movers(bucket: s3.Bucket) -> list[Mover]:
    key, secret = bucket.server.everything
    environment = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": bucket.server.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    config = json.dumps(
        {
            "options": bucket.options,
            "roots": [],
            "endpoints": [f"127.0.0.1:{bucket.server.port}"],
        }
    )
    movers = [Mover("console", console("s3"), {}, config)]
    python = home.from_environment().runtimes / "bench-preheat" / "bin" / "python"
    if python.exists():
        aws = python.with_name("aws")
        script = str(CHECKOUT / "bench" / "movers" / "boto_mover.py")
        movers += [
            Mover(
                "aws s3 cp",
                lambda to: [
                    str(aws),
                    "s3",
                    "cp",
                    "--recursive",
                    "--only-show-errors",
                    f"s3://{bucket.name}/",
                    str(to),
                ],
                environment,
            ),
            Mover("boto3", lambda to: [str(python), "-P", script, bucket.name, str(to)], environment),
        ]
    if (rclone := shutil.which("rclone")) is not None:
        remote = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_S_TYPE": "s3",
            "RCLONE_CONFIG_S_PROVIDER": "Other",
            "RCLONE_CONFIG_S_ENV_AUTH": "true",
            "RCLONE_CONFIG_S_ENDPOINT": bucket.server.endpoint,
        }
        movers.append(
            Mover(
                "rclone copy",
                lambda to: [rclone, "copy", f"s:{bucket.name}", str(to)],
                environment | remote,
            )
        )
    return movers


def local_movers(files: Path) -> list[Mover]:
    config = json.dumps({"options": {"path": str(files)}, "roots": [str(files)], "endpoints": []})
    return [
        Mover("console", console("local"), {}, config),
        Mover("cp -r", lambda to: ["cp", "-r", "--reflink=auto", f"{files}/.", str(to)], {}),
        Mover(BARE, lambda to: [sys.executable, "-m", "bench.movers.bare_mover", str(files), str(to)], {}),
    ]


def console(kind: str) -> Callable[[Path], list[str]]:
    return lambda to: [sys.executable, "-m", "bench.movers.console_mover", kind, str(to), "again"]


def measure(case: Case, kind: str, movers: list[Mover], work: Path, rounds: int) -> dict[str, Any]:
    taken: dict[str, list[Taken]] = {mover.name: [] for mover in movers}
    for number in range(rounds):
        turn = movers[number % len(movers) :] + movers[: number % len(movers)]
        for mover in turn:
            if hopeless(taken[mover.name], taken["console"]):
                continue
            one = run(mover, work / f"to-{secrets.token_hex(4)}", case)
            taken[mover.name].append(one)
            print(
                f"{kind} {case.name} {number + 1}/{rounds} {mover.name}: {one.seconds:.2f} s, then {one.flush:.2f} s "
                f"to the disk, CPU {one.cpu:.1f} s, {one.memory_mib:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    return {
        "case": case.name,
        "kind": kind,
        "bytes": case.count * case.size,
        "movers": {name: [vars(one) for one in rows] for name, rows in taken.items()},
    }


def hopeless(taken: list[Taken], ours: list[Taken]) -> bool:
    """Never less than twice the console's time, in two rounds or more: more of them would say nothing new."""
    return len(taken) >= 2 and min(one.seconds for one in taken) > 2 * max(one.seconds for one in ours)


def run(mover: Mover, target: Path, case: Case) -> Taken:
    """One turn of one program, checked by count and size of what it brought, and removed again."""
    target.mkdir()
    flush(target)
    environment = {"PATH": os.environ["PATH"], "HOME": str(target.parent), **mover.environment}
    began = time.monotonic()
    process = subprocess.Popen(
        mover.command(target), cwd=CHECKOUT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(mover.stdin)
    process.stdin.close()
    line = process.stdout.readline()
    if line == "ready\n":  # the console's worker is a process that runs already: its start does not count
        began = time.monotonic()
        line = process.stdout.readline()
    ended = time.monotonic()
    process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not line:
        ended = time.monotonic()
    if process.returncode:
        raise SystemExit(f"{mover.name} ended with {process.returncode}.")
    flush(target)
    flushed = time.monotonic()
    check(mover, target, case)
    if case.count < MANY:
        remove(target)
    output = json.loads(line) if line.startswith("{") else {}
    again = float(output.get("again", 0.0))
    return Taken(ended - began - again, flushed - ended, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output)


def check(mover: Mover, target: Path, case: Case) -> None:
    root = next((target / "trees").iterdir()) if mover.name == "console" else target
    sizes = [path.stat().st_size for path in root.rglob("*") if path.is_file()]
    if (len(sizes), set(sizes)) != (case.count, {case.size}):
        raise SystemExit(f"{mover.name} brought {len(sizes)} files of {sorted(set(sizes))[:5]} bytes.")


def remove(target: Path) -> None:
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)
    shutil.rmtree(target)


def versions() -> dict[str, str]:
    """What was measured, in its own words."""
    commands = {
        "aws": [str(home.from_environment().runtimes / "bench-preheat" / "bin" / "aws"), "--version"],
        "rclone": ["rclone", "version"],
        "cp": ["cp", "--version"],
        "weed": [str(Path(sys.executable).with_name("weed")), "version"],
    }
    tool_versions = {}
    for name, command in commands.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            tool_versions[name] = (done.stdout or done.stderr).splitlines()[0].strip()
        except (OSError, IndexError):
            tool_versions[name] = "not installed"
    return tool_versions


def report(result: dict[str, Any]) -> str:
    """The tables of docs/performance.md."""
    facts, versions_ = result["machine"], result["versions"]
    taken_on = (
        f"Taken {result['date']} on {facts['processor']}, {facts['cpus']} CPUs, {facts['memory_gib']} GiB, "
        f"{facts['system']}, Linux {facts['kernel']}, Python {facts['python']}; {', '.join(versions_.values())}; "
        f"load before: {'/'.join(f'{load:.2f}' for load in facts['load_before'])}."
    )
    lines = [
        taken_on,
        "",
        "| from | files | with | rounds | seconds: median (range) | of ours | MiB/s | to the disk, s | CPU s | MiB |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    verdicts = []
    for row in result["rows"]:
        ours = row["movers"]["console"]
        for name, taken in row["movers"].items():
            seconds = [one["seconds"] for one in taken]
            middle = statistics.median(seconds)
            pairs = zip(taken, ours, strict=False)
            ratio = statistics.median(one["seconds"] / our["seconds"] for one, our in pairs)
            between = f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
            lines.append(
                f"| {row['kind']} | {row['case']} | {name} | {len(taken)} | {between} | "
                f"{ratio:.2f} | {row['bytes'] / MIB / middle:,.0f} | {_median(taken, 'flush'):.2f} | "
                f"{_median(taken, 'cpu'):.1f} | {max(one['memory_mib'] for one in taken):.0f} |"
            )
        verdicts.append(_verdict(row))
    return "\n".join([*lines, "", *verdicts])


def _verdict(row: dict[str, Any]) -> str:
    middles = {name: _median(taken, "seconds") for name, taken in row["movers"].items()}
    ours, plain = middles.pop("console"), middles.pop(BARE, None)
    again = statistics.median(one["printed"]["again"] for one in row["movers"]["console"])
    memory = max(one["memory_mib"] for one in row["movers"]["console"])
    if not middles:
        return f"- {row['kind']}, {row['case']}: nothing to compare with is installed."
    best = min(middles, key=lambda name: middles[name])
    word = "as wanted" if ours <= middles[best] else "TOO SLOW"
    small = "as wanted" if memory <= 300 else "TOO MUCH"
    soon = "as wanted" if again < 1 else "TOO SLOW"
    bare = f", where a bare copy with SHA-256 takes {plain / middles[best]:.2f} of it" if plain else ""
    return (
        f"- {row['kind']}, {row['case']}: {ours / middles[best]:.2f} of the time of {best}, the fastest beside it "
        f"({word}; wanted at most 1){bare}, at most {memory:.0f} MiB ({small}; wanted 300); a second round of the same "
        f"files is over after {again:.2f} s ({soon}; wanted 1)."
    )


def _median(taken: list[dict[str, Any]], what: str) -> float:
    return float(statistics.median(one[what] for one in taken))


def write_docs(text: str) -> None:
    DOCS.write_text(into_page(DOCS.read_text(encoding="utf-8"), [text], MARKS), encoding="utf-8")


if __name__ == "__main__":
    main()
