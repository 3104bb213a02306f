"""Each kind of trouble that a shop can be in, three seeds each: the right answer, or none, and never a sure wrong one."""

import dataclasses

import pandas as pd
import pytest
from diagnosis_shop import BASELINE, INCIDENT, Fault, evidence, loud_logs, pool_metrics, shop

from opslib.core.windows import Windows
from opslib.diagnosis import diagnose
from opslib.diagnosis.attributes import sample_of

SEEDS = (1, 2, 3)
seeds = pytest.mark.parametrize("seed", SEEDS)
FEW, MANY = (40, 40), (120, 120)
BAD_RELEASE = Fault(release=0.4, release_ms=40, release_error=0.02)


def verdict(fault, seed, calls=MANY, *, service="payment", healthy=None, **more):
    data = shop(seed, *calls, fault, healthy_fault=healthy)
    return diagnose(evidence(data, **more), service).verdict


def first(found):
    return found.verdict, found.candidates[0].service


def sure(found):
    return {c.service for c in found.candidates if c.confidence != "low"}


@seeds
@pytest.mark.parametrize("calls", [FEW, MANY])
@pytest.mark.parametrize(
    ("fault", "kind", "service"),
    [
        (Fault(ledger_ms=40), "dependency", "ledger"),  # a missing index: every call, not in bursts
        (Fault(retry_share=0.5), "service", "risk"),
        (Fault(starved=12), "service", "payment"),
        (Fault(risk_skip=1.0), "service", "payment"),
        (Fault(risk_skip=0.5), "service", "payment"),
    ],
    ids=["missing-index", "retry-storm", "starved", "early-return", "early-return-of-some"],
)
def test_the_cause_is_named(fault, kind, service, calls, seed):
    assert first(verdict(fault, seed, calls)) == (kind, service)


@seeds
def test_skipping_a_callee_is_faster_and_still_an_anomaly(seed):
    found = verdict(Fault(risk_skip=1.0), seed)

    assert found.budget.total.delta_ns < 0
    assert found.verdict == "service"
    assert found.scope == ()


@seeds
def test_a_full_pool_is_named_in_the_evidence_of_who_waits(seed):
    found = verdict(Fault(payment_ms=60), seed, metrics=pool_metrics((0.01, 60.0)))

    assert first(found) == ("service", "payment")
    named = [f for f in found.candidates[0].evidence if "pool books" in f.statement]
    assert [(f.signal, f.unit) for f in named] == [("metric", "s")]
    assert named[0].value > 100 * named[0].baseline


@seeds
def test_a_full_pool_alone_accuses_nobody(seed):
    assert verdict(Fault(), seed, metrics=pool_metrics((0.01, 60.0))).verdict == "no_anomaly"


@seeds
@pytest.mark.parametrize("calls", [(60, 60), MANY])
def test_a_bad_release_is_told_from_its_other_version(calls, seed):
    found = verdict(BAD_RELEASE, seed, calls)

    assert first(found) == ("release", "payment")
    assert (found.scope[0].attribute, found.scope[0].value) == ("version", "2.0")
    assert found.scope[0].share_slow > 0.6 > found.scope[0].share_normal
    assert "version 2.0" in found.summary


def test_a_blamed_release_is_the_scope_also_where_few_calls_are_slow():
    found = verdict(Fault(release=0.4, release_error=0.3), 3, (30, 30))

    assert first(found) == ("release", "payment")
    (only,) = found.scope
    assert (only.attribute, only.value, only.share_slow > only.share_normal) == ("version", "2.0", True)


@seeds
def test_of_two_rollouts_at_once_the_one_that_does_worse_is_blamed(seed):
    found = verdict(dataclasses.replace(BAD_RELEASE, risk_release=0.5), seed)

    assert first(found) == ("release", "payment")
    assert found.scope[0].value == "2.0"
    assert "risk" not in sure(found)


@seeds
def test_a_rollout_beside_a_fault_elsewhere_is_not_blamed(seed):
    found = verdict(Fault(edge_ms=80, release=0.5, risk_release=0.5), seed)

    assert (found.verdict, found.candidates[0].edge) == ("edge", ("payment", "risk"))


