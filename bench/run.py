"""`make bench`: `python bench/run.py [--quick]`. What it does is in command.py."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # started as a script, it would be this folder

from bench.command import main  # noqa: E402  (found by the line above)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
