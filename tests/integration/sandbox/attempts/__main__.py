"""`python attempts`: writes report.json into the working directory, and stays."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))

from attempts import report  # noqa: E402

text = json.dumps(report.report(root, plain=True))
Path("report.tmp").write_text(text)
Path("report.tmp").replace("report.json")

# A process that wants to outlive its replica: in a session of its own, and deaf to signals.
if not os.fork():
    os.setsid()
    import signal

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if not os.fork():
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", json.loads(text)["mark"]])
    os._exit(0)
time.sleep(600)
