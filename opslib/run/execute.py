"""The only module that touches papermill and nbclient: inject parameters, execute the cells in order, tell the truth.

papermill's loop is used, its statuses are not: a cell's fate comes from the kernel's reply through nbclient's hooks,
and what never got a reply is judged by the guard (stopped) or the kernel's process (dead).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opslib.core.errors import UsageError
from opslib.core.words import printable
from opslib.run.cells import INJECTED_TAG, RAISES_TAG, SKIP_TAG, is_run, tags_of, timeout_of, titles
from opslib.run.events import CellRecord, CellStatus, Recorder
from opslib.run.guard import Guard
from opslib.run.kernels import NAME, Kernel, how_it_died
from opslib.run.live import LiveLine

_AUTOSAVE_S = 30
_IOPUB_TIMEOUT_S = 60  # how long outputs may still arrive after a cell's reply; papermill makes more an error
Ending = Literal["completed", "failed", "stopped", "kernel_died", "broken"]


class RunStopped(Exception):  # noqa: N818 - the run's state, not a fault
    """Raised in a hook, so that no further cell starts."""


def read_notebook(data: str) -> Any:
    """Return the notebook of this text, upgraded to the current format. Raises UsageError."""
    import nbformat  # noqa: PLC0415 - heavy

    try:
        nb = nbformat.reads(data, as_version=4)
        nb = nbformat.v4.upgrade(nb) or nb
        _require_cells(nb.cells)
    except Exception as error:  # nbformat raises whatever its parsers and validators raise
        why = printable(str(error).partition("\n")[0])
        raise UsageError(
            f"this is no notebook: {type(error).__name__}: {why}",
            hint="opslib notebooks list names the shipped ones",
        ) from error
    names = (
        nb.metadata.get("kernelspec", {}).get("language"),
        nb.metadata.get("language_info", {}).get("name"),
    )
    language = next((name for name in names if name), "python")
    if str(language).lower() not in {"python", "ipython"}:
        raise UsageError(f"this notebook is written in {language}", hint="only Python notebooks are run")
    return nb


def _require_cells(cells: Sequence[Any]) -> None:
    """Raise TypeError for what nbformat lets pass and papermill breaks at."""
    for number, cell in enumerate(cells):
        if not isinstance(cell.source, str) or not isinstance(cell.metadata.get("tags", []), list):
            raise TypeError(f"cell {number} has no text for its source, or no list for its tags")


def inject(nb: Any, values: Mapping[str, Any], source: str) -> dict[int, CellRecord]:
    """Put the given parameters into the notebook and return the records of its code cells by their new index."""
    import papermill.parameterize  # noqa: PLC0415 - heavy

    names = titles(nb.cells)
    origin = {cell.id: (number, names[number]) for number, cell in enumerate(nb.cells)}
    for cell in nb.cells:
        cell.metadata.setdefault("tags", [])
    nb.metadata["papermill"] = {}
    if values:
        nb.cells = papermill.parameterize.parameterize_notebook(
            nb, dict(values), kernel_name=NAME, language="python"
        ).cells
        given = next(cell for cell in nb.cells if INJECTED_TAG in tags_of(cell))
        given.source = source
    records = {}
    for index, cell in enumerate(nb.cells):
        number, title = origin.get(cell.id, (None, "parameters: as given"))
        if is_run(cell) or (cell.cell_type == "code" and SKIP_TAG in tags_of(cell)):
            records[index] = CellRecord(number, title)
    return records


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches an execution: the guard, the recorder, the live line, and `save`, called after each cell."""

    guard: Guard
    recorder: Recorder
    live: LiveLine
    save: Callable[[], dict[str, Any]]