@seeds
def test_a_complete_rollout_is_blamed_for_what_its_service_does_since(seed):
    found = verdict(Fault(release=1.0, release_ms=40, risk_release=1.0), seed)

    assert first(found) == ("release", "payment")
    assert "from version 1.0 to 2.0" in found.candidates[0].evidence[0].statement
    assert found.scope[0].attribute == "version"


@seeds
def test_two_harmless_rollouts_are_no_anomaly(seed):
    assert verdict(Fault(release=0.5, risk_release=0.3), seed).verdict == "no_anomaly"


@seeds
def test_versions_that_always_meet_cannot_be_told_apart(seed):
    data = shop(seed, *MANY, Fault(release=0.4))
    new = set(data.loc[data["service_version"] == "2.0", "trace_id"])
    both = data["trace_id"].isin(new)
    data.loc[both & (data["service_name"] == "risk"), "service_version"] = "3.0"
    served = both & (data["service_name"] == "risk")
    for column, sign in (("start_time_unix_nano", 1), ("end_time_unix_nano", 1)):
        data.loc[served, column] += sign * 40_000_000
    wait = both & (data["attributes"].fillna("").str.contains('"peer.service": "risk"'))
    data.loc[wait, "end_time_unix_nano"] += 80_000_000
    for name in ("payment", "order", "storefront"):
        outer = both & (data["service_name"] == name) & ~wait & (data["name"] != "INSERT ledger")
        data.loc[outer, "end_time_unix_nano"] += 80_000_000

    found = diagnose(evidence(data), "payment").verdict

    assert found.verdict == "undetermined"
    assert {c.service for c in found.candidates[:2]} == {"payment", "risk"}
    assert "cannot be told apart" in found.summary
    assert "another version" in found.missing[0]


@seeds
def test_a_bad_pod_is_named(seed):
    found = verdict(Fault(bad_pod_ms=60), seed)

    assert first(found) == ("service", "risk")
    assert found.candidates[0].pod == "risk-1"
    assert [(s.attribute, s.value) for s in found.scope] == [("pod", "risk-1")]


@seeds
def test_pods_that_are_alike_are_not_named(seed):
    assert verdict(Fault(risk_ms=60), seed).candidates[0].pod is None


@seeds
@pytest.mark.parametrize("calls", [(120, 90), (300, 300)])
def test_one_tenant_alone_is_the_scope(calls, seed):
    found = verdict(Fault(risk_ms=60, tenant="acme"), seed, calls)

    assert first(found) == ("service", "risk")
    assert (found.scope[0].attribute, found.scope[0].value) == ("tenant", "acme")
    assert "region" not in {item.attribute for item in found.scope}


@seeds
def test_what_meets_all_calls_has_no_scope(seed):
    assert verdict(Fault(edge_ms=80), seed).scope == ()


@seeds
@pytest.mark.parametrize("service", ["payment", None])
def test_a_loud_service_is_not_a_slow_one(service, seed):
    data = shop(seed, *MANY, Fault(ledger_ms=200, ledger_share=0.5))
    logs = loud_logs(data, "storefront", "cannot load banner")

    found = diagnose(evidence(data, logs=logs), service).verdict

    assert first(found) == ("dependency", "ledger")
    assert "storefront" not in sure(found)
    if service:
        assert "storefront" not in [c.service for c in found.candidates[:2]]


@seeds
def test_two_faults_lead_the_list(seed):
    found = verdict(Fault(risk_ms=60, ledger_ms=150, ledger_share=0.5), seed)

    assert {c.service for c in found.candidates[:2]} == {"risk", "ledger"}
    assert found.verdict in ("service", "dependency")
    assert {"risk", "ledger"} == sure(found)


@seeds
def test_an_uninstrumented_cause_is_suspected_and_its_spans_are_asked_for(seed):
    silent = Fault(silent_risk=True)
    found = verdict(Fault(silent_risk=True, risk_ms=60), seed, healthy=silent, known=("risk",))

    assert first(found) == ("undetermined", "risk")
    assert found.candidates[0].confidence == "low"
    assert found.missing == ("server spans of risk",)
    assert sure(found) == set()


