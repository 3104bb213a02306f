"""The end of an investigation: verdict badge, one sentence, because, what is missing, what to do next.

What is shown and what a runner reads (`RESULT_MIME`) come from the same verdict in one output. Commands are quoted for
the shell, so a hostile name stays a name.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from opslib.core.model import Budget, Candidate, Verdict
from opslib.core.outcome import RESULT_MIME, Outcome, outcome_of_verdict
from opslib.core.words import duration, for_whom, printable, share
from opslib.ui.facts import culprit, place, sample, segment_name, zone_of
from opslib.ui.latency import finding
from opslib.ui.links import Subject, filled
from opslib.ui.tables import badge, section
from opslib.ui.text import Html, html

if TYPE_CHECKING:
    from opslib.investigate import Investigation

_MOST = 4
_WORTH_SAYING = 0.05  # of a mean call


class Presentable(Protocol):
    """What a run came to, in every form that a reader may have; its text is `str()`."""

    def bundle(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do next, with the command that does it where there is one."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A verdict in words, ready to show."""

    badge: str  # pass, fail, undetermined
    summary: str
    because: tuple[str, ...]
    whom: tuple[str, ...]
    beside: tuple[str, ...]
    missing: tuple[str, ...]
    steps: tuple[Step, ...]
    links: tuple[tuple[str, str], ...]  # name and URL
    result: dict[str, Any]

    def bundle(self) -> dict[str, Any]:
        return {"text/html": self._repr_html_(), "text/plain": str(self), RESULT_MIME: self.result}

    def _repr_html_(self) -> str:
        parts = [f"<p>{badge(self.badge)} <b>{html(self.summary, 800)}</b></p>"]
        parts += [_list(head, [html(text, 600) for text in texts]) for head, texts in self._said()]
        opened = [Html(f'Open <a href="{html(url, 2000)}">{html(name)}</a>') for name, url in self.links]
        parts += [_list("What to do next", [*map(_step, self.steps), *opened])]
        return section(Html(f'<div class="box">{"".join(parts)}</div>'))

    def _said(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            ("Because", self.because),
            ("For whom", self.whom),
            ("Suspected beside it", self.beside),
            ("What is missing", self.missing),
        )

    def __str__(self) -> str:
        lines = [f"{self.badge.upper()}: {printable(self.summary, 800)}"]
        for head, texts in self._said():
            if texts:
                lines += [head, *(f"  - {printable(text, 600)}" for text in texts)]
        lines.append("What to do next")
        for step in self.steps:
            lines.append(f"  - {printable(step.text, 600)}")
            lines += [f"      {printable(step.command, 600)}"] if step.command else []
        lines += [f"  - Open {printable(name)}: {printable(url, 2000)}" for name, url in self.links]
        return "\n".join(lines)


def conclude(inv: Investigation) -> None:
    """Show the conclusion and emit the run's result."""
    present(conclusion(inv))


def present(concluded: Presentable) -> None:
    """Show what a run came to: in a notebook with its result, elsewhere as text."""
    from opslib.ui.errors import in_ipython  # noqa: PLC0415 - beside the display that it decides on

    if not in_ipython():
        print(concluded)  # noqa: T201 - a script's reader has only the terminal
        return
    from IPython.display import display  # noqa: PLC0415 - only where somebody looks

    display(concluded.bundle(), raw=True)


def conclusion(inv: Investigation) -> Conclusion:
    """Put a verdict into words."""
    verdict = inv.verdict
    outcome = outcome_of_verdict(verdict.verdict)
    words = {Outcome.PASS: "pass", Outcome.FAIL: "fail"}
    return Conclusion(
        words.get(outcome, "undetermined"),
        verdict.summary,
        because(inv),
        tuple(for_whom(i.attribute, i.value, i.share_slow, i.share_normal) for i in verdict.scope[:_MOST]),
        beside(verdict),
        missing(verdict),
        next_steps(inv),
        filled(inv.environment, Subject(verdict.windows.incident, verdict.service)),
        {"outcome": str(outcome), "verdict": verdict.to_dict()},
    )


def because(inv: Investigation) -> tuple[str, ...]:
    """Return two to four pieces of evidence: the first candidate's best, or how calls were, and the mean call's time."""
    verdict = inv.verdict
    if verdict.verdict == "no_anomaly" or not verdict.candidates:
        before, during = sample(inv, "baseline"), sample(inv, "incident")
        said = [finding(inv, {"baseline": before, "incident": during}, 95.0, zone_of(inv))]
        if len(before) and len(during):
            failed = share(during.failed, len(during)), share(before.failed, len(before))
            said.append(f"of the calls {failed[0]} failed, {failed[1]} before")
    else:
        said = [f.statement for f in verdict.candidates[0].evidence[: _MOST - 1]]
    if verdict.budget is not None and verdict.budget.n_baseline and verdict.budget.n_incident:
        said.append(_budget_said(verdict.budget))
    return tuple(dict.fromkeys(said))


