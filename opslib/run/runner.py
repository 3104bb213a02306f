"""One headless run, from parameters to exit code: nothing starts before every parameter is right, and whatever ends
the run, its folder says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opslib.core.clock import Clock
from opslib.core.journal import APPROVED_PLAN, RunFolder, write_atomic
from opslib.core.outcome import ExitCode, Outcome
from opslib.core.redact import Redactor, is_secret_key
from opslib.core.settings import Settings
from opslib.core.windows import rfc3339
from opslib.run.approval import approved
from opslib.run.cells import is_run
from opslib.run.declared import Parameter, Value, declared_parameters, parameters_cell
from opslib.run.events import Recorder
from opslib.run.execute import Ending, Execution, Watch, inject, read_notebook
from opslib.run.guard import Guard, Limits
from opslib.run.hold import held
from opslib.run.junit import junit_xml
from opslib.run.kernels import started_kernel
from opslib.run.live import LiveLine
from opslib.run.notebooks import read_bounded
from opslib.run.open_changes import ask_for_the_way_back, settled
from opslib.run.params_file import read_parameters
from opslib.run.record import Ended, Status, ended_record, started_record
from opslib.run.report import Drawing, report_html
from opslib.run.result import ended_completed, ended_failed, ended_stopped
from opslib.run.saving import Saver, parameters_source
from opslib.run.signals import stop_signals
from opslib.run.summary import summary_md
from opslib.run.values import Plain, Raw, resolve
from opslib.ui.palette import STYLE


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to: the exit code of the command, its folder, run.json as it was written last, and in words
    what happened and what to do next (both redacted).
    """

    exit_code: int
    folder: RunFolder
    record: dict[str, Any]
    sentence: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A notebook and its parameters, checked; `given` are those that differ from what the notebook says.

    `plan` is the content of the plan.json that was approved by its token, empty without one.
    """

    path: Path
    nb: Any
    given: dict[str, Value]
    values: dict[str, Value]
    environment: str | None
    plan: bytes = b""

    def redactor(self) -> Redactor:
        secret = [v for k, v in self.values.items() if is_secret_key(k) and isinstance(v, str)]
        return Redactor(v for v in secret if not v.startswith(("env:", "file:")))


def run_notebook(
    notebook: Path,
    *,
    parameters: Sequence[tuple[str, str]] = (),
    parameters_file: Path | None = None,
    environment: str | None = None,
    approve: str | None = None,
    out: Path = Path("runs"),
    timeout_s: float | None = None,
    live: LiveLine,
    clock: Clock,
    settings: Settings,
    limits: Limits | None = None,
) -> RunResult:
    """Run a notebook headless and return its exit code and folder.

    Parameters: later wins among the file, `parameters` and `environment` (which sets the parameter of that name where
    the notebook declares one). Raises UsageError, ParameterError among them, before anything was started or written.
    """
    limits = replace(limits or Limits(), run_timeout_s=timeout_s)
    prepared = prepare(notebook, parameters, parameters_file, environment)
    prepared = approved(prepared, approve, out, settings)
    guard = Guard(limits, clock)
    with stop_signals(guard.signalled):
        folder = RunFolder.create(out.absolute(), notebook.stem, clock)
        with held(folder):
            if prepared.plan:
                write_atomic(folder.path / APPROVED_PLAN, prepared.plan)
            return _run(prepared, folder, guard, live, clock)


def prepare(
    notebook: Path,
    parameters: Sequence[tuple[str, str]],
    parameters_file: Path | None,
    environment: str | None,
) -> Prepared:
    """Read a notebook and settle its parameters. Raises UsageError."""
    nb = read_notebook(read_bounded(notebook))
    declared = declared_parameters(parameters_cell(nb.cells))
    from_file = read_parameters(parameters_file) if parameters_file is not None else []
    typed: list[tuple[str, Raw]] = [(name, Plain(text)) for name, text in parameters]
    named: list[tuple[str, Raw]] = []
    if environment is not None and _declares(declared, "environment"):
        named = [("environment", Plain(environment))]
    given, values = resolve(declared, from_file, typed, named)
    used = values.get("environment", environment)
    return Prepared(notebook, nb, given, values, used if isinstance(used, str) else None)


def _declares(declared: Sequence[Parameter], name: str) -> bool:
    return any(parameter.name == name for parameter in declared)


def _run(prepared: Prepared, folder: RunFolder, guard: Guard, live: LiveLine, clock: Clock) -> RunResult:
    redactor = prepared.redactor()
    shown = redactor.data(prepared.values)
    record = started_record(
        folder.id, str(prepared.path), shown, prepared.environment, rfc3339(clock.now_ns())
    )
    folder.write_run(record)
    recorder = Recorder(folder, clock, redactor)
    recorder.event("run_started", notebook=str(prepared.path), cells=sum(map(is_run, prepared.nb.cells)))
    saver = Saver(folder.path / "notebook.ipynb", redactor, redactor.data(prepared.given))

    def save() -> dict[str, Any]:
        return saver.save(prepared.nb, {"run": folder.id})

    def tick() -> None:
        live.tick()
        if guard.state.stop is not None:
            ask_for_the_way_back(folder)

    watch = Watch(guard, recorder, live, save)
    with guard.watching(_teller(recorder, live), tick):
        end = settled(folder, _execute(prepared, watch), clock, guard.limits.grace_s)
        return _finish(end, record, watch)


def _teller(recorder: Recorder, live: LiveLine) -> Any:
    def tell(event: str, text: str) -> None:
        recorder.event(event, reason=text)
        live.note(f"{event.replace('_', ' ')}: {text}")

    return tell


def _execute(prepared: Prepared, watch: Watch) -> Ended:
    """Execute the notebook and judge it; what breaks here is the runner's own fault, and a run's end all the same."""
    try:
        with started_kernel(watch.recorder.folder.path, watch.guard.limits.grace_s) as kernel:
            watch.guard.attach(kernel.process)
            cells = inject(prepared.nb, prepared.given, parameters_source(prepared.given))
            watch.recorder.expect(cells)
            execution = Execution(prepared.nb, kernel, watch)
            ending = execution.run()
        return _judge(ending, execution.problem, prepared.nb.cells, watch.guard, watch.recorder)
    except Exception as error:  # noqa: BLE001 - run.json must say how the run ended
        return Ended("broken", Outcome.ERROR, ExitCode.BROKEN, f"{type(error).__name__}: {error}")


def _judge(
    ending: Ending, problem: str, cells: Sequence[Mapping[str, Any]], guard: Guard, recorder: Recorder
) -> Ended:
    if ending == "completed":
        return ended_completed(cells)
    if ending == "failed":
        return ended_failed(cells, recorder.where(lambda r: r.status == "error")[-1])
    if ending == "stopped" and guard.state.stop is not None:
        cut = recorder.where(lambda r: r.status in {"interrupted", "timed_out"})
        title = cut[-1].title if cut else ""
        killed = guard.state.killed and guard.state.begun
        return ended_stopped(guard.state.stop, killed=killed, title=title)
    status: Status = "kernel_died" if ending == "kernel_died" else "broken"
    return Ended(status, Outcome.ERROR, ExitCode.BROKEN, problem)


def _finish(end: Ended, record: dict[str, Any], watch: Watch) -> RunResult:
    """Write the reports and, last of all, run.json; a report that cannot be written does not change the verdict."""
    recorder, live = watch.recorder, watch.live
    redactor, folder = recorder.redactor, recorder.folder
    verdict = redactor.data(end.verdict)
    end = replace(end, sentence=redactor.text(end.sentence), hint=redactor.text(end.hint), verdict=verdict)
    final = ended_record(record, end, rfc3339(recorder.clock.now_ns()))
    for name, write in _reports(final, end, watch).items():
        try:
            write()
        except Exception as error:  # noqa: BLE001 - the verdict must come out even where its drawing fails
            recorder.event("report_failed", file=name, reason=f"{type(error).__name__}: {error}")
            live.note(f"{name} could not be written: {type(error).__name__}: {error}")
    folder.write_run(final)
    recorder.event("run_finished", status=end.status, outcome=str(end.outcome), exit_code=int(end.exit_code))
    return RunResult(int(end.exit_code), folder, final, end.sentence, end.hint)


def _reports(final: dict[str, Any], end: Ended, watch: Watch) -> dict[str, Callable[[], object]]:
    """Return how each file for people and machines is written; the report shows the notebook as it was saved."""
    recorder, path = watch.recorder, watch.recorder.folder.path
    cells = list(recorder.cells.values())

    def report() -> None:
        write_atomic(
            path / "report.html", report_html(final, end, watch.save()["cells"], recorder.cells, _drawing())
        )

    return {
        "notebook.ipynb": watch.save,
        "summary.md": lambda: write_atomic(path / "summary.md", summary_md(final, end, cells)),
        "junit.xml": lambda: write_atomic(path / "junit.xml", junit_xml(final, end, cells)),
        "report.html": report,
    }


def _drawing() -> Drawing:
    """Return ui's way of drawing; a run without figures does not load it."""

    def figure_html(figure: dict[str, Any]) -> str:
        from opslib.ui.report import figure_html as draw  # noqa: PLC0415

        return draw(figure)

    def plotly_js() -> str:
        from opslib.ui.report import plotly_js as script  # noqa: PLC0415

        return script()

    return Drawing(figure_html, plotly_js, STYLE)
