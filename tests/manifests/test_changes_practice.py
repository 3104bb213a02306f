"""Orders carried out by a driver of its own: to the end, back when they fail, back after the driver was killed."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from cluster_server import Practice, until
from test_rollouts_practice import web

from opslib.core.changes import ASKED_BACK, ASKED_ON, journal_lines, send_intent
from opslib.core.clock import SystemClock
from opslib.core.errors import RefusedError, UsageError
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan
from opslib.core.settings import Environment, Settings
from opslib.kube import Client, Ref, connect_cluster
from opslib.manifests.driven import Change, drive, start_change, watch_change
from opslib.manifests.orders import Order, plan_order
from opslib.manifests.sets import ReleaseSet
from opslib.manifests.waiting import rollout_status
from opslib.manifests.workloads import hash_of, look_at

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SPACE = "changes"
REF = Ref("apps/v1", "Deployment", SPACE, "web")
CLOCK = SystemClock()


def long(value: Any) -> Any:
    """One of many like it: asked in the long run alone."""
    return pytest.param(value, marks=pytest.mark.full)


def phases_of(*names: str) -> list[Any]:
    """Every phase of a change at which its driver is killed; the one right after the write is asked every time."""
    return ["written", *map(long, names)]


def cut_off(folder: Path, phase: str) -> Path:
    """Kill the driver of a change when its journal reaches a phase; return the change's folder."""

    def reached() -> int | None:
        return next((line["pid"] for line in journal_lines(folder) if line["phase"] == phase), None)

    os.kill(until(reached), signal.SIGKILL)
    assert watch_change(folder).outcome in {Outcome.ERROR, Outcome.ROLLED_BACK}
    return folder


class Person:
    """Somebody with an environment, a Namespace of a cluster, and a folder for each change."""

    def __init__(self, practice: Practice, root: Path, space: str) -> None:
        self.root, self.number = root, 0
        (root / "opslib.toml").write_text(
            f'[environments.x]\nkubeconfig = "{practice.kubeconfig}"\nnamespace = "{space}"\n'
        )
        self.settings = Settings(root)
        environment = Environment("x", kubeconfig=str(practice.kubeconfig), namespace=space)
        self.cluster: Client = connect_cluster(environment, self.settings)
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}, manager="t"
        )

    def begin(self, plan: Plan, release: ReleaseSet | None = None) -> Path:
        """Have a plan carried out; return the folder of the change."""
        self.number += 1
        folder = self.root / f"change-{self.number}"
        folder.mkdir()
        start_change(folder, plan, self.settings, environment="x", deadline_s=60, release=release)
        return folder


