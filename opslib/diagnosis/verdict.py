"""From ranked suspects to an answer, or to saying that there is none and what would settle it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opslib.core.evidence import Evidence
from opslib.core.model import Candidate, Completeness, VerdictKind
from opslib.core.words import duration, printable, share
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue
from opslib.diagnosis.compare import OPERATION_KEYS, CallShift
from opslib.diagnosis.groups import most_frequent
from opslib.diagnosis.partial import Partial
from opslib.diagnosis.series import immeasurable


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict's word, its sentence, and what is missing."""

    verdict: VerdictKind
    summary: str
    missing: tuple[str, ...]


def completeness(evidence: Evidence, partial: Partial) -> Completeness:
    """Put what is known to be missing or doubtful into one record."""
    counts = partial.counts
    return Completeness(
        traces=counts["traces"],
        spans=counts["spans"],
        selection={w: evidence.selection.get(w, "unknown") for w in ("incident", "baseline")},
        truncated=evidence.truncated,
        clipped=counts["clipped"],
        orphans=counts["orphans"],
        duplicates=counts["duplicates"],
        skewed=counts["skewed"],
        warnings=tuple(dict.fromkeys(_doubts(evidence, partial))),
    )


def _doubts(evidence: Evidence, partial: Partial) -> list[str]:
    counts = partial.counts
    warnings = [*evidence.warnings, *(w for note in evidence.notes for w in note.warnings)]
    if counts["unseen"]:
        warnings.append(f"edge unseen: {counts['unseen']:,} calls start at the service's own span")
    if counts["consumers"]:
        warnings.append(f"{counts['consumers']:,} consumer spans are counted apart: nobody waits for them")
    if counts["retries"]:
        warnings.append(
            f"{counts['retries']:,} retries: with the failed attempt before them they are one row"
        )
    if counts["kindless"]:
        warnings.append(f"{counts['kindless']:,} spans tell no kind: callers and callees are inferred")
    if counts["untimed"]:
        warnings.append(
            f"{counts['untimed']:,} spans end before they start, or last longer than a week: read with no duration"
        )
    if counts["more_roots"]:
        warnings.append(
            f"{counts['more_roots']:,} spans are a further root of their trace: the earliest counts"
        )
    if beyond := immeasurable(evidence.metrics):
        warnings.append(f"{beyond:,} samples of metrics are infinite, or beyond any measure: left out")
    elements = partial.tables["elements"]
    if len(most_frequent(elements, OPERATION_KEYS, weights.MOST_OPERATIONS)) < len(elements):
        warnings.append(
            f"more than {weights.MOST_OPERATIONS:,} operations: the rarest are not compared one by one"
        )
    if "unknown" in evidence.selection.values() or not evidence.selection:
        warnings.append("how the traces were selected is not stated")
    return warnings