class Execution:
    """One execution of a prepared notebook; the methods `_on_*` are nbclient's hooks."""

    def __init__(self, nb: Any, kernel: Kernel, watch: Watch) -> None:
        self.nb, self._kernel, self._watch = nb, kernel, watch
        self._guard, self._recorder, self._live = watch.guard, watch.recorder, watch.live
        self._steps = sum(1 for cell in nb.cells if is_run(cell))
        self._step = 0
        self._left = False  # a cell has called exit() or quit(): its kernel replies `ok` and then ends
        self._process = kernel.process  # kept, since its manager forgets it at the end
        self.problem = ""  # why the run is broken or the kernel died, in one sentence

    def run(self) -> Ending:
        """Execute the cells; nothing is raised, whatever the notebook or the kernel does."""
        from nbclient.exceptions import DeadKernelError  # noqa: PLC0415 - heavy
        from nbclient.util import run_sync  # noqa: PLC0415 - heavy

        died = False
        client = self._client()
        try:
            with _logged(self._recorder):
                client.execute(cleanup_kc=False)
        except RunStopped:
            pass
        except DeadKernelError:
            died = True
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the run ends with its folder
            self.problem = f"{type(error).__name__}: {error}"
            died = self._recorder.running() is None and not self._step
        finally:
            run_sync(self._kernel.end)(client.kc)
        return self._ending(died=died)

    def _ending(self, *, died: bool) -> Ending:
        """Judge the run by the replies that came, and close the cell that got none."""
        open_cell = self._recorder.running()
        done = all(r.status in {"ok", "allowed_error", "skipped"} for r in self._recorder.cells.values())
        if self._guard.cut_short or (self._guard.state.stop is not None and not done):
            self._close(open_cell, self._cut_status())
            return "stopped"
        if died and not self._left:
            self._close(open_cell, "kernel_died")
            self.problem = self._last_words()
            self._recorder.event("kernel_died", reason=self.problem)
            return "kernel_died"
        if self._recorder.where(lambda record: record.status == "error"):
            return "failed"
        if done and not self.problem:
            return "completed"
        self._close(open_cell, "error")
        self.problem = self.problem or "the run ended before its last cell"
        return "broken"

    def _close(self, index: int | None, status: CellStatus) -> None:
        if index is not None:
            record = self._recorder.ended(index, status)
            self._live.cell_ended(status, record.duration_s)

    def _last_words(self) -> str:
        code = self._process.poll() if self._process is not None else None
        reason = (
            how_it_died(code)
            if self._step
            else f"the kernel did not start: {self.problem or 'it ended at once'}"
        )
        words = self._kernel.last_words()
        return f"{reason}. It wrote: {words}" if words else reason

    def _client(self) -> Any:
        from papermill.clientwrap import PapermillNotebookClient  # noqa: PLC0415 - heavy

        return PapermillNotebookClient(
            _manager(self.nb, self._watch.save),
            km=self._kernel.manager,
            kernel_name=NAME,
            log=logging.getLogger("papermill"),
            startup_timeout=int(self._guard.limits.start_timeout_s),
            iopub_timeout=_IOPUB_TIMEOUT_S,
            coalesce_streams=True,
            on_notebook_start=self._on_notebook_start,
            on_cell_start=self._on_cell_start,
            on_cell_execute=self._on_cell_execute,
            on_cell_executed=self._on_cell_executed,
        )

    def _on_notebook_start(self, **_: Any) -> None:
        if self._process is not None:
            self._recorder.event("kernel_started", kernel_pid=self._process.pid)
        if not self._kernel.prepared:
            self.problem = f"the kernel could not load opslib: {self._kernel.last_words()}"

    def _on_cell_start(self, cell: Any, cell_index: int) -> None:
        if self._left or self.problem or not self._guard.may_begin():
            raise RunStopped
        if cell_index in self._recorder.cells and not is_run(cell):
            self._recorder.ended(cell_index, "skipped")

    def _on_cell_execute(self, cell: Any, cell_index: int) -> None:
        record = self._recorder.started(cell_index)
        self._step += 1
        self._live.cell_started(self._step, self._steps, record.title)
        timeout_s = timeout_of(cell, self._guard.limits.cell_timeout_s)
        timing = cell.metadata.get("execution", {})
        self._guard.cell_sent(timeout_s, lambda: "iopub.execute_input" in timing)

    def _on_cell_executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        self._guard.cell_done()
        content = execute_reply["content"]
        ename, evalue = str(content.get("ename", "")), str(content.get("evalue", ""))
        self._left = any(item.get("source") == "ask_exit" for item in content.get("payload", []))
        if self._left:
            record = self._recorder.ended(cell_index, "error", ename="SystemExit")
        elif content.get("status") == "ok":
            record = self._recorder.ended(cell_index, "ok")
        elif self._guard.cut_short:
            record = self._recorder.ended(cell_index, self._cut_status(), ename=ename, evalue=evalue)
        else:
            allowed = RAISES_TAG in tags_of(cell)
            status: Literal["allowed_error", "error"] = "allowed_error" if allowed else "error"
            record = self._recorder.ended(cell_index, status, ename=ename, evalue=evalue)
        self._live.cell_ended(record.status, record.duration_s)
        self._watch.save()

    def _cut_status(self) -> Literal["interrupted", "timed_out"]:
        stop = self._guard.state.stop
        return "interrupted" if stop is not None and stop.reason == "signal" else "timed_out"


def _manager(nb: Any, save: Callable[[], object]) -> Any:
    """Return papermill's bookkeeping with our way of saving: its own is neither atomic nor redacted."""
    from papermill.engines import NotebookExecutionManager  # noqa: PLC0415 - heavy

    class Manager(NotebookExecutionManager):  # type: ignore[misc, unused-ignore]  # papermill has no types
        def save(self, **_: Any) -> None:
            """Leave the saving at each cell's end to the hooks."""

        def autosave_cell(self) -> None:
            """Save while a cell still runs, when the last save is long enough ago."""
            if (self.now() - self.last_save_time).total_seconds() >= _AUTOSAVE_S:
                self.last_save_time: Any = self.now()
                save()

    manager = Manager(nb, progress_bar=False)
    manager.notebook_start()
    return manager


@contextlib.contextmanager
def _logged(recorder: Recorder) -> Iterator[None]:
    """Send what papermill and nbclient log into the events, not to the terminal."""
    logger = logging.getLogger("papermill")

    class Events(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            recorder.event("log", level=record.levelname.lower(), message=record.getMessage())

    handler, before = Events(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
