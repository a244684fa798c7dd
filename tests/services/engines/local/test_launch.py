"""What an engine writes down to start a replica."""

from __future__ import annotations

import json
from pathlib import Path

from services.engines.local.launch import drop_outdated


def test_a_launch_of_an_earlier_release_is_forgotten_and_one_of_this_release_stays(tmp_path: Path) -> None:
    """The earlier one would start a server on ports, where nobody looks for it."""
    earlier = {"argv": ["/bin/sh", "/home/run/replicas/svc-old-r1-0/start.sh"], "env": {}, "cwd": "/", "made": []}
    for name, document in (("svc-old-r1-0", earlier), ("svc-new-r1-0", {**earlier, "replica": {}})):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
        (tmp_path / f"{name}.conf").touch()
    (tmp_path / "svc-torn-r1-0.json").write_text("{")
    assert drop_outdated(tmp_path) == ["svc-old-r1-0", "svc-torn-r1-0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["svc-new-r1-0.conf", "svc-new-r1-0.json"]
