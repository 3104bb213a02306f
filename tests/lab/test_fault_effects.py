"""Every fault on a running lab: its effect lies where the table says, by raw spans; nothing else is in the capture.

Long, because each fault needs calls from before it and under it: run by `make test-full`.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from lab_spans import ledger_ms, spans, starts, table, to_risk_ms, total_ms

from opslib import lab
from opslib.lab.state import Folder
from opslib.telemetry.capture.manifest import read_meta

pytestmark = [pytest.mark.lab, pytest.mark.full]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    state = tmp_path_factory.mktemp("effects") / "state"
    lab.up(state, seed=2)
    yield state
    lab.down(state)


def busiest(state: Path) -> float:
    """The mean use of the busiest process, in cores; one second is too short where a few calls cost most."""
    seconds: list[dict[str, float]] = []
    while len(seconds) < 5:
        shown = lab.status(state).processes
        seconds.append({p.name: p.cpu_cores for p in shown if p.group in ("shop", "helper")})
        most = max(sum(used[name] for used in seconds) / len(seconds) for name in seconds[0])
        if most < 0.5:
            return most
    return most


class Effect:
    """Spans from before a fault and under it."""

    def __init__(self, state: Path, scenario: str) -> None:
        self.state = state
        self.injected = lab.inject(state, scenario)
        self.since_ns = self.injected["since_ns"]
        self.frame = spans(state, self.injected["clean_since_ns"])
        assert busiest(state) < 0.5
        assert self.injected["seconds"] < 30

    def split(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        began = self.frame.trace_id.map(starts(self.frame))
        return self.frame[began < self.since_ns], self.frame[began >= self.since_ns]

    def added(self, there: Callable[[pd.DataFrame], pd.Series], statistic: str) -> tuple[float, float]:
        """What a call of payment, as order waits for it, took more; and how much of that lies there."""
        rows = [
            pd.DataFrame({"call": total_ms(part, "order", "CLIENT"), "there": there(part)}).dropna()
            for part in self.split()
        ]
        # The list of orders is a call of order too, but not one that reaches payment.
        before, under = (part.agg(statistic) for part in rows)
        return under.call - before.call, under.there - before.there


def own_ms(frame: pd.DataFrame) -> pd.Series:
    """What payment does itself, or waits for before it asks anybody."""
    return total_ms(frame, "payment", "SERVER") - total_ms(frame, "payment", "CLIENT").reindex(
        total_ms(frame, "payment", "SERVER").index, fill_value=0.0
    )


def own_or_into_payment_ms(frame: pd.DataFrame) -> pd.Series:
    return own_ms(frame) + total_ms(frame, "order", "CLIENT") - total_ms(frame, "payment", "SERVER")


def between_attempts_ms(frame: pd.DataFrame) -> pd.Series:
    """From the start of the first attempt at risk to the start of the last."""
    edge = frame[(frame.service_name == "payment") & (frame.name == "POST /score")]
    times = edge.groupby("trace_id").start_time_unix_nano
    return (times.max() - times.min()) / 1e6


def risk_or_ledger_ms(frame: pd.DataFrame) -> pd.Series:
    return total_ms(frame, "risk", "SERVER") + ledger_ms(frame)


def wire_to_risk_ms(frame: pd.DataFrame) -> pd.Series:
    return to_risk_ms(frame) - total_ms(frame, "risk", "SERVER")


# Medians where every call is slower, so that what else the machine does shows less; what comes in bursts needs means.
@pytest.mark.parametrize(
    ("scenario", "there", "statistic", "at_least_ms"),
    [
        ("ledger-missing-index", ledger_ms, "median", 15),
        ("pool-exhausted", own_ms, "mean", 30),
        ("retry-storm", between_attempts_ms, "mean", 20),
        ("payment-cpu-starved", own_or_into_payment_ms, "mean", 30),
        ("two-faults", risk_or_ledger_ms, "mean", 60),
        ("clock-skew-edge-delay", wire_to_risk_ms, "median", 30),
    ],
)
def test_the_added_time_lies_where_the_table_says(
    state: Path, scenario: str, there: Callable[[pd.DataFrame], pd.Series], statistic: str, at_least_ms: float
) -> None:
    call, share = Effect(state, scenario).added(there, statistic)

    assert call > at_least_ms
    assert share / call >= 0.8


def test_a_retry_storm_begins_with_failures_of_risk(state: Path) -> None:
    _, under = Effect(state, "retry-storm").split()
    failed = under[under.status_code == "ERROR"]
    attempts = under[(under.service_name == "payment") & (under.name == "POST /score")]
    served = under[under.service_name == "risk"]

    assert 0.3 < (served.status_code == "ERROR").mean() < 0.7
    assert len(attempts) / attempts.trace_id.nunique() > 1.4
    assert set(failed.trace_id) == set(served[served.status_code == "ERROR"].trace_id)


def test_both_of_two_faults_matter(state: Path) -> None:
    before, under = Effect(state, "two-faults").split()
    grown = {
        name: part(under).mean() - part(before).mean()
        for name, part in {"ledger": ledger_ms, "risk": lambda f: total_ms(f, "risk", "SERVER")}.items()
    }

    assert min(grown.values()) > 20


def test_a_call_that_is_skipped_vanishes_with_its_time(state: Path) -> None:
    effect = Effect(state, "early-return")
    before, under = effect.split()
    calls = {
        name: (len(to_risk_ms(part)), len(total_ms(part, "payment", "SERVER")))
        for name, part in (("before", before), ("under", under))
    }

    assert calls["before"][0] >= 0.9 * calls["before"][1]
    assert calls["under"][0] <= 0.1 * calls["under"][1]
    saved = total_ms(before, "payment", "SERVER").median() - total_ms(under, "payment", "SERVER").median()
    assert saved > 0
    assert to_risk_ms(before).median() >= 0.8 * saved


def test_the_loud_service_has_nothing_to_do_with_it(state: Path) -> None:
    effect = Effect(state, "red-herring")
    call, there = effect.added(ledger_ms, "mean")
    _, under = effect.split()
    logs = table(state, "logs")
    errors = logs[(logs.time_unix_nano >= effect.since_ns) & (logs.severity_text == "ERROR")]

    assert call > 30
    assert there / call >= 0.8
    assert len(errors) > 100
    assert set(errors.service_name) == {"storefront"}
    assert not set(errors.trace_id) & set(total_ms(under, "payment", "SERVER").index)


def test_only_one_tenant_waits(state: Path) -> None:
    before, under = Effect(state, "slow-only-for-one-tenant").split()

    def by_tenant(frame: pd.DataFrame) -> pd.Series:
        risk = frame[frame.service_name == "risk"]
        tenant = risk.attributes.map(lambda text: json.loads(text)["tenant.id"])
        return risk.groupby(tenant).ms.sum()

    calls = len(total_ms(under, "payment", "SERVER")) / len(total_ms(before, "payment", "SERVER"))
    grown = by_tenant(under) - by_tenant(before) * calls
    assert grown["initech"] / grown.clip(lower=0).sum() >= 0.8
    whole = total_ms(under, "order", "CLIENT").sum() - total_ms(before, "order", "CLIENT").sum() * calls
    assert grown["initech"] / whole >= 0.8


def test_only_the_new_release_is_slow_and_fails(state: Path) -> None:
    effect = Effect(state, "bad-release")
    before, under = effect.split()
    mine = under[(under.service_name == "payment") & (under.kind == "SERVER")].set_index("trace_id")
    own = own_ms(under) - own_ms(before).median()
    newer = own.index.map(mine.service_version) == "1.5.0"
    events = table(state, "events").sort_values("time_unix_nano")
    rollout = events[events.type == "Change"].iloc[-1]

    assert set(before[before.service_name == "payment"].service_version) == {"1.4.0"}
    assert 0.15 < newer.mean() < 0.65
    assert own[newer].clip(lower=0).sum() / own.clip(lower=0).sum() >= 0.8
    assert set(mine[mine.status_code == "ERROR"].service_version) <= {"1.5.0"}
    assert (rollout["type"], rollout["reason"], rollout["name"]) == ("Change", "Rollout", "payment")
    assert (
        json.loads(rollout["attributes"])["pods"]
        == mine[mine.service_version == "1.5.0"].k8s_pod_name.unique()
    )


def test_the_end_of_a_release_is_an_event_too(state: Path) -> None:
    lab.inject(state, "bad-release")
    lab.clear(state)
    lab.inject(state, "healthy")
    events = table(state, "events").sort_values("time_unix_nano")

    assert json.loads(events[events.type == "Change"].iloc[-1].attributes)["to"] == "1.4.0"
    assert not [p for p in lab.status(state).processes if "canary" in p.name and p.state == "ready"]


def test_a_silent_service_sends_no_spans_before_or_after(state: Path) -> None:
    effect = Effect(state, "uninstrumented")
    call, there = effect.added(to_risk_ms, "median")
    logs = table(state, "logs")

    assert "risk" not in set(effect.frame.service_name)
    assert call > 20
    assert there / call >= 0.8
    assert (logs[logs.time_unix_nano >= effect.since_ns].service_name == "risk").sum() >= 30


def test_a_tail_sampler_keeps_only_slow_traces_and_states_it(state: Path) -> None:
    effect = Effect(state, "tail-sampled")
    before, under = effect.split()
    call, there = effect.added(wire_to_risk_ms, "median")
    selection = read_meta(Folder(state).capture).selection
    kept = under[under.start_time_unix_nano > effect.since_ns + 4 * 10**9]
    lengths = kept[kept.parent_span_id.isna()].ms

    assert "slower than 60 ms" in selection["incident"]
    assert selection["baseline"] == "all"
    assert there / call >= 0.8
    assert lengths.min() > 60
    assert (before[before.parent_span_id.isna()].name == "GET /").mean() > 0.3
    lab.inject(state, "healthy")
    assert read_meta(Folder(state).capture).selection == {"incident": "all", "baseline": "all"}


def ahead_ms(frame: pd.DataFrame) -> float:
    """How far the spans of risk start after the calls of payment that they answer."""
    edge = frame[(frame.service_name == "payment") & (frame.name == "POST /score")]
    served = frame[frame.service_name == "risk"].set_index("parent_span_id").start_time_unix_nano
    return float((edge.span_id.map(served) - edge.start_time_unix_nano).median() / 1e6)


def test_a_clock_that_is_off_moves_spans_and_slows_nobody(state: Path) -> None:
    effect = Effect(state, "clock-skew")
    before, under = effect.split()
    call, _ = effect.added(to_risk_ms, "median")

    assert ahead_ms(before) < 100
    assert 1900 < ahead_ms(under) < 2100
    assert abs(call) < 20


def test_a_clock_that_is_off_all_the_time_is_so_before_the_fault(state: Path) -> None:
    before, under = Effect(state, "clock-skew-edge-delay").split()

    assert min(ahead_ms(before), ahead_ms(under)) > 1900


def test_nothing_is_known_from_before_a_cold_start(state: Path) -> None:
    effect = Effect(state, "cold-start")
    everything = spans(state, 0)
    risk = total_ms(everything, "risk", "SERVER")

    assert everything.start_time_unix_nano.min() >= effect.since_ns - 10**9
    assert table(state, "logs").time_unix_nano.min() >= effect.since_ns - 10**9
    assert effect.injected["calls_before"] == 0
    assert risk.median() > 35


def test_no_name_of_a_scenario_reaches_the_capture(state: Path) -> None:
    words = [name for name in lab.scenario_names() if name != "healthy"]
    frames = [table(state, name) for name in ("spans", "logs", "metrics", "events")]
    texts = [str(value) for frame in frames for column in frame for value in frame[column].unique()]

    assert not [text for text in texts if any(word in text for word in words)]
