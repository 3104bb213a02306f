"""What a notebook says its result is: its last output of type RESULT_MIME, checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opslib.core.outcome import RESULT_MIME, ExitCode, Outcome
from opslib.core.words import printable
from opslib.run.events import CellRecord
from opslib.run.guard import Stop
from opslib.run.kernel import ERROR_MIME
from opslib.run.record import Ended, Status, by_outcome, outcome_of_exit, signal_exit


def last_output(cells: Sequence[Mapping[str, Any]], mime: str) -> Any:
    """Return the content of the last output of a type, None where there is none."""
    bundles = (o.get("data", {}) for cell in cells for o in cell.get("outputs", []))
    found = [bundle[mime] for bundle in bundles if mime in bundle]
    return found[-1] if found else None


def result_of(
    cells: Sequence[Mapping[str, Any]],
) -> tuple[Outcome, Mapping[str, Any] | None, str] | str | None:
    """Return (outcome, verdict, sentence), a text that says why it cannot be read, or None where there is none.

    The sentence is the verdict's; of a change, which has no verdict, its own.
    """
    last = last_output(cells, RESULT_MIME)
    if last is None:
        return None
    if not isinstance(last, Mapping) or last.get("outcome") not in list(Outcome):
        return f"the notebook's result has no known outcome: {printable(str(last), 120)}"
    verdict = last.get("verdict")
    if verdict is not None and not isinstance(verdict, Mapping):
        return "the verdict in the notebook's result is no object"
    said = verdict if verdict is not None else last
    return Outcome(last["outcome"]), verdict, str(said.get("summary") or "")


def ended_completed(cells: Sequence[Mapping[str, Any]]) -> Ended:
    """Judge a run whose cells all ran."""
    result = result_of(cells)
    if result is None:
        return by_outcome(Outcome.PASS, "Every cell ran; the notebook gives no result of its own.", None)
    if isinstance(result, str):
        return Ended("broken", Outcome.ERROR, ExitCode.BROKEN, result)
    outcome, verdict, summary = result
    return by_outcome(outcome, summary or f"The notebook's outcome is {outcome}.", verdict)


def ended_failed(cells: Sequence[Mapping[str, Any]], failed: CellRecord) -> Ended:
    """Judge a run that an exception ended; an error of opslib's tree brings its own exit code and hint."""
    told = last_output(cells, ERROR_MIME)
    sentence = f"{failed.ename}: {failed.evalue}" if failed.evalue else failed.ename
    if failed.ename == "SystemExit":
        sentence, hint = (
            "A cell ended the run with exit(); what comes after it did not run.",
            "let the last cell give the result",
        )
        return Ended("failed", Outcome.ERROR, ExitCode.BROKEN, sentence, hint)
    if not isinstance(told, Mapping) or told.get("type") != failed.ename:
        return Ended("failed", Outcome.ERROR, ExitCode.BROKEN, sentence)
    code = told.get("exit_code")
    code = code if code in {ExitCode.USAGE, ExitCode.REFUSED, ExitCode.BROKEN} else ExitCode.BROKEN
    return Ended(
        "failed", outcome_of_exit(code), int(code), str(told.get("message")), str(told.get("hint", ""))
    )


def ended_stopped(stop: Stop, *, killed: bool, title: str) -> Ended:
    """Judge a run that a signal or a time-out ended."""
    where = f" in `{title}`" if title else ""
    cleaned = " The cell did not end in time and its kernel was killed." if killed else ""
    status: Status = "interrupted" if stop.reason == "signal" else "timed_out"
    code = signal_exit(int(stop.value)) if stop.reason == "signal" else int(ExitCode.BROKEN)
    said = f"Stopped by {stop}{where}." if stop.reason == "signal" else f"Stopped{where}: {stop}."
    hint = "" if stop.reason == "signal" else "allow more with --timeout-s, or tag the cell timeout-s-N"
    return Ended(status, Outcome.ERROR, code, said + cleaned, hint)
