"""The Triton runtime environment: what is where in it, whether it is complete, and how its backends are prepared.

Standard library only, and imports nothing of ours, because it also runs as a script right after pip has filled the
environment: `python -P services/frameworks/triton/runtime.py <runtime>`. Starting models is in launch.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BACKENDS = Path(__file__).resolve().parent / "backends"
"""Backends of our own, copied beside the wheel's Python backend; and utils.py, which is added to that one."""
STAMP = ".prepared"
ISOLATED, REGULAR = b"PyConfig_InitIsolatedConfig", b"PyConfig_InitPythonConfig"
"""Two functions of libpython: a program that embeds Python calls one of them first, with the same argument."""
ASK = """import json, sys, sysconfig
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "libdir": sysconfig.get_config_var("LIBDIR") or "",
                  "multiarch": sysconfig.get_config_var("MULTIARCH") or "", "base": sys.base_prefix}))"""


class RuntimeProblem(Exception):
    """The runtime cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Runtime:
    """Absolute paths inside a runtime environment. Nothing here says that they exist."""

    root: Path
    site: Path

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @property
    def server(self) -> Path:
        return self.site / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def libraries(self) -> Path:
        return self.site / "nvidia_pytriton.libs"

    @property
    def backends(self) -> Path:
        return self.root / "backends"

    @property
    def library_path(self) -> str:
        """LD_LIBRARY_PATH of server and stub. `backends/python` may hold a link to libpython."""
        return f"{self.libraries}:{self.backends / 'python'}"

    @property
    def stub(self) -> Path:
        return self.backends / "python" / "triton_python_backend_stub"


def locate(root: Path) -> Runtime:
    """Where things are in the environment at `root`, made by venv for one Python version."""
    sites = sorted((root / "lib").glob("python3.*/site-packages"))
    return Runtime(root=root, site=sites[-1] if sites else root / "lib" / "python3" / "site-packages")


def problem(root: Path) -> str:
    """Why the runtime at `root` cannot start a model, or "". Looks at files only."""
    runtime = locate(root)
    if not runtime.server.is_file():
        return "The Triton runtime is not installed; run `make runtime-triton`."
    if not runtime.stub.is_file() or not (runtime.backends / STAMP).is_file():
        return "The Triton runtime is not complete; run `make runtime-triton`."
    return ""


def prepare(root: Path) -> bool:
    """Make `<root>/backends` from the wheel and from our backends; False when it is up to date already.

    Raises RuntimeProblem when the wheel is missing or its programs cannot run on this machine.
    """
    runtime = locate(root)
    if not runtime.server.is_file():
        raise RuntimeProblem(f"{root} holds no tritonserver: install requirements/runtime-triton.txt into it first.")
    with (root / ".backends.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two checkouts, or two test processes, may share a runtime
        return prepare_alone(runtime)


def prepare_alone(runtime: Runtime) -> bool:
    process = subprocess.run([runtime.python, "-I", "-c", ASK], capture_output=True, text=True, timeout=60, check=True)
    interpreter: dict[str, str] = json.loads(process.stdout)
    stamp = fingerprint(runtime, interpreter)
    if (runtime.backends / STAMP).is_file() and (runtime.backends / STAMP).read_text(encoding="utf-8") == stamp:
        return False
    fresh = Path(tempfile.mkdtemp(prefix=".backends-", dir=runtime.root))
    try:
        copy_backends(runtime, interpreter, fresh)
        check_runs(runtime, fresh)
        (fresh / STAMP).write_text(stamp, encoding="utf-8")
        fresh.chmod(0o755)
        old = fresh.with_name(fresh.name + "-old")
        if runtime.backends.exists():
            runtime.backends.replace(old)
        fresh.replace(runtime.backends)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return True


def fingerprint(runtime: Runtime, interpreter: dict[str, str]) -> str:
    """Changes with the interpreter, the wheel, this file and our backends."""
    digest = hashlib.sha256(json.dumps(interpreter, sort_keys=True).encode())
    wheels = sorted(path.name for path in runtime.site.glob("nvidia_pytriton-*.dist-info"))
    digest.update(" ".join(wheels).encode())
    for path in [Path(__file__).resolve(), *sorted(BACKENDS.rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest() + "\n"


def copy_backends(runtime: Runtime, interpreter: dict[str, str], fresh: Path) -> None:
    wheel = runtime.site / "pytriton" / "tritonserver"
    stub = wheel / "python_backend_stubs" / interpreter["version"] / runtime.stub.name
    if not stub.is_file():
        raise RuntimeProblem(f"The Triton wheel has no Python backend for Python {interpreter['version']}.")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(wheel / "backends" / "python", fresh / "python", ignore=skip)
    (fresh / "python" / stub.name).write_bytes(regular(stub.read_bytes()))
    (fresh / "python" / stub.name).chmod(0o755)
    with (fresh / "python" / "triton_python_backend_utils.py").open("a", encoding="utf-8") as utils:
        utils.write("\n\n" + (BACKENDS / "utils.py").read_text(encoding="utf-8"))
    for backend in sorted(path for path in BACKENDS.iterdir() if (path / "model.py").is_file()):
        shutil.copytree(backend, fresh / backend.name, ignore=skip)
    link_libpython(interpreter, fresh / "python")


def regular(stub: bytes) -> bytes:
    """The stub with a regular interpreter, which reads the locale and PYTHON... variables, instead of an isolated one.

    An isolated interpreter stays in the C locale, so it is ASCII: print, open, file names, variables. It decides that
    before it runs any Python, and nothing can change its file system encoding later: not a locale that the model sets,
    not the environment. So the stub has to ask for the other interpreter. pybind11 does since 2.11 (its pull request
    4473), and Triton's own stubs since 24.12, which has nothing to replace here. This stub is linked by name: the
    loader looks up the function whose name stands in its table of strings. launch.py keeps out what isolation kept out.
    """
    return stub.replace(b"\0%b\0" % ISOLATED, (b"\0%b\0" % REGULAR).ljust(len(ISOLATED) + 2, b"\0"))


def link_libpython(interpreter: dict[str, str], folder: Path) -> None:
    """The stub needs libpython, and only a system Python has it where the loader looks: link the interpreter's own."""
    name = f"libpython{interpreter['version']}.so.1.0"
    libdir = Path(interpreter["libdir"])
    for place in (libdir, libdir / interpreter["multiarch"], Path(interpreter["base"]) / "lib"):
        if (place / name).is_file():
            (folder / name).symlink_to(place / name)
            return


def check_runs(runtime: Runtime, fresh: Path) -> None:
    """Both programs must find their libraries: better said now than in the log of the first service."""
    env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": f"{runtime.libraries}:{fresh / 'python'}"}
    stub = str(fresh / "python" / runtime.stub.name)
    for command in ([str(runtime.server), "--help"], [stub]):
        done = subprocess.run(
            command,
            env=env,
            cwd=fresh,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
        if "GLIBC" in done.stderr:
            raise RuntimeProblem("Triton needs glibc 2.35 or newer (Ubuntu 22.04, Debian 12): this machine's is older.")
        if done.returncode == 127:
            line = done.stderr.strip().splitlines()[-1:]
            missing = line[0].split("libraries: ")[-1] if line else "a shared library is missing"
            raise RuntimeProblem(f"Triton cannot run here: {missing}. Install the package that has it and try again.")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python runtime.py <runtime environment>\n")
        return 2
    root = Path(arguments[0]).absolute()
    try:
        has_changed = prepare(root)
    except (RuntimeProblem, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{'prepared' if has_changed else 'up to date'}: {locate(root).backends}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
