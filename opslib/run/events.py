"""What happened, as it happened: one record per cell and one line per event, told by nbclient's hooks.

A cell is `ok` only when the kernel replied so. Cells are numbered as in the source notebook; the cell that carries the
given parameters has no number there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opslib.core.clock import Clock
from opslib.core.journal import RunFolder
from opslib.core.redact import Redactor
from opslib.core.words import printable

CellStatus = Literal[
    "not_run",  # the run ended before it
    "running",
    "ok",
    "error",  # an exception that ends the run
    "allowed_error",  # an exception where the tag `raises-exception` expects one
    "skipped",  # tagged `skip-execution`
    "interrupted",  # a signal stopped the run in this cell
    "timed_out",  # the cell's or the run's time was over in this cell
    "kernel_died",
]


@dataclass(slots=True)
class CellRecord:
    """One code cell of the run; `number` is its index in the source notebook, from 0."""

    number: int | None
    title: str
    status: CellStatus = "not_run"
    started_ns: int = 0
    duration_s: float = 0.0
    ename: str = ""
    evalue: str = ""


class Recorder:
    """Keeps the records and appends the events; every text is redacted and bounded before it is written."""

    def __init__(self, folder: RunFolder, clock: Clock, redactor: Redactor) -> None:
        self.folder, self.clock, self.redactor = folder, clock, redactor
        self.cells: dict[int, CellRecord] = {}  # by index in the notebook that runs
        self._began_s = 0.0

    def expect(self, cells: dict[int, CellRecord]) -> None:
        """Name the code cells that this run is to execute or skip."""
        for record in cells.values():
            record.title = self.redactor.text(record.title)
        self.cells = cells

    def event(self, name: str, **facts: Any) -> None:
        """Append one event; None facts are left out."""
        said = {
            key: self.redactor.text(printable(value, 1000)) if isinstance(value, str) else value
            for key, value in facts.items()
            if value is not None
        }
        self.folder.event({"time_unix_nano": self.clock.now_ns(), "pid": os.getpid(), "event": name, **said})

    def started(self, index: int) -> CellRecord:
        record = self.cells[index]
        record.status, record.started_ns = "running", self.clock.now_ns()
        self._began_s = self.clock.monotonic_s()
        self.event("cell_started", cell=record.number, title=record.title)
        return record

    def ended(self, index: int, status: CellStatus, *, ename: str = "", evalue: str = "") -> CellRecord:
        record = self.cells[index]
        if record.started_ns:
            record.duration_s = round(self.clock.monotonic_s() - self._began_s, 3)
        record.status, record.ename, record.evalue = status, ename[:200], self.redactor.text(evalue[:4000])
        self.event(
            "cell_finished",
            cell=record.number,
            title=record.title,
            status=status,
            duration_s=record.duration_s,
            error=f"{record.ename}: {record.evalue}" if ename else None,
        )
        return record

    def running(self) -> int | None:
        """Return the index of the cell that has started and not ended."""
        return next((index for index, cell in self.cells.items() if cell.status == "running"), None)

    def where(self, test: Callable[[CellRecord], bool]) -> Sequence[CellRecord]:
        return [record for record in self.cells.values() if test(record)]
