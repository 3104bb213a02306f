"""The runs in a folder: read, told apart by whether their runner still lives, and pruned. Reading changes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NoReturn

from opslib.core.errors import RefusedError, UsageError
from opslib.core.journal import RunFolder, read_lines
from opslib.run.hold import is_held

LOST = "lost"  # run.json says running, and nobody runs it: its runner was killed
_CLOSED = frozenset({"finished", "rolled_back", "aborted"})


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


def change_is_open(folder: RunFolder) -> bool:
    """Tell whether a run has begun a change that its journal does not close."""
    lines = list(read_lines(folder.path / "journal.jsonl"))
    return bool(lines) and lines[-1].get("phase") not in _CLOSED


def prune_runs(root: Path, *, keep: int) -> list[str]:
    """Delete all but the newest `keep` runs and return their ids; one that goes on or has an open change stays."""
    gone = []
    for folder in _folders(root)[keep:]:
        if is_held(folder) or change_is_open(folder):
            continue
        shutil.rmtree(folder.path)
        gone.append(folder.id)
    return gone


def refuse_without_change(folder: RunFolder, action: str) -> NoReturn:
    """Answer a request to resume or roll back a run that changed nothing. Raises RefusedError."""
    record = folder.read_run()
    if (folder.path / "journal.jsonl").exists():
        raise RefusedError(
            f"cannot {action} {folder.id}: this version has no driver for its journal",
            hint="use the opslib that wrote it",
        )
    raise RefusedError(
        f"there is nothing to {action}: {folder.id} changed nothing",
        hint=f"it is an investigation; ask anew with opslib run {record.get('notebook', 'NOTEBOOK')}",
    )