def gaps(evidence: Evidence, calls: CallShift, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return what forbids any comparison of the windows; each entry names what would settle it."""
    missing = []
    if evidence.windows.baseline is None:
        missing.append("a baseline window: calls from before the incident, selected alike")
    stated = [rule for rule in evidence.selection.values() if rule != "unknown"]
    if len(stated) == 2 and stated[0] != stated[1]:
        missing.append(
            f"alike-selected windows: the incident's traces were selected by {printable(evidence.selection['incident'], 60)!r}, "
            f"the baseline's by {printable(evidence.selection['baseline'], 60)!r}"
        )
    if counts["untimed"] > weights.UNTIMED_SHARE * counts["spans"]:
        missing.append(f"ends of spans that can be: {counts['untimed']:,} of {counts['spans']:,} have none")
    for side, name in ((calls.after, "incident"), (calls.before, "baseline")):
        if (
            (counts["spans"] or not len(evidence.metrics))
            and side.n < weights.MIN_CALLS
            and not (name == "baseline" and evidence.windows.baseline is None)
        ):
            missing.append(f"more calls in the {name} window: {side.n} of at least {weights.MIN_CALLS}")
    return tuple(missing)


def answer(
    state: str,
    calls: CallShift,
    candidates: Sequence[Candidate],
    clues: Sequence[Clue],
    blocking: tuple[str, ...],
    *,
    changed: bool = False,
) -> Answer:
    """Decide the verdict.

    state: of the service asked about, the opening of its sentence. changed: durations or failures of the calls have a
    change point for the worse.
    """
    if blocking:
        return Answer("undetermined", f"{state}; cannot compare: {blocking[0]}", blocking)
    if not any(clue.significant for clue in clues):
        return _nothing_stands_out(state, calls, changed=changed)
    first = candidates[0]
    lead = lead_of(first, clues)
    tie = _tie(candidates, clues)
    if tie is not None:
        statement, needed = tie
        return Answer("undetermined", f"{state}; {statement}", (needed,))
    if lead.silent:
        needed = f"server spans of {first.service}"
        return Answer("undetermined", f"{state}; {lead.finding.statement}; missing: {needed}", (needed,))
    return Answer(first.kind, f"{state}; {first.evidence[0].statement}", ())


def lead_of(candidate: Candidate, clues: Sequence[Clue]) -> Clue:
    """Return the clue that a candidate's first finding comes from."""
    return next(c for c in clues if c.finding == candidate.evidence[0] and c.service == candidate.service)


def _tie(candidates: Sequence[Candidate], clues: Sequence[Clue]) -> tuple[str, str] | None:
    """Return in words why the first two suspects cannot be told apart, and what would; None if they can.

    Two faults that traces place apart are both causes. But two versions that always meet are one cohort, and equal
    scores without traces rank nobody.
    """
    if len(candidates) < 2:
        return None
    leads = [lead_of(candidate, clues) for candidate in candidates[:2]]
    a, b = (printable(candidate.service, 80) for candidate in candidates[:2])
    if all(lead.version for lead in leads):
        seen = [(lead.finding.value, lead.finding.baseline, lead.place) for lead in leads]
        if seen[0] == seen[1] and leads[0].place:
            words = [f"{s} {printable(lead.version, 80)}" for s, lead in zip((a, b), leads, strict=True)]
            return (
                f"{words[0]} and {words[1]} always meet and cannot be told apart",
                f"calls of {words[0]} that meet another version of {b}, or the reverse",
            )
    close = candidates[0].score - candidates[1].score < weights.TIED
    if close and all(lead.finding.signal != "trace" for lead in leads):
        return f"{a} and {b} cannot be told apart", f"traces of calls through {a} and {b}"
    return None


def _nothing_stands_out(state: str, calls: CallShift, *, changed: bool) -> Answer:
    """Calls may be slower all the same: then by what slows everything, and that no trace shows, or they are too few."""
    slow = calls.ratio >= weights.SLOWER_RATIO and calls.added_ns >= weights.SLOWER_NS
    if not (slow and calls.z >= weights.SLOWER_Z) and not (changed and _is_much_worse(calls)):
        return Answer("no_anomaly", f"{state}; nothing rises above noise", ())
    if min(calls.before.n, calls.after.n) < weights.FEW_CALLS:
        needed = f"more calls: {calls.before.n:,} and {calls.after.n:,} are too few to say which part of them is worse"
    else:
        needed = "metrics of the hosts (CPU, throttling): everything became slower alike"
    return Answer("undetermined", f"{state}; no part stands out", (needed,))


def _is_much_worse(calls: CallShift) -> bool:
    failing = calls.failed_after / max(calls.after.n, 1) - calls.failed_before / max(calls.before.n, 1)
    slower = calls.ratio >= weights.CHANGED_RATIO and calls.added_ns >= weights.SLOWER_NS
    return slower or failing >= weights.CHANGED_FAILING


def state_of(service: str, calls: CallShift, untraced: str | None) -> str:
    """Say how calls of the service were. untraced: what is said of its requests elsewhere, for where no trace shows them."""
    if calls.before.n or calls.after.n:
        return f"{printable(service, 80)} {_traced_state(calls)}"
    return (
        f"{printable(service, 80)} {untraced or 'has no traced calls'}"
        if service
        else untraced or "no traced calls"
    )


def _traced_state(calls: CallShift) -> str:
    after, before = calls.after, calls.before
    if not after.n:
        return f"was not called (before: {before.n:,} calls)"
    if not before.n:
        return f"calls take {duration(after.mean_ns)} in the mean ({after.n:,} calls), with none before to compare"
    text = (
        f"calls take {duration(after.mean_ns)} in the mean, {duration(before.mean_ns)} before "
        f"({after.n:,} and {before.n:,} calls)"
    )
    if calls.failed_after or calls.failed_before:
        text += f", {share(calls.failed_after, after.n)} fail, {share(calls.failed_before, before.n)} before"
    return text
