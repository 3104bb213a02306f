"""Starts the driver of a change and watches its journal; to stop watching stops nothing.

The driver is a process of its own, in a session of its own: a kernel that is restarted or killed leaves it at work, and
whoever comes back watches again.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.core.changes import ENDED, Journal, is_driven, journal_lines
from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import OpslibError
from opslib.core.journal import RunFolder, write_json
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan
from opslib.core.settings import Settings, environ_of_children
from opslib.manifests.driver import CHANGE
from opslib.manifests.sets import ReleaseSet

_LOOK_S = 0.2
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class Change:
    """A change that has ended, or was cut off (`error`: its driver is gone, and the journal names the way back)."""

    folder: Path
    outcome: Outcome
    summary: str
    details: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Mapping[str, Any], ...] = ()


def change_folder(settings: Settings, slug: str, clock: Clock) -> Path:
    """Return where a change is journalled: the run's folder under the runner, else a new one in `runs`."""
    return settings.run_dir or RunFolder.create(settings.cwd / "runs", slug, clock).path


def start_change(
    folder: Path,
    plan: Plan,
    settings: Settings,
    *,
    environment: str,
    deadline_s: float,
    release: ReleaseSet | None = None,
) -> None:
    """Start the driver of an approved plan in a folder; with the set where it is a release's plan."""
    order = {
        "plan": plan.to_dict(),
        "environment": environment,
        "settings": settings.to_dict(),
        "deadline_s": deadline_s,
    }
    if release is not None:
        order["set"] = release.to_dict()
    write_json(folder / CHANGE, order)
    drive(folder)


def drive(folder: Path, asked: str = "") -> None:
    """Start a driver for the change of a folder; where one is at work already, the new one ends at once.

    ASKED_BACK takes the way back of a change that has ended, too; ASKED_ON goes on with one that was cut off.
    """
    if asked:
        Journal(folder, SystemClock()).write(asked)
    with (folder / "driver.log").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", "opslib.manifests.driver", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environ_of_children(),
            start_new_session=True,
            check=False,
            timeout=_START_S,
        )


def watch_change(
    folder: Path, show: Callable[[str], None] = lambda _: None, clock: Clock | None = None
) -> Change:
    """Return how a change ends; `show` is told each new line of its journal until then."""
    clock, seen, quiet_s = clock or SystemClock(), 0, 0.0
    while True:
        lines = journal_lines(folder)
        for line in lines[seen:]:
            quiet_s = 0.0
            if text := str(line.get("text") or ""):
                show(text)
        seen = len(lines)
        if lines and lines[-1]["phase"] in ENDED:
            return _ended(folder, lines)
        driven = is_driven(folder)
        if not driven and (quiet_s >= _START_S or (lines and quiet_s >= 1.0)):
            return _cut_off(folder, lines)
        clock.sleep(_LOOK_S)
        quiet_s += _LOOK_S


def _ended(folder: Path, lines: list[dict[str, Any]]) -> Change:
    last = lines[-1]
    return Change(
        folder, Outcome(last["outcome"]), str(last["summary"]), last.get("details") or {}, tuple(lines)
    )


def _cut_off(folder: Path, lines: list[dict[str, Any]]) -> Change:
    if not lines:
        log = folder / "driver.log"
        words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
        raise OpslibError(f"the change did not start: {words[-1] if words else 'its driver said nothing'}")
    text = f"its driver is gone; go on with: opslib runs resume {folder.name} (or back: rollback)"
    return Change(folder, Outcome.ERROR, text, {}, tuple(lines))
