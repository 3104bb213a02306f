"""The run folder `runs/ID/`: every file is written atomically, events and journal only ever grow by whole lines."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import UsageError, near_names

# The plan that a run was approved to carry out; `plan.json` is one that a run has made, and is looked up by its token.
APPROVED_PLAN = "approved-plan.json"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old content or the new one, never half."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused, since no other parser reads them."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line in a single write, so that a reader never sees two records mixed."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON-lines file; a torn line, left by a crash, and what is no record are skipped."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder; the names of its files are a contract."""

    path: Path

    @classmethod
    def create(cls, root: Path, slug: str, clock: Clock) -> RunFolder:
        """Create `root/ID`; ID sorts by time and does not repeat: `20260131T030000Z-slug-a1b2c3`."""
        stamp = datetime.fromtimestamp(clock.now_ns() // 1_000_000_000, tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        path = root / f"{stamp}-{slug}-{secrets.token_hex(3)}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                f"cannot create the run folder {path}: {error.strerror}", hint="choose another with --out DIR"
            ) from error
        return cls(path)

    @classmethod
    def find(cls, root: Path, run_id: str) -> RunFolder:
        """Return the folder of a run by its id or an unambiguous end or start of it. Raises UsageError."""
        names = sorted(p.name for p in root.glob("*/") if (p / "run.json").exists()) if root.is_dir() else []
        matches = [n for n in names if n == run_id] or [
            n for n in names if n.startswith(run_id) or n.endswith(run_id)
        ]
        if len(matches) != 1:
            found = f"{len(matches)} runs match" if matches else "no run matches"
            raise UsageError(f"{found} {run_id!r} in {root}", hint=near_names(run_id, matches or names))
        return cls(root / matches[0])

    @property
    def id(self) -> str:
        return self.path.name

    def read_run(self) -> dict[str, Any]:
        """Return `run.json`. Raises UsageError where it cannot be read."""
        try:
            content = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"the run {self.id} has no readable run.json: {error}") from error
        if not isinstance(content, dict):
            raise UsageError(f"run.json of {self.id} holds no object")
        return content

    def write_run(self, record: dict[str, Any]) -> None:
        write_json(self.path / "run.json", record)

    def event(self, record: dict[str, Any]) -> None:
        append_line(self.path / "events.jsonl", record)
