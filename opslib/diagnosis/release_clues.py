"""Release blame: the version of a service that does worse than its other version beside it, or that came with the change.

Several rollouts may run at once: each service's versions are compared with each other only, so a rollout of a callee,
which meets all versions of its caller alike, blames nobody but itself. Pods are compared in the same way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from opslib.core.model import Finding
from opslib.core.words import duration, figures, printable
from opslib.diagnosis import weights
from opslib.diagnosis.clues import Clue, saturate
from opslib.diagnosis.cohorts import Difference, place_words
from opslib.diagnosis.compare import Yardstick

MS = 1_000_000


def cohort_clues(found: Iterable[Difference], by: Yardstick) -> list[Clue]:
    """Return for each service its worst version and its worst pod, where they do worse than the others."""
    best: dict[tuple[str, str], list[Clue]] = defaultdict(list)
    for one in found:
        best[one.service, one.dimension] += [c for c in (_slow(one, by), _failing(one, by)) if c is not None]
    return [
        clue
        for key in sorted(best)
        for clue in sorted(best[key], key=lambda c: (-c.strength, c.finding.statement))[:2]
    ]


def _slow(one: Difference, by: Yardstick) -> Clue | None:
    share = one.added_ns / max(by.mean_ns, weights.SMOOTHING_NS)
    large = one.own.mean_ns >= weights.PART_RATIO * one.others.mean_ns and one.added_ns >= weights.SLOWER_NS
    if one.z_time < by.critical or not large or share < weights.PART_SHARE or not one.slower_than_before:
        return None
    floor = weights.SMOOTHING_NS
    growth = math.log((one.own.mean_ns + floor) / (one.others.mean_ns + floor))
    size = saturate(share, weights.HALF_SHARE) * saturate(growth, weights.HALF_LOG_RATIO)
    statement = (
        f"{_who(one)}: {printable(place_words(one), 160)} takes {duration(one.own.mean_ns)}, "
        f"{duration(one.others.mean_ns)} in its other {one.dimension}s at the same time"
    )
    value, base = round(one.own.mean_ns / MS, 6), round(one.others.mean_ns / MS, 6)
    finding = Finding("trace", statement, value, base, "ms", by.source, _query(one))
    return _clue(one, math.sqrt(size), finding)


def _failing(one: Difference, by: Yardstick) -> Clue | None:
    if (
        one.z_errors < by.critical
        or one.failing_more < weights.FAILING_SHARE
        or not one.failing_more_than_before
    ):
        return None
    shares = 100 * one.own.failing, 100 * one.others.failing
    statement = (
        f"{_who(one)}: errors begin there in {figures(shares[0], 2)} % of its calls, {figures(shares[1], 2)} % in "
        f"its other {one.dimension}s at the same time"
    )
    finding = Finding(
        "trace", statement, round(shares[0], 4), round(shares[1], 4), "%", by.source, _query(one)
    )
    return _clue(one, saturate(one.failing_more, weights.HALF_FAILING), finding)


def _who(one: Difference) -> str:
    return f"{printable(one.service, 80)} {one.dimension} {printable(one.value, 80)}"


def _query(one: Difference) -> str:
    return f"spans by {one.dimension} of {printable(one.service, 80)}, {printable(place_words(one), 160)}"


def _clue(one: Difference, strength: float, finding: Finding) -> Clue:
    if one.dimension == "version":
        place = place_words(one) if one.callee else ""
        return Clue(
            "release",
            one.service,
            "release",
            strength,
            finding,
            significant=True,
            version=one.value,
            place=place,
        )
    edge = (one.caller, one.callee) if one.callee else None
    kind = "edge" if edge and one.service == one.callee else "service"
    return Clue("pod", one.service, kind, strength, finding, edge, pod=one.value)  # type: ignore[arg-type]


def rollout_clues(clues: Sequence[Clue], rolled: Mapping[str, tuple[str, str]], source: str) -> list[Clue]:
    """Blame a complete rollout for what its service itself began to do with it; of such there is no other version left."""
    found = []
    for service in sorted(rolled):
        before, after = rolled[service]
        own = [c for c in clues if c.service == service and c.kind == "service" and _by_itself(c)]
        if not own:
            continue
        worst = max(own, key=lambda c: (c.strength, c.finding.statement))
        statement = (
            f"{printable(service, 80)} went from version {printable(before, 80)} to {printable(after, 80)}: "
            f"{worst.finding.statement}"
        )
        finding = Finding(
            "trace", statement, worst.finding.value, worst.finding.baseline, worst.finding.unit, source,
            f"spans by version of {printable(service, 80)}",
        )  # fmt: skip
        found.append(
            Clue("release", service, "release", worst.strength, finding, significant=True, version=after)
        )
    return found


def _by_itself(clue: Clue) -> bool:
    return clue.significant and clue.family in ("time", "errors", "structure")
