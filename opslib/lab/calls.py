"""How many calls of payment the running capture holds, by when their trace began: what an injection waits for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from opslib.core.errors import CaptureError
from opslib.telemetry.capture.manifest import read_meta

SERVICE = "payment"
# A call counts when the capture holds both its root and payment's own span.
_COUNT = """
SELECT count(*) FILTER (began < $split), count(*) FILTER (began >= $split) FROM (
  SELECT min(start_time_unix_nano) FILTER (parent_span_id IS NULL) AS began,
         bool_or(service_name = $service AND kind = 'SERVER') AS called
  FROM read_parquet($files, union_by_name = true)
  WHERE start_time_unix_nano >= $since GROUP BY trace_id
) WHERE called AND began IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls whose trace began in [since, split), and at split or later."""

    before: int
    under: int


def count_calls(capture: Path, since_ns: int, split_ns: int) -> Calls:
    """Count payment's calls in a capture that is being written; none while it cannot be read yet."""
    try:
        names = [name for name in read_meta(capture).files or {} if name.startswith("spans")]
    except CaptureError:
        return Calls(0, 0)
    if not names:
        return Calls(0, 0)
    values = {
        "files": [str(capture / name) for name in names],
        "service": SERVICE,
        "since": since_ns,
        "split": split_ns,
    }
    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            row = connection.execute(_COUNT, values).fetchone()
        except duckdb.IOException:  # parts merged since the list was read
            return Calls(0, 0)
    return Calls(*row) if row else Calls(0, 0)
