"""OTLP messages as rows of the capture, in the order of its columns: made as an import makes them.

A record that cannot be a row (no valid id, a time that does not fit, a metric without a shape) is counted as rejected.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

from opslib.core.columns import COLUMNS
from opslib.telemetry.importers.gather import Form, Gatherer
from opslib.telemetry.importers.json_texts import add_group
from opslib.telemetry.importers.metrics import BAD_POINT, NO_SHAPE
from opslib.telemetry.importers.otlp import BAD_LOG_TIME
from opslib.telemetry.importers.spans import BAD_ID, BAD_TIME
from opslib.telemetry.importers.tables import Table

Row = tuple[Any, ...]
Rows = tuple[list[Row], int]  # the rows, and how many records were rejected

_REJECTED = (BAD_ID, BAD_TIME, BAD_LOG_TIME, BAD_POINT, NO_SHAPE)
_WHOLE = 1 << 62  # rows; a request is one table


def rows_of(form: Form, request: Any) -> Rows:
    """Return the rows of an export request of `spans`, `logs` or `metrics`."""
    tables: list[Table] = []
    gather = Gatherer(_WHOLE, tables.append)
    for group in getattr(request, f"resource_{form}"):
        add_group(form, group, gather)
    gather.finish()
    return [row for table in tables for row in _rows(table)], sum(gather.refused[why] for why in _REJECTED)


def _rows(table: Table) -> list[Row]:
    count, columns = table.rows, table.take()
    values = (columns[column.name] or repeat(None, count) for column in COLUMNS[table.signal])
    return list(zip(*values, strict=True))
