"""One task from files to Parquet parts.

No file can end it: what cannot be read is named with the reason, and the next file has its turn.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opslib.telemetry.importers.files import add_file, add_line_range
from opslib.telemetry.importers.gather import Gatherer
from opslib.telemetry.importers.json_texts import NotTelemetryError
from opslib.telemetry.importers.parquet import open_database, write_part
from opslib.telemetry.importers.tables import Table
from opslib.telemetry.importers.tasks import Result, Task

PART_ROWS = 150_000  # about 100 MB as columns


class Worker:
    """Runs tasks one after the other and leaves their parts in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._con = open_database()

    def run(self, task: Task) -> Result:
        """Run one task. Raises OSError when its rows cannot be written."""
        result = Result(task.number)

        def write(table: Table) -> None:
            path = self._folder / f".import-{task.number:06d}-{len(result.parts):04d}.parquet.tmp"
            result.parts.append(write_part(self._con, path, table))

        gather = Gatherer(PART_ROWS, write)
        with _paused_gc():
            for path in task.paths:
                self._read(Path(path), task, gather, result)
            gather.finish()
        result.refused = dict(gather.refused)
        result.records = gather.records
        result.forms = sorted(gather.forms)
        return result

    def _read(self, path: Path, task: Task, gather: Gatherer, result: Result) -> None:
        add: Callable[[], None] = {
            "files": lambda: add_file(path, gather),
            "share": lambda: add_file(path, gather, (task.begin, task.end)),
            "lines": lambda: add_line_range(path, task.begin, task.end, gather),
        }[task.kind]
        before = gather.records, sum(gather.refused.values())
        try:
            add()
            if task.kind == "files" and before == (gather.records, sum(gather.refused.values())):
                result.failures.append((str(path), "it holds no spans, log records or metrics"))
        except NotTelemetryError as error:
            result.failures.append((str(path), str(error)))
        except OSError as error:
            if gather.records != before[0] or error.filename is None:
                raise  # not about reading this file: the disk is full, for instance
            result.failures.append((str(path), str(error.strerror)))
        except ImportError:
            result.failures.append(
                (str(path), "OTLP protobuf needs the extra: pip install 'opslib-notebooks[otlp]'")
            )

    def close(self) -> None:
        self._con.close()


@contextmanager
def _paused_gc() -> Iterator[None]:
    """Pause the collector: records hold no cycles, and looking for some costs more than decoding them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
