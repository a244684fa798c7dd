"""Checks the machine before anything is installed: `python console/install/preflight.py`, and `... vllm` before vLLM.

Exit status 1 and sentences when something is missing, each with what to do. Standard library only, and it parses on
Python 2.7 and 3.6 too, so that a machine with the wrong Python gets a sentence instead of a syntax error.
"""

# Old syntax on purpose: no annotations, no pathlib.
# mypy: ignore-errors
# ruff: noqa: PTH100, PTH110, PTH111, PTH118, PTH120

from __future__ import print_function

import os
import platform
import socket
import sys

PYTHONS = [(3, 11), (3, 12)]
GLIBC = (2, 35)
DISK_GIB = 3
INSTALLED_DISK_GIB = 1
VLLM_DISK_GIB = 5
"""3.4 GiB when it is there, and pip's downloads while it is not."""
SOCKET_NAME_BYTES = 107
"""What Linux allows for the name of a unix socket; supervisord adds `.<pid>` to its own while it makes it."""
FORBIDDEN = " \t*?[](){}<>|&;#$!`'\"\\%"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def home():
    return os.path.abspath(os.path.expanduser(os.environ.get("CONSOLE_HOME") or os.path.join(CHECKOUT, "var")))


def runtimes():
    return os.path.abspath(os.path.expanduser(os.environ.get("CONSOLE_RUNTIMES") or os.path.join(home(), "runtimes")))


def python_problem(version):
    """version: (major, minor)."""
    if tuple(version) in PYTHONS:
        return None
    return (
        "Python 3.11 or 3.12 is needed, this is %d.%d. Install one (Debian 12: apt install python3.11 python3.11-venv; "
        "Ubuntu 24.04: apt install python3.12 python3.12-venv; any: pyenv install 3.12) or name one: "
        "make run PYTHON=/path/to/python3.12" % tuple(version)
    )


def venv_problem(importer=__import__):
    try:
        importer("venv")
        importer("ensurepip")
    except ImportError:
        package = "python%d.%d-venv" % sys.version_info[:2]
        return "This Python cannot make virtual environments: install the package %s (apt install %s)." % (
            package,
            package,
        )
    return None


def machine_problem(system, machine):
    if system == "Linux" and machine in ("x86_64", "AMD64"):
        return None
    return "Linux on x86_64 is needed, because the Triton wheel has no other build; this is %s on %s." % (
        system,
        machine,
    )


def glibc_version():
    """(major, minor), or None where there is no glibc (Alpine)."""
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, ValueError, OSError):
        name, version = platform.libc_ver()
    if name != "glibc":
        return None
    return tuple(int(part) for part in version.split(".")[:2])


def glibc_problem(version):
    if version is None:
        return "The GNU C library is needed and this system has another one (Alpine?). Use Debian 12 or Ubuntu 22.04."
    if version < GLIBC:
        return "glibc 2.35 or newer is needed by Triton, this is %d.%d. Use Debian 12, Ubuntu 22.04 or newer." % version
    return None


def disk_problem(path, free_bytes, needed_gib, variable="CONSOLE_HOME"):
    if free_bytes >= needed_gib << 30:
        return None
    return "%.1f GiB are free in %s and about %d GiB are needed. Free some, or put the data elsewhere: %s=/path." % (
        free_bytes / float(1 << 30),
        path,
        needed_gib,
        variable,
    )


def free_bytes(path):
    """Free bytes on the file system that holds `path`, or will."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def path_problem(root):
    socket_name = os.path.join(root, "run", "supervisor.sock.4194304")
    if len(socket_name.encode("utf-8")) > SOCKET_NAME_BYTES:
        return "The path %s is too long for the unix sockets in it. Choose a shorter one: CONSOLE_HOME=/path." % root
    return character_problem("CONSOLE_HOME", root)


def character_problem(variable, path):
    """Triton passes the path of a model, and of its own backend, through a shell without quoting them."""
    bad = "".join(sorted({character for character in path if character in FORBIDDEN or ord(character) < 32}))
    if bad:
        return "The path %r holds characters that Triton or supervisord cannot deal with: %r. Choose another %s." % (
            path,
            bad,
            variable,
        )
    return None


def port_problem(name, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, int(port)))
    except (OSError, socket.error, ValueError, OverflowError) as error:
        return "%s=%s cannot be used on %s (%s). Stop what uses it, or choose another one: %s=<port> make run" % (
            name,
            port,
            host,
            getattr(error, "strerror", None) or error,
            name,
        )
    finally:
        probe.close()
    return None


def already_running(root):
    """Whether `make run` runs from this home: it holds home/run/lock."""
    import fcntl

    try:
        descriptor = os.open(os.path.join(root, "run", "lock"), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (IOError, OSError):
        return True
    finally:
        os.close(descriptor)
    return False


def ending(root):
    """Whether the supervisor of an earlier, killed run still stops what it ran; `manage.py run` waits for it."""
    return os.path.exists(os.path.join(root, "run", "supervisor.sock"))


def problems():
    messages = [python_problem(sys.version_info[:2])]
    if messages[0]:
        return messages  # what else is said would be about the wrong Python
    messages += [venv_problem(), machine_problem(platform.system(), platform.machine()), glibc_problem(glibc_version())]
    root, needed = home(), DISK_GIB
    if os.path.exists(os.path.join(runtimes(), "triton", ".stamp-runtime-triton")):
        needed = INSTALLED_DISK_GIB
    messages += [character_problem("CONSOLE_RUNTIMES", runtimes())] if os.environ.get("CONSOLE_RUNTIMES") else []
    messages += [path_problem(root), disk_problem(root, free_bytes(root), needed)]
    if already_running(root):
        messages.append("The console is already running from %s. Stop it there first (Ctrl-C)." % root)
    elif not ending(root):
        bind = os.environ.get("CONSOLE_BIND") or "127.0.0.1"
        messages += [
            port_problem("CONSOLE_PORT", bind, os.environ.get("CONSOLE_PORT") or 8000),
            port_problem("GATEWAY_PORT", bind, os.environ.get("GATEWAY_PORT") or 8080),
        ]
    return [text for text in messages if text]


def vllm_problems():
    """Before `make runtime-vllm`. What is installed already is taken to need no more room."""
    stamps = [os.path.join(runtimes(), "vllm", ".stamp-runtime-vllm" + build) for build in ("", "-gpu")]
    if any(os.path.exists(stamp) for stamp in stamps):
        return []
    problem = disk_problem(runtimes(), free_bytes(runtimes()), VLLM_DISK_GIB, "CONSOLE_RUNTIMES")
    return [problem] if problem else []


def main(arguments):
    messages = vllm_problems() if arguments == ["vllm"] else problems()
    for text in messages:
        print("error: " + text, file=sys.stderr)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
