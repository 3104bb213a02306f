"""Records of all formats, gathered into columns a few thousand at a time: neither one by one, nor a file at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from opslib.core.columns import SignalFile
from opslib.telemetry.importers.jaeger import Processes, add_jaeger
from opslib.telemetry.importers.metrics import add_otlp_metrics
from opslib.telemetry.importers.otlp import add_otlp_logs, add_otlp_spans
from opslib.telemetry.importers.tables import Source, Table
from opslib.telemetry.importers.tags import Tags

Form = Literal["jaeger", "spans", "logs", "metrics"]
MOST_HELD = (
    200_000_000  # bytes of text behind the records and rows that are held; more than a part of usual ones has
)
BATCH = 4_096  # records; enough that the cost of a batch does not show, few enough to stay in the cache

_SIGNAL: dict[Form, SignalFile] = {"jaeger": "spans", "spans": "spans", "logs": "logs", "metrics": "metrics"}


class Gatherer:
    """Collects decoded records; `full` is called with a table whenever that holds `part_rows` rows or more."""

    def __init__(self, part_rows: int, full: Callable[[Table], None]) -> None:
        self.refused: Counter[str] = Counter()
        self.records = 0
        self.forms: set[Form] = set()
        self.processes = Processes()
        self._part_rows, self._full = part_rows, full
        self._held = 0
        signals: tuple[SignalFile, ...] = ("spans", "logs", "metrics")
        self._tables = {signal: Table(signal) for signal in signals}
        self._pending: dict[Form, tuple[list[Any], list[Source | None]]] = {
            form: ([], []) for form in _SIGNAL
        }
        self._add: dict[Form, Callable[..., None]] = {
            "jaeger": partial(add_jaeger, Tags()),
            "spans": add_otlp_spans,
            "logs": add_otlp_logs,
            "metrics": add_otlp_metrics,
        }

    def add(self, form: Form, records: Sequence[Any], sources: Sequence[Source | None]) -> None:
        """Take records and, for each, what its resource says."""
        if not records:
            return
        pending, where = self._pending[form]
        pending += records
        where += sources
        self.records += len(records)
        self.forms.add(form)
        if len(pending) >= BATCH:
            self._settle(form)

    def took(self, size: int) -> None:
        """Say that so many bytes of text have become records; of many long ones few may be held at once."""
        self._held += size
        if self._held > MOST_HELD:
            self.finish()
            self._held = 0

    def finish(self) -> None:
        """Hand over what is left."""
        for form in _SIGNAL:
            self._settle(form)
        for table in self._tables.values():
            if table.rows:
                self._full(table)

    def _settle(self, form: Form) -> None:
        pending, where = self._pending[form]
        if not pending:
            return
        self._pending[form] = ([], [])
        add, table = self._add[form], self._tables[_SIGNAL[form]]
        for start in range(0, len(pending), 16 * BATCH):  # one resource may hold a million spans
            part = slice(start, start + 16 * BATCH)
            add(pending[part], where[part], table, self.refused)
            if table.rows >= self._part_rows:
                self._full(table)
