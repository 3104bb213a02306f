"""Same evidence, same bytes: any order, any cut into blocks, any hash seed; and names mean nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from diagnosis_shop import Fault, evidence, shop
from hypothesis import given, settings
from hypothesis import strategies as st

from opslib.diagnosis import diagnose

FAULTS = [
    Fault(),
    Fault(edge_ms=80),
    Fault(ledger_ms=200, ledger_share=0.5),
    Fault(payment_error=0.3, skew_ms=500),
    Fault(release=0.5, release_ms=40, bad_pod_ms=50),
    Fault(risk_ms=60, tenant="blue", retry_share=0.3),
]
DATA = [shop(20 + i, 40, 45, fault) for i, fault in enumerate(FAULTS)]


def verdict(data, service="payment", **more):
    return json.dumps(diagnose(evidence(data, **more), service).verdict.to_dict())


@given(
    st.integers(0, len(FAULTS) - 1),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["payment", None]),
)
@settings(max_examples=15, deadline=None)
def test_order_and_cut_do_not_show(which, parts, seed, service):
    shuffled = verdict(DATA[which], service, parts=parts, rng=np.random.default_rng(seed))

    assert shuffled == verdict(DATA[which], service)


def test_hash_seeds_do_not_show():
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parents[1])!r}]\n"
        "from diagnosis_shop import *\nfrom opslib.diagnosis import diagnose\nimport json\n"
        "print(json.dumps(diagnose(evidence(shop(3, 30, 30, Fault(edge_ms=50)), parts=3)).verdict.to_dict()))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(answers) == 1


@pytest.mark.parametrize("which", range(len(FAULTS)))
@pytest.mark.parametrize(
    "names",
    [
        {"storefront": "zz-9", "order": 'Łódź "x"', "payment": "a", "risk": "payment", "ledger": "risk"},
        {
            "storefront": "a->b",
            "order": "service order",
            "payment": "mix",
            "risk": "unexplained",
            "ledger": "0",
        },
    ],
)
def test_renaming_gives_the_same_verdict_under_the_renaming(which, names):
    data = DATA[which].copy()
    data["service_name"] = data["service_name"].map(names)
    data["attributes"] = [_renamed(text, names) for text in data["attributes"]]

    found = diagnose(evidence(data), names["payment"]).verdict
    plain = diagnose(evidence(DATA[which]), "payment").verdict

    def rename(name):
        return names.get(name, name)

    assert found.verdict == plain.verdict
    assert [(c.kind, c.service, c.edge, c.score, c.confidence) for c in found.candidates] == [
        (c.kind, rename(c.service), c.edge and tuple(map(rename, c.edge)), c.score, c.confidence)
        for c in plain.candidates
    ]
    assert [s.incident_ns for s in found.budget.segments][:3] == [
        s.incident_ns for s in plain.budget.segments
    ][:3]


def _renamed(text, names):
    if not isinstance(text, str):
        return None
    return json.dumps({k: names.get(v, v) for k, v in json.loads(text).items()})


def test_columns_that_are_missing_read_as_null():
    data = shop(1, 40, 40, Fault(edge_ms=80)).drop(columns=["kind", "status_code", "attributes"])

    found = diagnose(evidence(data), "payment").verdict

    assert (found.verdict, found.candidates[0].edge) == ("edge", ("payment", "risk"))
    assert isinstance(data, pd.DataFrame)
