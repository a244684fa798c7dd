"""What systems and tools leave behind in folders, by name: no model reads it, so it is not copied. No I/O."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

NAMES: Final = {
    "made by macOS": (
        ".ds_store",
        "__macosx",
        ".appledouble",
        ".appledb",
        ".appledesktop",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        ".temporaryitems",
        ".documentrevisions-v100",
        ".volumeicon.icns",
        "icon\r",
    ),
    "made by Windows": ("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    "made by a file server": ("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", ".snapshot"),
    "made by the file system": ("lost+found",),
    "the history of a version control": (".git", ".svn", ".hg"),
    "made by an editor": (".ipynb_checkpoints", ".idea", ".vscode"),
    "made by Python, which makes it anew": ("__pycache__",),
    "a cache": (".cache",),
}
"""Reason -> names of files and folders, in lower case; case does not matter."""
PATTERNS: Final = (
    ("made by macOS", re.compile(r"\._.+")),
    ("an editor's backup", re.compile(r".+~|\..+\.sw[opx]|#.+#")),
    ("an editor's lock", re.compile(r"\.#.+|\.~lock\..+#")),
    ("an open file that was deleted", re.compile(r"\.nfs[0-9a-f]{8,}")),
    (
        "an upload or download that has not ended",
        re.compile(
            r".+\.(part|partial|filepart|crdownload|incomplete|aria2|tmp|temp)",
            re.I,
        ),
    ),
)
_BY_NAME: Final = {name: reason for reason, names in NAMES.items() for name in names}


@lru_cache(maxsize=4096)
def reason_for_name(name: str) -> str:
    """Why a file or folder of this name is left out, as a noun phrase; "" for one that is copied."""
    if reason := _BY_NAME.get(name.lower(), ""):
        return reason
    return next((reason for reason, pattern in PATTERNS if pattern.fullmatch(name)), "")


def top(path: str) -> tuple[str, str]:
    """The first part of `path` that is left out, as a path, and why; two times "" when all of it is copied."""
    start = 0
    while True:
        end = path.find("/", start)
        if reason := reason_for_name(path[start:] if end < 0 else path[start:end]):
            return (path if end < 0 else path[:end]), reason
        if end < 0:
            return "", ""
        start = end + 1