@seeds
def test_tail_sampled_windows_are_not_compared(seed):
    kept = {"incident": "tail-sampled: slower than 60 ms", "baseline": "all"}
    found = verdict(Fault(edge_ms=80), seed, selection=kept)

    assert found.verdict == "undetermined"
    assert "alike-selected windows" in found.missing[0]
    assert sure(found) == set()


@seeds
@pytest.mark.parametrize("baseline", [None, BASELINE])
def test_a_cold_start_asks_for_a_baseline(baseline, seed):
    found = verdict(Fault(risk_ms=60), seed, (0, 80), windows=Windows(INCIDENT, baseline))

    assert found.verdict == "undetermined"
    assert "baseline" in found.missing[0]
    assert sure(found) == set()


@seeds
def test_a_clock_that_is_off_is_counted_and_blamed_for_nothing(seed):
    found = verdict(Fault(skew_ms=2000), seed)
    delayed = verdict(Fault(skew_ms=2000, edge_ms=80), seed, healthy=Fault(skew_ms=2000))

    assert (found.verdict, found.completeness.skewed > 0) == ("no_anomaly", True)
    assert (delayed.verdict, delayed.candidates[0].edge) == ("edge", ("payment", "risk"))


@seeds
def test_retries_are_counted_as_one_row(seed):
    found = verdict(Fault(retry_share=0.5), seed)
    extra = [w for w in found.completeness.warnings if "retries" in w]

    assert len(extra) == 1
    assert "one row" in extra[0]
    assert not [w for w in verdict(Fault(), seed).completeness.warnings if "retries" in w]


def test_kinds_that_are_absent_are_said_to_be_inferred():
    data = shop(1, 40, 40).assign(kind=None)

    found = diagnose(evidence(data), "payment").verdict

    assert any("no kind" in warning for warning in found.completeness.warnings)


def test_without_traces_equal_suspects_are_not_ranked():
    rows = [
        (t, "latency_p95", 1.0 if t < INCIDENT.start_ns else 30.0, service)
        for t in range(BASELINE.start_ns, INCIDENT.end_ns, 3_000_000_000)
        for service in ("front", "left", "right")
    ]
    metrics = pd.DataFrame(rows, columns=["time_unix_nano", "name", "value", "service_name"])
    topology = pd.DataFrame({"caller": ["front", "front"], "callee": ["left", "right"]})
    nothing = evidence(shop(1, 3, 3), metrics=metrics, topology=topology)

    found = diagnose(dataclasses.replace(nothing, spans=()), "front").verdict

    assert found.verdict == "undetermined"
    assert found.missing == ("traces of calls through left and right",)


@seeds
def test_a_process_that_is_held_up_explains_the_waits_at_its_ends(seed):
    found = verdict(Fault(starved=12), seed)

    assert sure(found) == {"payment"}


@seeds
def test_a_version_that_was_always_slower_is_not_what_changed(seed):
    always = Fault(release=0.4, release_ms=40)
    found = verdict(dataclasses.replace(always, edge_ms=80), seed, healthy=always)

    assert (found.verdict, found.candidates[0].edge) == ("edge", ("payment", "risk"))
    assert not [c for c in found.candidates if c.kind == "release"]


@seeds
def test_of_attributes_that_say_the_same_the_one_to_act_on_leads(seed):
    data = shop(seed, *MANY, Fault(risk_ms=60, tenant="acme"))
    data["attributes"] = data["attributes"].str.replace(
        '"app.tenant": "acme"', '"aa.group": "g7", "app.tenant": "acme"'
    )

    found = diagnose(evidence(data), "payment").verdict

    assert [(s.attribute, s.value) for s in found.scope] == [("tenant", "acme"), ("aa.group", "g7")]


def test_a_sample_of_traces_is_fixed_whatever_their_order():
    traces = pd.Series([f"{number:032x}" for number in range(400)])

    found = sample_of(traces, 50)

    assert len(found) == 50
    assert found == sample_of(traces[::-1], 50)
    assert sample_of(traces, 400) == set(traces)
