"""The end of a look at logs and traces: what stood out, what is missing, where to look on; and the run's result.

It gives no verdict: a look that shows something passes, one that shows nothing has no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.outcome import Outcome
from opslib.core.windows import Window
from opslib.ui.conclusion import Conclusion, Step, present, run_command
from opslib.ui.facts import Zone
from opslib.ui.links import Subject, filled
from opslib.ui.rates import finding, shifts
from opslib.ui.records import patterns_finding, ranked_patterns, records_finding
from opslib.ui.timeline import timeline_finding

if TYPE_CHECKING:
    from opslib.investigate import LogAnswer, TraceAnswer


def conclude_query(found: LogAnswer, trace: TraceAnswer) -> None:
    """Show what the look came to, and emit the run's result."""
    present(query_conclusion(found, trace))


def query_conclusion(found: LogAnswer, trace: TraceAnswer) -> Conclusion:
    """Put a look at logs and a trace into words."""
    seen = bool(len(found.records) or len(trace.spans) or len(trace.logs))
    outcome = Outcome.PASS if seen else Outcome.NO_DATA
    moved = shifts(found) if len(found.rates) else []
    because = [records_finding(found), patterns_finding(found, ranked_patterns(found))]
    if trace.trace_id:
        because.append(f"{timeline_finding(trace, Zone.at(trace.window.start_ns))} ({trace.how})")
    summary = finding(found, moved) if moved else because[0]
    return Conclusion(
        "pass" if seen else "no data",
        summary,
        tuple(dict.fromkeys(text for text in because if text != summary)),
        (),
        (),
        (*found.warnings, *(() if trace.trace_id else (trace.how,))),
        _next(found, trace),
        links(found, trace),
        {"outcome": str(outcome), "verdict": None, "summary": summary},
    )


def links(found: LogAnswer, trace: TraceAnswer) -> tuple[tuple[str, str], ...]:
    """Return where to look on: the window in each system, and the trace where a system has a page for it."""
    asked, window = found.asked, found.windows.incident
    plain = "" if asked.is_pattern else asked.text
    subject = Subject(window, found.service, asked.pod, asked.trace_id, plain)
    whole = filled(found.environment, subject)
    around = Window(trace.window.start_ns - 1_000_000_000, trace.window.end_ns + 1_000_000_000)
    one = filled(found.environment, Subject(around, trace_id=trace.trace_id)) if trace.trace_id else ()
    known = {url for _, url in whole}
    return (
        *whole,
        *((f"{name}: the trace", url) for name, url in one if trace.trace_id in url and url not in known),
    )


def _next(found: LogAnswer, trace: TraceAnswer) -> tuple[Step, ...]:
    window = found.windows.incident
    given = (
        {"capture": str(found.question.capture)}
        if found.question.capture
        else {"environment": found.environment.name}
    )
    given |= {"service": found.service, "window": str(window)}
    why = run_command("investigate_slow_payment", given)
    again = run_command("query_logs_and_traces", given | {"trace_id": trace.trace_id})
    steps = [Step("Ask why calls are slow or failing in this window:", why)]
    return (*steps, Step("Look at this again:", again)) if trace.trace_id else tuple(steps)
