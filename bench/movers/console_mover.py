"""What a worker of the console does with a round, without the database: plan, copy, digest, publish.

    python -m bench.movers.console_mover <kind> <store> [again]      options and endpoints as JSON on stdin

Prints one JSON line: seconds of each step. Published is when a service may start; flushed is when it is on the disk.
With `again` the plan is made a second time, and found in the store.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from console.stack.memory import keep_what_is_loaded
from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import key_of
from datasets.preheat.store import upkeep
from datasets.preheat.store.trees import Store, make_manifest
from datasets.sources import registry
from datasets.sources.base import Site


def main(kind: str, folder: str, again: bool) -> None:
    config = json.load(sys.stdin)
    registry.source_class(kind)  # a worker has loaded it long ago
    keep_what_is_loaded()  # as it does when it is ready
    print("ready", flush=True)
    site = Site(roots=tuple(Path(root) for root in config["roots"]), endpoints=tuple(config["endpoints"]))
    source = registry.make(kind, config["options"], site)
    store = Store(Path(folder))
    store.make()
    began = time.monotonic()
    plan = source.plan("")
    planned = time.monotonic()
    with store.staging("1") as staging:
        stored = copy(plan, source, "", staging, find_stored=store.stored_finder(plan, ""))
        copied = time.monotonic()
        manifest = make_manifest(stored, plan.empty_dirs)
        parts = {file.path: staging.part(key_of(file)) for file in plan.files}
        tree = store.publish(staging, parts, manifest, fingerprint=plan.fingerprint)
    published = time.monotonic()
    result = {
        "files": tree.file_count,
        "bytes": tree.total_bytes,
        "plan": planned - began,
        "copy": copied - planned,
        "publish": published - copied,
        "digest": tree.digest,
    }
    if again:
        began = time.monotonic()
        assert store.find(registry.make(kind, config["options"], site).plan("").fingerprint) == tree
        result["again"] = time.monotonic() - began
    print(json.dumps(result), flush=True)
    upkeep.settle(store)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "again" in sys.argv[3:])
