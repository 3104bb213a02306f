"""A change before and after: what is wrong with a set, what a plan would do field by field, how workloads came up.

Tables only: what is approved must be readable in a terminal and in a mail. Values that hold a secret arrive masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from opslib.core.outcome import Outcome
from opslib.core.words import duration, printable
from opslib.ui.tables import Table, badge, details, table
from opslib.ui.text import Html, html, identifier, join

if TYPE_CHECKING:
    from opslib.manifests import Change, Flaw, Planned
    from opslib.manifests.entries import Entry
    from opslib.manifests.rollouts import Revision
    from opslib.manifests.scaling import Scaling, Size

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


def plan_table(planned: Planned) -> Table:
    """Show what a plan would do: a release object by object, what forbids it first; a rollout in a sentence."""
    if planned.entries is None:
        return _order_table(planned)
    found = planned.entries
    entries = sorted(found.entries, key=lambda e: _ORDER.index(e.action))
    counts = ", ".join(f"{number} {action}" for action, number in found.counts().items())
    words = f"Plan for {planned.environment}: {counts or 'nothing to do'}{_token(planned)}"
    rows = [(badge(e.action), identifier(str(e.ref), 80), _doing(e)) for e in entries]
    frame = pd.DataFrame(
        [(e.action, str(e.ref), len(e.changes), _said(e)) for e in entries],
        columns=["action", "object", "fields", "why"],
    )
    body = table(("", "object", "what happens"), rows, caption=html(words, 400), row_heads=False)
    return Table("plan", body, words, frame)


def _token(planned: Planned) -> str:
    if planned.blocked:
        return "; it cannot be applied before what is in the way is settled"
    return f"; its token is {planned.plan.token}" if planned.plan.steps else ""


def _order_table(planned: Planned) -> Table:
    words = f"Plan for {planned.environment}: {planned.summary}{_token(planned)}"
    warnings = [str(text) for text in planned.plan.shown.get("warnings", ())]
    rows = [(badge("warning"), html(text, 400)) for text in warnings]
    frame = pd.DataFrame([("warning", text) for text in warnings], columns=["", "what to know"])
    listed = table(("", "what to know before"), rows, row_heads=False) if rows else Html("")
    return Table("plan", join((Html(f"<p><b>{html(words, 600)}</b></p>"), listed)), words, frame)


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


def rollouts_table(change: Change | None) -> Table:
    """Show how workloads came up; for one that did not, its events, last lines and exit code."""
    found = _records(change, "rollout", "rollouts")
    good = sum(r["ending"] == "complete" for r in found)
    words = f"{good} of {len(found)} workloads are as they were asked to be" if found else _none(change)
    rows = [
        (
            badge(
                "pass" if r["ending"] == "complete" else "fail" if r["ending"] == "failed" else r["ending"]
            ),
            identifier(str(r["object"]), 80),
            html(f"{r['ending']} after {duration(r['seconds'] * 1e9)}: {r['reason']}", 400),
            join(_cause(cause) for cause in r["causes"]),
        )
        for r in found
    ]
    columns = ["object", "ending", "reason", "seconds", "revision"]
    frame = pd.DataFrame([[r[name] for name in columns] for r in found], columns=columns)
    body = table(("", "workload", "how it ended", "why"), rows, caption=html(words), row_heads=False)
    return Table("rollouts", body if rows else Html(f"<p>{html(words)}</p>"), words, frame)


def _records(change: Change | None, *names: str) -> list[Any]:
    """Return what a change has told under one of these names, a single one as a list."""
    told = change.details if change is not None else {}
    found = [told[name] for name in names if told.get(name)]
    return found[0] if found and isinstance(found[0], list) else found


def _none(change: Change | None) -> str:
    return "Nothing was changed: there is nothing to verify" if change is None else "No workload was changed"


def _cause(cause: Any) -> Html:
    told = [*(f"event: {e}" for e in cause["events"]), *(f"log: {line}" for line in cause["log"])]
    lines = join(Html(f"<div>{html(line, 400)}</div>") for line in told)
    head = Html(f"<div>{html(str(cause['text']), 500)}</div>")
    return join((head, details("events and last lines", lines))) if told else head


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


def scaling_table(found: Scaling) -> Table:
    """Show what holds a workload's autoscalers back, and what its containers need by what they use."""
    told = [(name, f"{r.word}: {r.message}", r.fix) for name, r in found.reasons]
    told += [(s.container, s.evidence, _sized(s, found.have.get(s.container, {}))) for s in found.sizes]
    if found.unseen:
        told.append((found.ref.name, found.unseen, "have metrics-server run, or look again later"))
    held = len({name for name, _ in found.reasons})
    words = (
        f"{held} of {len(found.autoscalers)} autoscalers do not scale" if held else "Nothing holds it back"
    )
    words = words if found.autoscalers else f"No autoscaler scales {found.ref}"
    rows = [(identifier(about, 80), html(what, 400), html(fix, 300)) for about, what, fix in told]
    frame = pd.DataFrame(told, columns=["about", "found", "to do"])
    heads = ("autoscaler or container", "what was found", "what to do")
    return Table("scaling", table(heads, rows, caption=html(words, 200)), words, frame)


def _sized(size: Size, have: Mapping[str, Any]) -> str:
    """Say what a container needs beside what it has."""
    wanted = {"requests": size.requests, "limits": size.limits}
    return "; ".join(
        f"{part} {name} {value} (has {(have.get(part) or {}).get(name, 'none')})"
        for part, amounts in wanted.items()
        for name, value in amounts.items()
    )


def serving_table(change: Change | None) -> Table:
    """Show whether Services lead to new pods, and what the calls that may be made were answered."""
    found = [(s["outcome"], s["service"], s["reason"]) for s in _records(change, "serving")]
    found += [(c["outcome"], c["url"], c["reason"]) for c in _records(change, "calls")]
    bad = sum(outcome == Outcome.FAIL for outcome, _, _ in found)
    words = f"{bad} of {len(found)} Services and calls failed" if bad else "Services lead to the new pods"
    words = words if found else "No Service was asked"
    rows = [(badge(outcome), identifier(what, 120), html(reason, 300)) for outcome, what, reason in found]
    frame = pd.DataFrame(found, columns=["outcome", "what", "reason"])
    body = table(("", "Service or call", "what was found"), rows, caption=html(words), row_heads=False)
    return Table("serving", body if rows else Html(f"<p>{html(words)}</p>"), words, frame)
