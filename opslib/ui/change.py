"""A change before and after: what is wrong with a set, what a plan would do field by field, how workloads came up.

Tables only: what is approved must be readable in a terminal and in a mail. Values that hold a secret arrive masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.outcome import Outcome
from opslib.core.words import duration, printable
from opslib.ui.tables import Table, badge, details, table
from opslib.ui.text import Html, html, identifier, join

if TYPE_CHECKING:
    from opslib.manifests import Flaw, SetPlan
    from opslib.manifests.entries import Entry
    from opslib.manifests.rollouts import Revision
    from opslib.manifests.serving import Serving, Smoke
    from opslib.manifests.waiting import Rollout

_OPEN_FIELDS = 4
_ORDER = ("refused", "conflict", "prune", "create", "change", "unchanged")


def flaws_table(flaws: Iterable[Flaw]) -> Table:
    """Show what the check found, the worst first, each with what mends it."""
    found = tuple(flaws)
    worst = [f for f in found if f.severity == "error"]
    words = (
        "Nothing is wrong with the set"
        if not found
        else f"{len(found)} findings, {len(worst)} of them errors"
    )
    rows = [
        (
            badge(flaw.severity),
            join((identifier(str(flaw.object), 80), Html("<br>"), html(flaw.source, 120))),
            join((html(flaw.rule), Html(": "), html(flaw.evidence, 400))),
            html(flaw.fix, 300),
        )
        for flaw in found
    ]
    frame = pd.DataFrame(
        [(f.severity, str(f.object), f.rule, f.evidence, f.fix, f.source) for f in found],
        columns=["severity", "object", "rule", "evidence", "fix", "source"],
    )
    body = table(("", "object", "what is wrong", "what mends it"), rows, caption=html(words), row_heads=False)
    return Table("flaws", body if rows else Html(f"<p>{html(words)}</p>"), words, frame)


def plan_table(planned: SetPlan) -> Table:
    """Show what a plan would do, object by object; what forbids it stands first, what stays as it is last."""
    entries = sorted(planned.entries, key=lambda e: _ORDER.index(e.action))
    counts = ", ".join(f"{number} {action}" for action, number in planned.counts().items())
    token = f"; its token is {planned.plan.token}" if planned.plan.steps and not planned.blocked else ""
    words = f"Plan for {planned.plan.environment}: {counts or 'nothing to do'}{token}"
    if planned.blocked:
        words += "; it cannot be applied before what is first in the table is settled"
    rows = [(badge(e.action), identifier(str(e.ref), 80), _doing(e)) for e in entries]
    frame = pd.DataFrame(
        [(e.action, str(e.ref), len(e.changes), _said(e)) for e in entries],
        columns=["action", "object", "fields", "why"],
    )
    body = table(("", "object", "what happens"), rows, caption=html(words, 400), row_heads=False)
    return Table("plan", body, words, frame)


def _said(entry: Entry) -> str:
    texts = [entry.reason, *entry.notes, *(f"{field} is {owner}'s" for field, owner in entry.foreign)]
    return "; ".join(printable(text, 200) for text in texts if text)


def _doing(entry: Entry) -> Html:
    parts = [Html(f"<div>{html(text, 400)}</div>") for text in _texts(entry)]
    lines = [_field(entry, change) for change in entry.changes]
    parts += lines[:_OPEN_FIELDS]
    if left := lines[_OPEN_FIELDS:]:
        parts.append(details(f"{len(left)} more fields", join(left)))
    return join(parts)


def _texts(entry: Entry) -> Iterable[str]:
    if entry.reason and not entry.foreign:  # which say the same field by field
        yield entry.reason
    if entry.immutable:
        yield f"cannot be changed in place: {', '.join(entry.immutable)}; delete it and apply again"
    for owner in dict.fromkeys(owner for _, owner in entry.foreign):
        fields = [field for field, other in entry.foreign if other == owner]
        more = f" and {len(fields) - _OPEN_FIELDS} more" if len(fields) > _OPEN_FIELDS else ""
        yield f"{owner} owns {', '.join(fields[:_OPEN_FIELDS])}{more}"
    yield from entry.notes


def _field(entry: Entry, change: Any) -> Html:
    drifted = " (changed by others since)" if change in entry.drift else ""
    owners = f" (owned by {', '.join(change.owners)})" if change.owners and not drifted else ""
    return Html(f"<div>{identifier(str(change), 300)}{html(drifted + owners, 200)}</div>")


def rollouts_table(rollouts: Iterable[Rollout]) -> Table:
    """Show how workloads came up; for one that did not, its events, last lines and exit code."""
    found = tuple(rollouts)
    failed = [r for r in found if not r.ok]
    words = f"{len(found) - len(failed)} of {len(found)} workloads are as they were asked to be"
    rows = [
        (
            badge("pass" if r.ok else "fail" if r.ending == "failed" else r.ending),
            identifier(str(r.ref), 80),
            html(f"{r.ending} after {duration(r.seconds * 1e9)}: {r.reason}", 400),
            join(_cause(str(cause)) for cause in r.causes),
        )
        for r in found
    ]
    frame = pd.DataFrame(
        [(str(r.ref), r.ending, r.reason, r.seconds, r.last.revision if r.last else 0) for r in found],
        columns=["workload", "ending", "reason", "seconds", "revision"],
    )
    body = table(("", "workload", "how it ended", "why"), rows, caption=html(words), row_heads=False)
    return Table("rollouts", body, words, frame)


def _cause(text: str) -> Html:
    head, *rest = text.splitlines()
    lines = join(Html(f"<div>{html(line, 400)}</div>") for line in rest)
    return join(
        (Html(f"<div>{html(head, 500)}</div>"), details("events and last lines", lines) if rest else lines)
    )


def history_table(revisions: Sequence[Revision]) -> Table:
    """Show the revisions of a workload, latest first, with the pods that live of each."""
    words = f"{len(revisions)} revisions"
    rows = [
        (
            html(str(r.number)),
            join((badge("current"), Html(" "))) if r.current else Html(""),
            join(Html(f"<div>{identifier(image, 100)}</div>") for image in r.images),
            html(f"{r.ready} of {r.pods} ready" if r.pods else "none"),
            html(r.change_cause, 200),
            html(r.created, 40),
        )
        for r in revisions
    ]
    frame = pd.DataFrame(
        [
            (r.number, r.current, ", ".join(r.images), r.ready, r.pods, r.change_cause, r.created)
            for r in revisions
        ],
        columns=["revision", "current", "images", "ready", "pods", "change_cause", "created"],
    )
    heads = ("revision", "", "images", "pods", "change cause", "created")
    return Table("history", table(heads, rows, caption=html(words), numbers=frozenset({0})), words, frame)


def serving_table(services: Iterable[Serving], calls: Iterable[Smoke] = ()) -> Table:
    """Show whether Services lead to new pods, and what the calls that may be made were answered."""
    found = [(s.outcome, str(s.service), s.reason) for s in services]
    found += [(c.outcome, c.url, c.reason) for c in calls]
    bad = sum(outcome is Outcome.FAIL for outcome, _, _ in found)
    words = f"{bad} of {len(found)} Services and calls failed" if bad else "Services lead to the new pods"
    rows = [
        (badge(str(outcome)), identifier(what, 120), html(reason, 300)) for outcome, what, reason in found
    ]
    frame = pd.DataFrame([(str(o), w, r) for o, w, r in found], columns=["outcome", "what", "reason"])
    body = table(("", "Service or call", "what was found"), rows, caption=html(words), row_heads=False)
    return Table("serving", body, words, frame)
