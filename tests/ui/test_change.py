"""Tables of a change: what blocks first, masked and escaped, and the same said in plain text."""

from pathlib import Path

import pytest

from opslib.core.outcome import Outcome
from opslib.core.plan import Plan, Step
from opslib.kube import Ref
from opslib.manifests import Change, Flaw, Planned, SetPlan
from opslib.manifests.diff import FieldChange
from opslib.manifests.entries import Entry
from opslib.manifests.rollouts import Revision
from opslib.manifests.scaling import Reason, Scaling, Size
from opslib.ui.change import (
    flaws_table,
    history_table,
    plan_table,
    rollouts_table,
    scaling_table,
    serving_table,
)
from opslib.ui.changed import change_conclusion

EVIL = "<script>alert(1)</script>"
REF = Ref("apps/v1", "Deployment", "shop", "payment")


def html_of(table) -> str:
    html = table._repr_html_()
    assert "<script>" not in html
    return html


def test_flaws_say_what_and_how_to_mend_it() -> None:
    flaw = Flaw("image-latest", "error", REF, f"a.yaml:3{EVIL}", EVIL, "name a version")
    table = flaws_table([flaw])

    assert "1 findings, 1 of them errors" in str(table)
    assert "name a version" in html_of(table)
    assert "Nothing is wrong" in html_of(flaws_table([]))


def planned(*entries: Entry, blocked: str = "", **shown) -> Planned:
    steps = tuple(Step(e.action, e.ref.identity, {"body": {}}, {"absent": True}) for e in entries)
    plan = Plan("prod", "uid", steps, shown)
    found = SetPlan(plan, entries, Ref("v1", "Secret", "shop", "opslib-release-x"))
    return Planned("prod", None, None, plan, "release x", 60, blocked, entries=None if shown else found)


CHANGES = tuple(FieldChange(("spec", f"field-{n}"), n, EVIL) for n in range(6))


def test_a_plan_shows_what_forbids_it_first_and_no_token_then() -> None:
    change = Entry("change", REF, changes=CHANGES, drift=CHANGES[:1], notes=("a note",))
    fields = tuple((f".spec.f{n}", "kubectl") for n in range(6))
    conflict = Entry("conflict", REF, foreign=fields, reason="Apply failed with 6 conflicts")
    free, blocked = plan_table(planned(change)), plan_table(planned(change, conflict, blocked="it is"))
    html = html_of(blocked)

    assert planned(change).plan.token in str(free)
    assert "token" not in str(blocked)
    assert "cannot be applied" in str(blocked)
    assert html.index("conflict</span>") < html.index("change</span>")
    assert "kubectl owns .spec.f0, .spec.f1, .spec.f2, .spec.f3 and 2 more" in html
    assert "2 more fields" in html
    assert "changed by others since" in html
    assert "nothing to do" in str(plan_table(planned()))


def test_scaling_names_each_autoscaler_that_is_held_and_sizes_beside_what_is_there() -> None:
    reason = Reason("FailedGetResourceMetric", EVIL, "set requests")
    size = Size("web", {"cpu": "23m", "memory": "46Mi"}, {"memory": "46Mi"}, 1, "1 samples")
    found = Scaling(REF, ("hpa", "well"), (("hpa", reason),), (size,), {"web": {"requests": {"cpu": "1"}}})
    table = scaling_table(found)

    assert "1 of 2 autoscalers do not scale" in str(table)
    assert "set requests" in html_of(table)
    assert (
        "requests cpu 23m (has 1); requests memory 46Mi (has none); limits memory 46Mi (has none)"
        in html_of(table)
    )
    unseen = scaling_table(Scaling(REF, (), (), (), {}, "no use can be seen"))
    assert "No autoscaler scales" in str(unseen)
    assert "no use can be seen" in html_of(unseen)


def test_an_order_is_a_sentence_with_what_to_know_before() -> None:
    table = plan_table(planned(Entry("change", REF), warnings=["Argo CD may put it back"]))

    assert "Argo CD may put it back" in html_of(table)
    assert "its token is" in str(table)


CAUSE = {
    "text": f"p-1 payment: CrashLoopBackOff, exit code 3{EVIL}",
    "events": ["BackOff (4x): restarting"],
    "log": ["no LEDGER_URL"],
}
FAILED = {
    "object": str(REF),
    "ending": "failed",
    "reason": "CrashLoopBackOff",
    "seconds": 4.0,
    "revision": 3,
    "causes": [CAUSE],
}
WELL = {**FAILED, "ending": "complete", "reason": "2 of 2", "causes": []}


def changed(outcome: Outcome = Outcome.ROLLED_BACK, **details) -> Change:
    return Change(Path("runs/r-1"), outcome, f"rolled back, because{EVIL}", details)


def test_a_rollout_that_failed_shows_why() -> None:
    html = html_of(rollouts_table(changed(rollouts=[FAILED, WELL])))

    assert "1 of 2 workloads" in html
    for words in ("exit code 3", "BackOff (4x)", "no LEDGER_URL", "failed after 4 s"):
        assert words in html
    assert "1 of 1 workloads" in str(rollouts_table(changed(rollout=WELL)))
    assert "nothing to verify" in str(rollouts_table(None))
    assert "No workload" in str(rollouts_table(changed()))


def test_history_and_services() -> None:
    revisions = [
        Revision(2, "2026", EVIL, ("r/p:2",), 2, 1, current=True),
        Revision(1, "2025", "", ("r/p:1",), 0, 0, current=False),
    ]
    served = [
        {"service": "Service shop/payment", "outcome": "fail", "reason": "none of its addresses is a new pod"}
    ]
    calls = [{"url": "http://x/readyz", "outcome": "no_data", "reason": "not reachable from here"}]

    assert "1 of 2 ready" in html_of(history_table(revisions))
    assert "1 of 2 Services and calls failed" in html_of(serving_table(changed(serving=served, calls=calls)))
    assert "lead to the new pods" in html_of(serving_table(changed(calls=calls)))
    assert "No Service" in html_of(serving_table(None))


@pytest.mark.parametrize(
    ("plan", "change", "outcome", "words"),
    [
        (planned(Entry("change", REF)), None, "planned", "--approve"),
        (
            planned(Entry("change", REF), blocked="Deployment shop/payment: privileged"),
            None,
            "fail",
            "privileged",
        ),
        (planned(), None, "pass", "nothing to do"),
        (planned(), changed(Outcome.PASS), "pass", "it is done"),
        (planned(), changed(rollouts=[FAILED]), "rolled_back", "no LEDGER_URL"),
        (planned(), changed(Outcome.ROLLBACK_FAILED), "rollback_failed", "opslib runs rollback r-1"),
        (planned(), changed(Outcome.ERROR), "error", "opslib runs rollback r-1"),
        (planned(), changed(Outcome.REFUSED, hint="plan again, please"), "refused", "plan again, please"),
    ],
)
def test_the_conclusion_says_how_it_ended_and_what_to_do(plan, change, outcome, words) -> None:
    concluded = change_conclusion(plan, change)
    html = html_of(concluded)

    assert concluded.result["outcome"] == outcome
    assert concluded.result["verdict"] is None
    assert words in html
    assert words in str(concluded)
