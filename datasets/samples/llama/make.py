"""Keeps tiny-llama: `python -P datasets/samples/llama/make.py <vllm runtime> [<sample dataset>]`.

Trained once for each content of this folder, with the runtime's libraries, into `<runtime>/samples`: homes and tests
share it. Then put into the sample dataset, if that is there; `make run` does the same with what is trained already, so
it never waits for a training. Standard library only, for it also runs as a script of any Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

NAME: Final = "tiny-llama"
HERE: Final = Path(__file__).resolve().parent
STAMP: Final = ".generated"
LIBRARIES: Final = ("torch", "transformers", "tokenizers")
PATIENCE: Final = 1200
"""Seconds for a training that takes one minute on a machine that does nothing else."""
README: Final = """---
tags: [sample]
---
tiny-llama: a Llama of 1.7 million parameters that knows by heart what datasets/samples/llama/questions.txt asks, with
the LoRA adapter `adapters/pirate`. Trained on this machine, for trying things out: chat, completion, embedding.
"""


def trained(runtime: Path) -> Path:
    """Where the model lies once it is trained; a new place when anything that it is made from changes."""
    return runtime / "samples" / f"{NAME}-{fingerprint(runtime)[:16]}"


def fingerprint(runtime: Path) -> str:
    digest = hashlib.sha256()
    for name in ("questions.txt", "train.py"):
        digest.update((HERE / name).read_bytes() + b"\0")
    for library in LIBRARIES:
        distributions = sorted(path.name for path in runtime.glob(f"lib/python3.*/site-packages/{library}-*.dist-info"))
        digest.update(" ".join(distributions).encode() + b"\0")
    return digest.hexdigest()


def train(runtime: Path) -> bool:
    """False when it was trained already. Raises OSError and subprocess errors."""
    target = trained(runtime)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return False
        fresh = Path(tempfile.mkdtemp(prefix=".fresh-", dir=target.parent))
        try:
            environment = {"PATH": "/usr/bin:/bin", "HOME": str(fresh.parent), "OMP_NUM_THREADS": "1"}
            subprocess.run(
                [str(runtime / "bin" / "python"), "-P", str(HERE / "train.py"), str(fresh)],
                check=True,
                cwd="/",
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                preexec_fn=gently,
            )
            (fresh / "README.md").write_text(README, encoding="utf-8")
            (fresh / STAMP).write_text(fingerprint(runtime) + "\n", encoding="ascii")
            open_up(fresh)
            for old in target.parent.glob(f"{NAME}-*"):
                shutil.rmtree(old, ignore_errors=True)
            fresh.replace(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return True


def gently() -> None:
    os.nice(10)


def open_up(folder: Path) -> None:
    """A dataset is read by others; mkdtemp and safetensors make things private."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def publish(runtime: Path, samples: Path) -> bool:
    """Put the trained model into the sample dataset; False when there is nothing to do. Raises OSError."""
    source, target = trained(runtime), samples / NAME
    if not source.is_dir() or not (samples / STAMP).is_file() or stamp(target) == stamp(source):
        return False
    fresh = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=samples.parent))
    try:
        # Not with the modes of the runtime, which anybody may read: the umask decides, as for all files of the home.
        shutil.copytree(source, fresh, copy_function=shutil.copyfile, dirs_exist_ok=True)
        if target.exists():
            target.replace(fresh.with_name(fresh.name + "-old"))
        fresh.replace(target)
    finally:
        for left in (fresh, fresh.with_name(fresh.name + "-old")):
            shutil.rmtree(left, ignore_errors=True)
    return True


def stamp(folder: Path) -> str:
    try:
        return (folder / STAMP).read_text(encoding="ascii")
    except OSError:
        return ""


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python make.py <vllm runtime> [<sample dataset>]\n")
        return 2
    runtime = Path(arguments[0]).absolute()
    try:
        if not trained(runtime).is_dir():
            sys.stdout.write("Training the sample model tiny-llama (once; about a minute)\n")
            sys.stdout.flush()
        train(runtime)
        if len(arguments) == 2:
            publish(runtime, Path(arguments[1]).absolute())
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        sys.stderr.write(f"error: tiny-llama could not be trained: {last}\n")
        return 1
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"error: tiny-llama could not be made: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
