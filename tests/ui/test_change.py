"""Tables of a change: what blocks first, masked and escaped, and the same said in plain text."""

from opslib.core.outcome import Outcome
from opslib.core.plan import Plan, Step
from opslib.kube import Ref
from opslib.manifests import Flaw, SetPlan
from opslib.manifests.diff import FieldChange
from opslib.manifests.entries import Entry
from opslib.manifests.health import Health
from opslib.manifests.rollouts import Revision
from opslib.manifests.serving import Serving, Smoke
from opslib.manifests.trouble import Trouble
from opslib.manifests.waiting import Cause, Progress, Rollout
from opslib.ui.change import flaws_table, history_table, plan_table, rollouts_table, serving_table

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


def planned(*entries: Entry) -> SetPlan:
    steps = tuple(Step(e.action, e.ref.identity, {"body": {}}, {"absent": True}) for e in entries)
    return SetPlan(Plan("prod", "uid", steps), entries, Ref("v1", "Secret", "shop", "opslib-release-x"))


CHANGES = tuple(FieldChange(("spec", f"field-{n}"), n, EVIL) for n in range(6))


def test_a_plan_shows_what_forbids_it_first_and_no_token_then() -> None:
    change = Entry("change", REF, changes=CHANGES, drift=CHANGES[:1], notes=("a note",))
    fields = tuple((f".spec.f{n}", "kubectl") for n in range(6))
    conflict = Entry("conflict", REF, foreign=fields, reason="Apply failed with 6 conflicts")
    free, blocked = plan_table(planned(change)), plan_table(planned(change, conflict))
    html = html_of(blocked)

    assert planned(change).plan.token in str(free)
    assert "token" not in str(blocked)
    assert "cannot be applied" in str(blocked)
    assert html.index("conflict</span>") < html.index("change</span>")
    assert "kubectl owns .spec.f0, .spec.f1, .spec.f2, .spec.f3 and 2 more" in html
    assert "2 more fields" in html
    assert "changed by others since" in html
    assert "nothing to do" in str(plan_table(planned()))


def test_a_rollout_that_failed_shows_why() -> None:
    trouble = Trouble("p-1", "payment", "CrashLoopBackOff", EVIL, final=True, restarts=2, exit_code=3)
    cause = Cause(trouble, ("BackOff (4x): restarting",), ("no LEDGER_URL",))
    progress = Progress(REF, 3, 2, 1, 0, Health("progressing", "1 of 2"))
    found = [
        Rollout(REF, "failed", "CrashLoopBackOff", 4.0, progress, (cause,)),
        Rollout(REF, "complete", "2 of 2", 2.0),
    ]
    html = html_of(rollouts_table(found))

    assert "1 of 2 workloads" in html
    for words in ("exit code 3", "BackOff (4x)", "no LEDGER_URL", "failed after 4 s"):
        assert words in html


def test_history_and_services() -> None:
    revisions = [
        Revision(2, "2026", EVIL, ("r/p:2",), 2, 1, current=True),
        Revision(1, "2025", "", ("r/p:1",), 0, 0, current=False),
    ]
    service = Ref("v1", "Service", "shop", "payment")
    services = [Serving(service, Outcome.FAIL, "none of its ready addresses is a new pod")]
    calls = [Smoke("http://x/readyz", "shop.example", Outcome.NO_DATA, "not reachable from here")]

    assert "1 of 2 ready" in html_of(history_table(revisions))
    assert "1 of 2 Services and calls failed" in html_of(serving_table(services, calls))
    assert "lead to the new pods" in html_of(serving_table([]))
