"""What a member of a team may do. Imports nothing of ours."""

from __future__ import annotations

from typing import Final

VIEWER: Final = "viewer"
EDITOR: Final = "editor"
OWNER: Final = "owner"

RANK: Final = {VIEWER: 1, EDITOR: 2, OWNER: 3}
CHOICES: Final = [
    (VIEWER, "Viewer: sees and tests"),
    (EDITOR, "Editor: creates, changes and deletes"),
    (OWNER, "Owner: also manages members"),
]
