"""`python -m bench.cold_start`: what reading ahead saves when vLLM starts with files that are on the disk only.

A Llama of random numbers, of the size that is asked for. Taking turns: its files thrown out of memory; the same, and
read ahead as the console does when it starts a replica; and in memory from before. Needs `make runtime-vllm`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets.preheat.readahead import read_ahead
from services.frameworks.vllm.launch import render
from tests.servers.vllm import RunningVllm, context_for, runtime_root, sample_model

LAYER_MIB = 84
"""What one layer of these sizes has, in bfloat16."""
MAKE = """
import sys, torch
from transformers import AutoConfig, AutoModelForCausalLM
config = AutoConfig.from_pretrained(sys.argv[1])
config.update({"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 16, "num_key_value_heads": 4,
               "head_dim": 128, "num_hidden_layers": int(sys.argv[3]), "dtype": "bfloat16"})
torch.set_default_dtype(torch.bfloat16)
AutoModelForCausalLM.from_config(config).save_pretrained(sys.argv[2])
"""
COLD, AHEAD, WARM = "on the disk only", "on the disk only, read ahead", "in memory"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what reading a model ahead saves when vLLM starts.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=2048, help="about how large the model is to be")
    options = parser.parse_args()
    taken: dict[str, list[float]] = {COLD: [], AHEAD: [], WARM: []}
    with tempfile.TemporaryDirectory(prefix="bench-cold-start-") as folder:
        model = make(Path(folder) / "model", max(1, options.mib // LAYER_MIB))
        size = sum(path.stat().st_size for path in model.iterdir())
        once(model, Path(folder) / "first")  # the libraries are in memory from here on
        for number in range(options.rounds):
            for how, seconds in taken.items():
                if how != WARM:
                    throw_out(model)
                if how == AHEAD:
                    read_ahead(model)
                seconds.append(once(model, Path(folder) / f"{number}-{len(how)}"))
                print(f"{how}: {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    print(f"{size / 2**30:.2f} GiB, {os.cpu_count()} CPUs; seconds until vLLM was ready: median (range)")
    for how, seconds in taken.items():
        print(f"{how}: {statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})")


def make(target: Path, layers: int) -> Path:
    shutil.copytree(sample_model(), target, ignore=shutil.ignore_patterns("*.safetensors", "adapters"))
    python = runtime_root() / "bin" / "python"
    subprocess.run([str(python), "-c", MAKE, str(sample_model()), str(target), str(layers)], check=True)
    os.sync()
    return target


def throw_out(model: Path) -> None:
    for path in model.iterdir():
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def once(model: Path, run_dir: Path) -> float:
    context = context_for("large", model, run_dir)
    began = time.monotonic()
    running = RunningVllm.spawn(render(context), run_dir, context.listeners, context.service)
    try:
        running.wait_until_ready()
        return time.monotonic() - began
    finally:
        running.kill()


if __name__ == "__main__":
    main()