class Operator(Person):
    """Somebody who gives orders to one Deployment."""

    def __init__(self, practice: Practice, root: Path) -> None:
        super().__init__(practice, root, SPACE)
        body = web()
        body["metadata"]["namespace"] = SPACE
        self.cluster.apply(body, manager="opslib")
        assert rollout_status(self.cluster, REF, CLOCK).ok

    def plan(self, **order: Any):
        return plan_order(self.cluster, REF, Order(**order), environment="x", clock=CLOCK)

    def carried_out(self, **order: Any) -> Change:
        return watch_change(self.begin(self.plan(**order)))

    @property
    def image(self) -> str:
        return self.cluster.get(REF)["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture(scope="module")
def operator(practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(practice, tmp_path_factory.mktemp("operator"))


def phases(folder: Path) -> list[str]:
    return [line["phase"] for line in journal_lines(folder) if line["phase"] != "waiting"]


def test_an_order_is_carried_out_and_the_way_back_was_written_first(operator: Operator) -> None:
    change = operator.carried_out(action="set image", image="web:v2")

    assert (change.outcome, operator.image) == (Outcome.PASS, "web:v2")
    assert phases(change.folder) == ["driving", "began", "writing", "written", "finished"]
    back = change.lines[1]["back"]
    assert back["action"] == "undo"
    assert back["template_hash"] in {hash_of(r) for r in look_at(operator.cluster, REF).revisions}
    assert change.details["rollout"]["ending"] == "complete"
    assert operator.carried_out(action="undo").outcome is Outcome.PASS
    assert operator.image == "web:v1"


def test_what_does_not_come_up_is_rolled_back_and_explained(operator: Operator) -> None:
    shown: list[str] = []
    folder = operator.begin(operator.plan(action="set image", image="web:nope"))
    change = watch_change(folder, shown.append)

    assert (change.outcome, operator.image) == (Outcome.ROLLED_BACK, "web:v1")
    assert change.details["rollout"]["seconds"] < 20
    assert "not found" in change.details["rollout"]["causes"][0]["text"]
    assert phases(folder)[-2:] == ["rolling_back", "rolled_back"]
    assert any("new pods ready" in text for text in shown)
    assert rollout_status(operator.cluster, REF, CLOCK).ok


def test_a_plan_for_what_has_changed_since_is_refused(operator: Operator) -> None:
    plan = operator.plan(action="scale", replicas=3)
    assert plan.token == operator.plan(action="scale", replicas=3).token
    assert operator.carried_out(action="pause").outcome is Outcome.PASS
    change = watch_change(operator.begin(plan))

    assert change.outcome is Outcome.REFUSED
    assert "changed since" in change.summary
    assert phases(change.folder) == ["driving", "aborted"]
    assert operator.carried_out(action="resume").outcome is Outcome.PASS


def test_whoever_asks_to_abort_gets_the_way_back(operator: Operator) -> None:
    before = operator.image
    slow = operator.plan(action="set image", image="web:stuck")
    folder = operator.begin(slow)
    send_intent(folder, "abort")
    change = watch_change(folder)

    assert (change.outcome, operator.image) == (Outcome.ROLLED_BACK, before)
    assert "asked to abort" in change.summary or "ErrImagePull" in change.summary


@pytest.mark.parametrize("asked", ["", long(ASKED_ON)])
@pytest.mark.parametrize("phase", phases_of("driving", "began", "writing", "waiting", "rolling_back"))
def test_a_driver_killed_at_any_step_leaves_a_way_back(operator: Operator, phase: str, asked: str) -> None:
    before = operator.image
    folder = cut_off(operator.begin(operator.plan(action="set image", image="web:nope")), phase)
    drive(folder, asked)
    change = until(lambda: (c := watch_change(folder)).outcome is not Outcome.ERROR and c)

    assert change.outcome is Outcome.ROLLED_BACK
    assert operator.image == before
    assert rollout_status(operator.cluster, REF, CLOCK).ok


@pytest.mark.parametrize("phase", phases_of("driving", "began", "writing", "waiting"))
def test_a_driver_killed_at_any_step_is_followed_by_one_that_goes_on(operator: Operator, phase: str) -> None:
    other = "web:v1" if operator.image == "web:v2" else "web:v2"
    folder = cut_off(operator.begin(operator.plan(action="set image", image=other)), phase)
    drive(folder, ASKED_ON)
    change = watch_change(folder)

    assert (change.outcome, operator.image) == (Outcome.PASS, other), change
    assert phases(folder).count("written") == 1 or phase == "writing"


def test_an_order_does_not_go_on_over_somebody_elses_edit_and_still_goes_back(operator: Operator) -> None:
    before = operator.image
    other = "web:v1" if before == "web:v2" else "web:v2"
    folder = cut_off(operator.begin(operator.plan(action="set image", image=other)), "waiting")
    path = "/spec/template/spec/terminationGracePeriodSeconds"
    operator.cluster.patch(REF, [{"op": "add", "path": path, "value": 7}])
    drive(folder, ASKED_ON)
    change = watch_change(folder)

    assert change.outcome is Outcome.REFUSED, change
    assert phases(folder)[-3:] == ["asked_on", "driving", "not_resumed"]
    drive(folder, ASKED_BACK)
    assert watch_change(folder).outcome is Outcome.ROLLED_BACK
    assert operator.image == before


def test_orders_that_make_no_sense_are_refused_before_anything_starts(operator: Operator) -> None:
    for order, error in (
        ({"action": "set image"}, UsageError),
        ({"action": "set image", "image": operator.image}, RefusedError),
        ({"action": "set image", "image": "web:v2", "container": "x"}, UsageError),
        ({"action": "resume"}, RefusedError),
        ({"action": "scale", "replicas": -1}, UsageError),
        ({"action": "explode"}, UsageError),
    ):
        with pytest.raises(error):
            operator.plan(**order)


def test_no_plan_or_journal_holds_a_pod_template(operator: Operator) -> None:
    body = web(env=[{"name": "PASSWORD", "value": "hunter2-hunter2"}])
    body["metadata"]["namespace"] = SPACE
    operator.cluster.apply(body, manager="opslib", force=True)
    assert rollout_status(operator.cluster, REF, CLOCK).ok
    plan = operator.plan(action="undo")
    change = watch_change(operator.begin(plan))

    assert change.outcome is Outcome.PASS
    written = "".join(path.read_text() for path in change.folder.iterdir() if path.is_file())
    assert "hunter2" not in written + json.dumps(plan.to_dict())
