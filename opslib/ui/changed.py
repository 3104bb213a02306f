"""The end of a change: what was done or is only planned, why it went back, what to do next; and the run's result.

What is shown and what a runner reads (`RESULT_MIME`) come from the same change in one output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opslib.core.outcome import RESULT_MIME, Outcome
from opslib.core.words import printable
from opslib.ui.conclusion import present
from opslib.ui.tables import badge, details, section
from opslib.ui.text import Html, html, join

if TYPE_CHECKING:
    from opslib.manifests import Change, Planned

_NEXT = {
    Outcome.PASS: "nothing: it is done",
    Outcome.REFUSED: "plan again, and approve what the new plan says",
    Outcome.ROLLED_BACK: "mend what failed, then plan again; what was before serves",
    Outcome.ROLLBACK_FAILED: "look at it now: neither the new nor the old state is whole",
    Outcome.FAIL: "mend what stands first, then plan again",
}


@dataclass(frozen=True, slots=True)
class ChangeConclusion:
    """A change in words, ready to show."""

    outcome: Outcome
    summary: str
    why: tuple[str, ...]
    next_step: str
    command: str = ""

    @property
    def result(self) -> dict[str, Any]:
        return {"outcome": str(self.outcome), "verdict": None, "summary": self.summary}

    def bundle(self) -> dict[str, Any]:
        return {"text/html": self._repr_html_(), "text/plain": str(self), RESULT_MIME: self.result}

    def _repr_html_(self) -> str:
        parts = [Html(f"<p>{badge(str(self.outcome))} <b>{html(self.summary, 800)}</b></p>")]
        for text in self.why:
            head, *rest = text.splitlines()
            more = join(Html(f"<div>{html(line, 400)}</div>") for line in rest)
            parts.append(details(head, more) if rest else Html(f"<p>{html(head, 600)}</p>"))
        command = f"<br><code>{html(self.command, 400)}</code>" if self.command else ""
        parts.append(Html(f"<p>What to do next: {html(self.next_step, 400)}{command}</p>"))
        return section(Html(f'<div class="box">{join(parts)}</div>'))

    def __str__(self) -> str:
        lines = [f"{str(self.outcome).upper()}: {printable(self.summary, 800)}"]
        lines += [f"  {printable(line, 400)}" for text in self.why for line in text.splitlines()]
        lines.append(f"What to do next: {printable(self.next_step, 400)}")
        return "\n".join([*lines, f"  {printable(self.command, 400)}"] if self.command else lines)


def change_conclusion(planned: Planned, change: Change | None) -> ChangeConclusion:
    """Put a plan, and what became of it, into words."""
    if change is None and planned.blocked:
        return ChangeConclusion(
            Outcome.FAIL, f"{planned.summary}; {planned.blocked}", (), _NEXT[Outcome.FAIL]
        )
    if change is None and not planned.plan.steps:
        return ChangeConclusion(Outcome.PASS, f"{planned.summary}: nothing to do", (), _NEXT[Outcome.PASS])
    if change is None:
        token = planned.plan.token
        warnings = tuple(str(w) for w in planned.plan.shown.get("warnings", ()))
        step = f"read the plan; to carry it out, set confirm = {token!r} and run again, or headless:"
        return ChangeConclusion(
            Outcome.PLANNED, planned.summary, warnings, step, f"opslib run NOTEBOOK --approve {token}"
        )
    hint = str(change.details.get("hint") or "") or _NEXT.get(change.outcome, "look at its journal")
    return ChangeConclusion(change.outcome, change.summary, _causes(change), hint, _command(change))


def _command(change: Change) -> str:
    if change.outcome in {Outcome.ROLLBACK_FAILED, Outcome.ERROR} and change.folder.name:
        return f"opslib runs rollback {change.folder.name}"
    return ""


def _causes(change: Change) -> tuple[str, ...]:
    """Return each cause with its events and last lines below it."""
    one = change.details.get("rollout")
    rollouts = change.details.get("rollouts") or ([one] if one else [])
    return tuple(
        "\n".join(
            [
                str(cause["text"]),
                *(f"event: {e}" for e in cause["events"]),
                *(f"log: {line}" for line in cause["log"]),
            ]
        )
        for rollout in rollouts
        for cause in rollout["causes"]
    )


def conclude_change(planned: Planned, change: Change | None) -> None:
    """Show how a change ended, or that it waits for approval, and emit the run's result."""
    present(change_conclusion(planned, change))
