"""Copies of a bucket that are killed with -9: every byte comes once, or nearly."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.home import CHECKOUT
from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import Staging, key_of, read_facts
from datasets.sources import registry
from datasets.sources.base import Site
from datasets.sources.s3.source import S3Source
from datasets.specs import Plan
from tests.integration.datasets.faults.worker import HEADERS, MIB
from tests.servers.proxy import Proxy
from tests.servers.s3 import Bucket

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("s3")]
CHUNK, PIECE = 64 << 10, 256 << 10
COST = S3Source.streams * PIECE
"""Bytes that one kill may cost: what each stream had fetched of its piece."""
KILLS = (0.001, 0.2, 0.5, 0.8)
"""After which parts of what is missing."""
COPIER = """
import json, sys
from pathlib import Path
from datasets.preheat.copying.copy import copy
from datasets.preheat.journal import Staging
from datasets.sources import registry
from datasets.sources.base import Site
source = registry.make("s3", json.loads(sys.argv[1]), Site(endpoints=("127.0.0.1",)))
with Staging(Path(sys.argv[2])) as staging:
    copy(source.plan("m"), source, "m", staging, chunk=int(sys.argv[3]), piece=int(sys.argv[4]))
"""


def bytes_staged(plan: Plan, staging: Path) -> int:
    """Bytes of the plan's files that the journal knows: whole files, and pieces of others."""
    if not (staging / "journal").exists():
        return 0
    facts = read_facts(staging / "journal")
    return sum(
        file.size
        if key_of(file) in facts.done
        else sum(min(PIECE, file.size - number * PIECE) for number in facts.pieces.get(key_of(file), {}))
        for file in plan.files
    )


def test_each_kill_costs_at_most_a_piece_a_stream(bucket: Bucket, proxy: Proxy, tmp_path: Path) -> None:
    contents = {f"large-{number}.bin": os.urandom(6 * MIB) for number in range(3)}
    contents |= {f"{number}/piece.bin": os.urandom(200 << 10) for number in range(30)}
    contents |= {f"{number}/light.bin": os.urandom(10 << 10) for number in range(30)}
    bucket.put_all({f"m/{path}": content for path, content in contents.items()})
    size = sum(map(len, contents.values()))
    options = {**bucket.options, "endpoint": f"http://127.0.0.1:{proxy.port}"}
    source = registry.make("s3", options, Site(endpoints=("127.0.0.1",)))
    plan, staging = source.plan("m"), tmp_path / "staging"
    command = [sys.executable, "-c", COPIER, json.dumps(options), str(staging), str(CHUNK), str(PIECE)]
    began = proxy.passed
    for part in KILLS:
        staged, before = bytes_staged(plan, staging), proxy.passed
        held = proxy.hold_all(int(part * (size - staged)))
        with subprocess.Popen(command, cwd=CHECKOUT) as copier:
            assert held.begun.wait(60)
            copier.kill()
        held.cut()
        proxy.drop()
        passed, kept = proxy.passed - before, bytes_staged(plan, staging) - staged
        assert kept >= 0, part
        assert passed - kept <= COST + HEADERS, part
    staged, before = bytes_staged(plan, staging), proxy.passed
    assert staged > size // 2
    with Staging(staging) as held_staging:
        stored = copy(plan, source, "m", held_staging, chunk=CHUNK, piece=PIECE)
        arrived = {file.path: held_staging.part(key_of(file)).read_bytes() for file in plan.files}
    assert arrived == contents
    assert {file.path: file.sha256 for file in stored} == {
        path: hashlib.sha256(content).hexdigest() for path, content in contents.items()
    }
    assert proxy.passed - before <= size - staged + HEADERS  # nothing that the journal had came again
    assert proxy.passed - began <= size + len(KILLS) * COST
