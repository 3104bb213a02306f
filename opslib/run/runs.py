"""The runs in a folder: read, told apart by whether their runner still lives, and pruned. Reading changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from opslib.core.changes import is_open
from opslib.core.errors import UsageError
from opslib.core.journal import RunFolder
from opslib.run.hold import is_held

LOST = "lost"  # run.json says running, and nobody runs it: its runner was killed


def list_runs(root: Path) -> list[dict[str, Any]]:
    """Return run.json of each run below `root`, the newest first; a run whose runner is gone has the status `lost`."""
    return [record for folder in _folders(root) if (record := describe(folder)) is not None]


def describe(folder: RunFolder) -> dict[str, Any] | None:
    """Return a run's record with its true status, None where there is none that can be read."""
    try:
        record = folder.read_run()
    except UsageError:
        return None
    defaults = {"id": folder.id, "status": "unknown", "outcome": None, "exit_code": None, "notebook": ""}
    record = defaults | record
    if record["status"] == "running" and not is_held(folder):
        record["status"] = LOST
    return record


def _folders(root: Path) -> list[RunFolder]:
    if not root.is_dir():
        return []
    found = (path for path in root.iterdir() if (path / "run.json").is_file() and not path.is_symlink())
    return [RunFolder(path) for path in sorted(found, key=lambda path: path.name, reverse=True)]


def prune_runs(root: Path, *, keep: int) -> list[str]:
    """Delete all but the newest `keep` runs and return their ids; one that goes on or has an open change stays."""
    gone = []
    for folder in _folders(root)[keep:]:
        if is_held(folder) or is_open(folder.path):
            continue
        shutil.rmtree(folder.path)
        gone.append(folder.id)
    return gone
