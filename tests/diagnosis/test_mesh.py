"""A mesh's metrics without traces: the version, the service or the way that is to blame, and no request counted twice."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from diagnosis_mesh import SCRAPE_S, Trouble, mesh_rows
from diagnosis_shop import BASELINE, INCIDENT, Fault, S, evidence, shop

from opslib.core.windows import Windows
from opslib.diagnosis import diagnose, workloads_in
from opslib.diagnosis.mesh import read_mesh
from opslib.diagnosis.mesh_samples import increases

WINDOWS = Windows(INCIDENT, BASELINE)
ROLLED = {"payment": 0.3}


def verdict(rows, service="order", **more):
    return diagnose(evidence(shop(1, 0, 0), metrics=rows, **more), service).verdict


def blamed(found):
    first = found.candidates[0]
    return found.verdict, first.service, first.edge, [(i.attribute, i.value) for i in found.scope]


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (Trouble(v2=ROLLED, work_v2={"payment": 60}), "payment"),
        (Trouble(v2=ROLLED, fail_v2={"payment": 0.2}), "payment"),
        (Trouble(v2=ROLLED, work_v2={"payment": 60}, reset_at=5), "payment"),
        (Trouble(v2={"order": 0.5, "payment": 0.4, "risk": 0.3}, work_v2={"risk": 80}), "risk"),
        (Trouble(v2={"order": 0.5, "payment": 0.4, "risk": 0.3}, fail_v2={"risk": 0.2}), "risk"),
        (
            Trouble(v2={"order": 0.3, "payment": 0.3, "risk": 0.3}, work_v2={"payment": 80}, lane=True),
            "payment",
        ),
        (Trouble(v2={"order": 0.3, "risk": 0.4}, heavy_v2={"order": 60}), "order"),
        (Trouble(v2={"payment": 1.0}, work_v2={"payment": 60}), "payment"),
    ],
    ids=[
        "slower",
        "fails",
        "reset",
        "of three rollouts",
        "of three that fails",
        "lane",
        "asks more",
        "complete",
    ],
)
def test_the_version_that_does_worse_is_blamed(trouble, expected):
    found = verdict(mesh_rows(trouble, rps=12))

    assert blamed(found) == ("release", expected, None, [("version", "v2")])
    assert found.candidates[0].confidence == "high"
    assert {f.signal for c in found.candidates for f in c.evidence} == {"metric"}


def test_a_caller_whose_version_asks_for_more_is_blamed_when_the_callee_is_asked_about():
    found = verdict(mesh_rows(Trouble(v2={"order": 0.3}, heavy_v2={"order": 60}), rps=12), "payment")

    assert blamed(found)[:2] == ("release", "order")
    assert "waiting order -> payment" in found.summary


def test_slow_requests_meet_the_blamed_version_and_others_do_not():
    found = verdict(mesh_rows(Trouble(v2=ROLLED, work_v2={"payment": 150}), rps=12))

    (item,) = found.scope
    assert item.share_slow > 0.9
    assert item.share_normal < 0.3
    assert re.search(r"order requests take [\d.]+ ms in the mean, [\d.]+ ms before", found.summary)


def test_what_only_the_callers_see_is_the_way_between():
    found = verdict(mesh_rows(Trouble(way={("order", "payment"): 120}), rps=12), "payment")

    assert blamed(found) == ("edge", "payment", ("order", "payment"), [])


def test_requests_that_never_arrive_are_charged_to_the_way():
    found = verdict(mesh_rows(Trouble(way_fails={("payment", "risk"): 0.2}), rps=12))

    assert blamed(found) == ("edge", "risk", ("payment", "risk"), [])
    assert "errors begin on the way payment -> risk" in found.summary


def test_work_that_all_versions_do_more_of_is_the_services_own():
    found = verdict(mesh_rows(Trouble(v2={"risk": 0.4}, work={"risk": 80}), rps=12))

    assert blamed(found) == ("service", "risk", None, [])


def test_versions_that_always_meet_cannot_be_told_apart_on_the_way_between_them():
    trouble = Trouble(v2={"order": 0.4, "payment": 0.4}, way_v2={("order", "payment"): 120}, lane=True)

    found = verdict(mesh_rows(trouble, rps=12))

    assert found.verdict == "undetermined"
    assert "always meet" in found.summary
    assert found.missing == ("calls of payment v2 that meet another version of order, or the reverse",)


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(),
        Trouble(v2={"order": 0.5, "payment": 0.3}),
        Trouble(v2=ROLLED, work_v2={"payment": 60}, before=True),
    ],
    ids=["steady", "rolled out well", "as bad before"],
)
def test_what_is_as_before_is_no_anomaly(trouble):
    assert verdict(mesh_rows(trouble, rps=12)).verdict == "no_anomaly"


@pytest.mark.parametrize("left_out", ["_bucket", '"reporter": "source"', '"reporter": "destination"'])
def test_without_buckets_or_one_of_the_proxies_versions_are_still_told_apart(left_out):
    rows = mesh_rows(Trouble(v2=ROLLED, work_v2={"payment": 60}), rps=12)
    kept = rows[~(rows["name"] + rows["labels"]).str.contains(left_out)]

    assert blamed(verdict(kept)) == ("release", "payment", None, [("version", "v2")])


def test_both_proxies_report_a_request_and_it_counts_once():
    rows = mesh_rows(Trouble(), rps=12)
    by_proxy = [rows[rows["labels"].str.contains(f'"reporter": "{r}"')] for r in ("source", "destination")]

    counted = [read_mesh(r, WINDOWS).into(0, "payment").n for r in (rows, *by_proxy)]

    assert len(set(counted)) == 1
    assert f"({counted[0]:,} and" in verdict(rows, "payment").summary


def test_the_order_of_rows_does_not_show():
    rows = mesh_rows(Trouble(v2={"payment": 0.3, "risk": 0.3}, work_v2={"payment": 60}), rps=6)
    shuffled = rows.sample(frac=1.0, random_state=7)

    assert json.dumps(verdict(rows).to_dict()) == json.dumps(verdict(shuffled).to_dict())


def test_where_spans_tell_no_version_the_mesh_does():
    spans = shop(3, 120, 120, Fault(payment_ms=40))
    rows = mesh_rows(Trouble(v2=ROLLED, work_v2={"payment": 120}), rps=12)

    untold = diagnose(evidence(spans.assign(service_version=None), metrics=rows), "payment").verdict
    told = diagnose(evidence(spans, metrics=rows), "payment").verdict

    assert (untold.verdict, untold.candidates[0].service) == ("release", "payment")
    assert (told.verdict, told.candidates[0].service) == ("service", "payment")
    supporting = [f.statement for f in told.candidates[0].evidence if f.signal == "metric"]
    assert any("own work rose" in statement for statement in supporting)


def counter(values, *, reporter="destination", start=BASELINE.start_ns, **labels):
    told = {
        "reporter": reporter,
        "source_workload": "a",
        "destination_workload": "b",
        "response_code": "200",
        **labels,
    }
    rows = [
        (start + i * SCRAPE_S * S, "istio_requests_total", float(v), json.dumps(told))
        for i, v in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["time_unix_nano", "name", "value", "labels"])


def test_counters_start_from_zero_after_a_reset_and_at_birth_and_not_between_windows():
    steady = counter([10, 12, 14, 16])
    reset = counter([50, 55, 3, 4], response_code="404")
    born = counter([7, 9], start=BASELINE.start_ns + 2 * SCRAPE_S * S, response_code="500")
    later = counter([900, 901], start=INCIDENT.start_ns)

    found = increases(pd.concat([steady, reset, born, later], ignore_index=True), WINDOWS)

    by_code = found.assign(code=found["origin"].str.extract(r'"response_code": "(\d+)"')[0])
    sums = by_code.groupby(["window", "code"])["value"].sum().to_dict()
    assert sums == {(1, "200"): 6.0, (1, "404"): 9.0, (1, "500"): 9.0, (0, "200"): 1.0}
    assert set(found.loc[found["failed"], "value"]) == {7.0, 2.0}


def test_hostile_labels_are_passed_over():
    rows = counter([1, 2, 3])
    odd = [None, "", "[]", "{", '{"reporter": "waypoint"}', '{"reporter": "source"}', "[" * 100_000]
    hostile = pd.concat([counter([1, 2]).assign(labels=text) for text in odd], ignore_index=True)
    nan = counter([np.nan, np.inf], response_code="503")

    found = read_mesh(pd.concat([rows, hostile, nan], ignore_index=True), WINDOWS)

    assert found.between(1, "destination", "a", "b").n == 2
    assert workloads_in(hostile) == set()
    assert workloads_in(rows) == {"a", "b"}