def beside(verdict: Verdict) -> tuple[str, ...]:
    """Return who else is suspected with more than low confidence, and why."""
    return tuple(
        f"{place(one)} (confidence {one.confidence}): {one.evidence[0].statement}"
        for one in verdict.candidates[1:_MOST]
        if one.confidence != "low" and one.evidence
    )


def _budget_said(budget: Budget) -> str:
    total = budget.total
    was, now = duration(total.baseline_ns), duration(total.incident_ns)
    calls = f"{budget.n_baseline:,} and {budget.n_incident:,} calls"
    mean = f"a mean call took {was} before and {now} in the incident window ({calls})"
    largest = max(budget.segments, key=lambda s: (abs(s.delta_ns), s.segment), default=None)
    if largest is None or abs(largest.delta_ns) <= _WORTH_SAYING * max(total.baseline_ns, 1):
        return mean
    sign = "+" if largest.delta_ns > 0 else ""
    return f"{mean}; largest change: {segment_name(largest.segment)} {sign}{duration(largest.delta_ns)}"


def missing(verdict: Verdict) -> tuple[str, ...]:
    """Return what would settle it and what is known to be incomplete."""
    gaps = verdict.completeness
    counted = {"clipped": gaps.clipped, "orphaned": gaps.orphans, "skewed": gaps.skewed}
    said = ", ".join(f"{count:,} {word}" for word, count in counted.items() if count)
    odd = (f"of {gaps.spans:,} spans: {said}",) if said else ()
    cut = ("a limit was hit: not all evidence was read",) if gaps.truncated else ()
    return tuple(dict.fromkeys((*verdict.missing, *cut, *gaps.warnings, *odd)))


def next_steps(inv: Investigation) -> tuple[Step, ...]:
    """Return what to do next for this kind of verdict, and how to keep the evidence."""
    verdict = inv.verdict
    first = culprit(verdict)
    steps = _for_cause(inv, first) if first else _for_none(inv)
    kept = () if inv.capture else (Step("Keep the evidence, to replay it anywhere:", _export(inv)),)
    look = Step("Look at the logs and a slow trace of this window:", _look(inv))
    return (*steps, look, *kept)


def _for_cause(inv: Investigation, first: Candidate) -> tuple[Step, ...]:
    deeper = _investigate(inv, service=first.service)
    if first.kind == "edge" and first.edge:
        caller, callee = (printable(name, 60) for name in first.edge)
        return (
            Step(
                f"Look between {caller} and {callee}: network, proxies, connection pool, queueing before {callee}."
            ),
            Step(f"See whether {callee} is slow to its other callers too:", deeper),
        )
    if first.kind == "dependency":
        name = printable(first.service, 60)
        return (Step(f"Look at {name} itself: locks, load, slow queries, and who else began to use it."),)
    if first.kind == "release":
        name = printable(first.service, 60)
        return (
            Step(
                f"Compare the releases of {name}:",
                f"kubectl rollout history deployment/{shlex.quote(first.service)}",
            ),
        )
    return (Step(f"Look inside {place(first)}: its own work, its processor, its last change:", deeper),)


def _for_none(inv: Investigation) -> tuple[Step, ...]:
    if inv.verdict.verdict == "no_anomaly":
        return (Step("Ask about another window or another service:", _investigate(inv, window="last 1h")),)
    return (
        Step("Supply what is missing, or ask about a longer window:", _investigate(inv, window="last 1h")),
    )


def _look(inv: Investigation) -> str:
    return _run(inv, "query_logs_and_traces", window=str(inv.verdict.windows.incident))


def _investigate(inv: Investigation, **parameters: str) -> str:
    return _run(inv, "investigate_slow_payment", **parameters)


def _run(inv: Investigation, notebook: str, **parameters: str) -> str:
    where = {"capture": str(inv.capture)} if inv.capture else {"environment": inv.environment.name}
    return run_command(notebook, {"service": inv.verdict.service} | where | parameters)


def run_command(notebook: str, given: dict[str, str]) -> str:
    """Return the command that runs a notebook with these parameters; empty ones keep their defaults."""
    said = " ".join(f"-p {shlex.quote(f'{name}={value}')}" for name, value in given.items() if value)
    return f"opslib run notebooks/{notebook}.ipynb {said}"


def _export(inv: Investigation) -> str:
    return f"opslib capture export --environment {shlex.quote(inv.environment.name)} --out incident"


def _step(step: Step) -> Html:
    command = Html(f"<br><code>{html(step.command, 600)}</code>") if step.command else Html("")
    return Html(f"{html(step.text, 600)}{command}")


def _list(head: str, items: list[Html]) -> Html:
    if not items:
        return Html("")
    return Html(f"<h4>{head}</h4><ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>")
