"""How one Triton replica is started: argv, environment, files and links. Pure; an engine does it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from datasets.inspect.config_pbtxt import pbtxt
from datasets.inspect.triton.ensembles import is_ensemble
from services.errors import ModelError
from services.frameworks.triton import config as configs
from services.frameworks.triton import labels
from services.frameworks.triton.inspection import Inspection, versions_of
from services.frameworks.triton.repository import study
from services.frameworks.triton.runtime import Runtime, locate
from services.listeners import Address
from services.specs import Launch, LaunchContext

CLOSED_APIS: Final = "shared-memory,model-config,model-repository,statistics,trace,logging"
"""Never for a caller (reference: the gateway's deny-list). Closed here too, in case something gets past the gateway."""
EXIT_SECONDS: Final = 10
SHM_DEFAULT_BYTES: Final = 1 << 20
SHM_GROWTH_BYTES: Final = 1 << 20
"""Shared memory of each model instance in /dev/shm; it grows with the payloads."""
REFUSED_ENV: Final = frozenset(
    {
        "PATH",
        "HOME",
        "TMPDIR",
        "TEMP",
        "TMP",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "BASH_ENV",
        "ENV",
        "SHELL",
        "IFS",
    }
)
REFUSED_FAMILIES: Final = ("LD_", "PYTHON")
"""What the launch itself sets, and what decides which programs and libraries the child is made of: nobody's, trusted
or not. Which of the others need trust is in services/frameworks/variables.py."""

START: Final = r"""#!/bin/sh
# Starts one Triton replica: start.sh FAMILY COMMAND...
set -eu
# The stub puts the working directory first on sys.path: it must be the replica's own.
cd "${0%/*}"
family=$1
shift
# A Triton that was killed leaves its shared memory behind, named <family>_<pid>_<uuid>: free that of the dead.
for region in "/dev/shm/${family}_"*; do
  [ -e "$region" ] || continue
  pid=${region#"/dev/shm/${family}_"}
  kill -0 "${pid%%_*}" 2>/dev/null || rm -f "$region"
done
# When a Python process of the model dies or is stopped, Triton stays "ready" and fails every request: then end it, for
# a new start.
state() { read -r _ _ state _ <"/proc/$1/stat" && echo "$state"; }
watch() {
  suspect=none
  while sleep 2 && [ "$(state $$ || echo Z)" != Z ]; do
    lost=none
    for child in $(cat /proc/$$/task/*/children); do
      case "$(state "$child" || true)" in Z|T) lost=$child ;; esac
    done
    if [ "$lost" != none ] && [ "$lost" = "$suspect" ]; then
      echo "console: a Python process of the model has ended (pid $lost): Triton is killed" >/proc/$$/fd/2 || true
      kill -KILL $$
    fi
    suspect=$lost  # one that is seen twice is not about to be reaped
  done
}
watch </dev/null >/dev/null 2>&1 &  # without the log's pipe: who reads it waits for its end
# The APIs that nobody may use are opened by a password that nobody knows.
nobody=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
exec "$@" \
  --backend-config="python,shm-region-prefix-name=${family}_$$_" \
  --http-restricted-api="{closed}:console-closed=$nobody" \
  --grpc-restricted-protocol="{closed}:console-closed=$nobody"
""".replace("{closed}", CLOSED_APIS)


def render(context: LaunchContext) -> Launch:
    """Raises ModelError when the model files, the environment variables or the runtime rule a start out."""
    repository = study(context.tree, context.spec.framework_config, context.service)
    if repository.problems:
        raise ModelError(" ".join(repository.problems))
    runtime = locate(context.runtime)
    check_env(context.spec.env)
    files: dict[str, bytes] = {"start.sh": START.encode(), "tmp/.keep": b""}
    links = {f"repository/{name}": context.models / target for name, target in repository.files}
    for one in repository.models:
        if not is_ensemble(one.config):
            check_backend(one, runtime)
            if context.spec.resources.gpu == 0:
                configs.on_cpu(one.config)
            else:
                configs.check_gpus(one.config, context.spec.resources.gpu)
        configs.pass_text_ids(one.config)
        configs.harden(one.config)
        its_files, its_links = folder_of(one, context)
        files |= {f"repository/{one.name}/{name}": content for name, content in its_files.items()}
        links |= {f"repository/{one.name}/{name}": target for name, target in its_links.items()}
    return Launch(
        argv=("/bin/sh", str(context.run_dir / "start.sh"), shm_family(context.run_dir), *server(context, runtime)),
        env=environment(context, runtime),
        files=files,
        links=links,
        shared_memory_mib=round(context.spec.resources.memory_gib * 1024),
        sockets={name: socket_of(name, address) for name, address in vars(context.listeners).items() if address.path},
    )


def folder_of(model: Inspection, context: LaunchContext) -> tuple[dict[str, bytes], dict[str, Path]]:
    """What is in the folder of one model in the generated repository: files that are written, and links."""
    folder = PurePosixPath(model.folder)
    files = labels.rewritten(model.config, {name: context.tree / folder / target for name, target in model.links})
    links = {name: context.models / folder / target for name, target in model.links if name not in files}
    files[pbtxt.NAME] = configs.write(model.config).encode()
    if is_ensemble(model.config):  # its version folders are empty, and must be there
        files |= {name: b"" for version in versions_of(model) if (name := f"{version}/.keep") not in links}
    return files, links


def server(context: LaunchContext, runtime: Runtime) -> tuple[str, ...]:
    return (
        str(runtime.server),
        f"--model-repository={context.run_dir / 'repository'}",
        f"--backend-directory={runtime.backends}",
        "--model-control-mode=none",  # loads what is in the repository and never anything else
        "--exit-on-error=true",
        f"--exit-timeout-secs={EXIT_SECONDS}",
        *(option for name, address in vars(context.listeners).items() for option in listen(name, address)),
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
        "--pinned-memory-pool-byte-size=0" if context.spec.resources.gpu == 0 else "--allow-gpu-metrics=true",
        f"--backend-config=python,shm-default-byte-size={SHM_DEFAULT_BYTES}",
        f"--backend-config=python,shm-growth-byte-size={SHM_GROWTH_BYTES}",
    )


def listen(name: str, address: Address) -> tuple[str, ...]:
    """`name`: http, grpc or metrics."""
    if address.path:
        return (f"--{name}-address={address.target}", *(["--grpc-port=0"] if name == "grpc" else []))
    return (f"--{name}-address={address.host}", f"--{name}-port={address.port}")


def socket_of(name: str, address: Address) -> str:
    """The file that it makes: of gRPC's socket, the port is a part of the name."""
    return f"{address.path}:0" if name == "grpc" else address.path


def environment(context: LaunchContext, runtime: Runtime) -> dict[str, str]:
    """Complete: nothing is inherited. The user's variables may replace all but what isolates the child."""
    cores = str(max(1, math.floor(context.spec.resources.cpu)))
    return {
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": cores,
        "OPENBLAS_NUM_THREADS": cores,
        **context.spec.env,
        "PATH": f"{runtime.root / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": runtime.library_path,
        "HOME": str(context.run_dir),
        "TMPDIR": str(context.run_dir / "tmp"),
        # The stub reads these, and so does every Python that a model starts.
        "PYTHONUTF8": "1",  # whatever locale the user's variables name
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "CUDA_VISIBLE_DEVICES": context.visible_devices,
    }


def shm_family(run_dir: Path) -> str:
    """Names the shared memory of all replicas of one home, so that each start can sweep what dead ones left."""
    return f"triton_{hashlib.sha256(str(run_dir.parent).encode()).hexdigest()[:12]}"


def refused_env(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name in REFUSED_ENV or name.startswith(REFUSED_FAMILIES))


def check_env(env: Mapping[str, str]) -> None:
    if refused := refused_env(env):
        raise ModelError(
            f"The environment variable {', '.join(refused)} cannot be set: it would break the isolation of the service."
        )


def check_backend(model: Inspection, runtime: Runtime) -> None:
    if sentence := lacking_backend(model.folder, configs.backend(model.config), runtime):
        raise ModelError(sentence)


def lacking_backend(folder: str, backend: str, runtime: Runtime) -> str:
    """`folder`: of one model of several, else "". "" when the runtime has the backend, or is not prepared yet."""
    if backend in {"", "ensemble"} or not runtime.backends.is_dir() or (runtime.backends / backend).is_dir():
        return ""
    names = ", ".join(sorted(path.name for path in runtime.backends.iterdir() if path.is_dir()))
    what = f"{folder}: The model" if folder else "The model"
    return f"{what} needs the Triton backend {backend}, which this runtime does not have (it has {names})."
