"""A set released by a driver of its own: well, or back as it was, wherever and by whatever it is cut off."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_server import Practice, until
from test_changes_practice import Person, cut_off, long, phases, phases_of
from test_rollouts_practice import web

from opslib.core.changes import ASKED_BACK, ASKED_ON
from opslib.core.clock import SystemClock
from opslib.core.outcome import Outcome
from opslib.core.plan import Plan
from opslib.kube import Ref
from opslib.manifests.driven import Change, drive, watch_change
from opslib.manifests.inventory import inventory_ref, read_inventory
from opslib.manifests.leases import locked
from opslib.manifests.sets import ReleaseSet
from opslib.manifests.waiting import rollout_status

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SPACE = "releases"
REF = Ref("apps/v1", "Deployment", SPACE, "web")
CLOCK = SystemClock()
OLD_SECRET, NEW_SECRET = "old-hunter2-old-hunter2", "new-hunter2-new-hunter2"


def bodies(image: str = "web:v1", text: str = "1", secret: str = OLD_SECRET, **more: Any) -> list[dict]:
    deployment = web(image, **more)
    del deployment["metadata"]["namespace"]
    port = {"port": 80, "targetPort": 8080}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"A": text}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"K": secret}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [port]}},
        deployment,
    ]  # fmt: skip


EXTRA = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"B": "2"}}
BAD = [*bodies("web:nope", "2", NEW_SECRET), EXTRA]


class Releaser(Person):
    """Somebody with a set in a file."""

    def __init__(self, practice: Practice, root: Path) -> None:
        super().__init__(practice, root, SPACE)

    def planned(self, wanted: list[dict]):
        path = self.root / "set.yaml"
        path.write_text(yaml.safe_dump_all(wanted))
        release = ReleaseSet("web", (str(path),))
        return release, release.planned(self.cluster, "x").plan.plan

    def start(self, release: ReleaseSet, plan: Plan) -> Path:
        return self.begin(plan, release)

    def released(self, wanted: list[dict]) -> Change:
        return watch_change(self.start(*self.planned(wanted)))

    def state(self) -> dict[str, Any]:
        """What the set is in the cluster: values, images, and who is recorded."""
        kinds = [("v1", "ConfigMap", "cfg"), ("v1", "ConfigMap", "extra"), ("v1", "Secret", "key")]
        found = {name: (self.cluster.get(Ref(v, k, SPACE, name)) or {}).get("data") for v, k, name in kinds}
        template = self.cluster.get(REF)["spec"]["template"]
        recorded = read_inventory(self.cluster, inventory_ref("web", SPACE))
        return {**found, "template": template, "recorded": sorted(map(str, recorded))}


@pytest.fixture(scope="module")
def releaser(practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    made = Releaser(practice, tmp_path_factory.mktemp("releaser"))
    change = made.released(bodies())
    assert change.outcome is Outcome.PASS, change
    return made


def test_a_set_is_released_and_again_changes_nothing(releaser: Releaser) -> None:
    change = releaser.released(bodies("web:v2"))

    assert change.outcome is Outcome.PASS
    assert [r["ending"] for r in change.details["rollouts"]] == ["complete"]
    assert [(s["outcome"], s["new"]) for s in change.details["serving"]] == [("pass", 2)]
    assert "as the set says already" in releaser.released(bodies("web:v2")).summary
    assert releaser.released(bodies()).outcome is Outcome.PASS


def test_a_job_of_the_set_is_waited_for_and_its_failure_is_the_sets(releaser: Releaser) -> None:
    def job(image: str) -> dict:
        spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": image, "command": command}]}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": spec}},
        }

    name, command = "well", [sys.executable, "-c", "print('migrated')"]
    change = releaser.released([*bodies(), job("web:v1")])
    assert change.outcome is Outcome.PASS, change
    assert {"object": f"Job {SPACE}/well", "state": "ready", "reason": "it is complete"} in change.details[
        "health"
    ]
    name, command = "ill", [sys.executable, "-c", "raise SystemExit(3)"]
    change = releaser.released([*bodies(), job("web:v1")])
    assert change.outcome is Outcome.ROLLED_BACK
    assert f"Job {SPACE}/ill" in change.summary
    assert releaser.released(bodies()).outcome is Outcome.PASS


def test_a_changed_config_map_has_a_name_of_its_own_and_the_old_one_stays(releaser: Releaser) -> None:
    source = {"configMapRef": {"name": "cfg"}}
    assert releaser.released(bodies(text="1", envFrom=[source])).outcome is Outcome.PASS
    assert releaser.released(bodies(text="7", envFrom=[source])).outcome is Outcome.PASS
    state = releaser.state()
    (container,) = state["template"]["spec"]["containers"]
    name = container["envFrom"][0]["configMapRef"]["name"]

    assert name != "cfg"
    assert state["cfg"] == {"A": "1"}, "what the old revision reads"
    assert releaser.cluster.get(Ref("v1", "ConfigMap", SPACE, name))["data"] == {"A": "7"}
    assert "as the set says already" in releaser.released(bodies(text="7", envFrom=[source])).summary
    assert releaser.released(bodies()).outcome is Outcome.PASS


def test_what_fails_is_put_back_whole_and_explained(releaser: Releaser) -> None:
    before = releaser.state()
    change = releaser.released(BAD)

    assert change.outcome is Outcome.ROLLED_BACK
    assert releaser.state() == before
    assert before["extra"] is None
    (rollout,) = change.details["rollouts"]
    assert rollout["seconds"] < 20
    assert "not found" in rollout["causes"][0]["text"]
    assert rollout_status(releaser.cluster, REF, CLOCK).ok


def test_no_value_of_a_secret_leaves_the_cluster(releaser: Releaser) -> None:
    release, plan = releaser.planned(BAD)
    folder = releaser.start(release, plan)
    watch_change(folder)
    written = json.dumps(plan.to_dict()) + "".join(p.read_text() for p in folder.iterdir() if p.is_file())

    for value in (OLD_SECRET, NEW_SECRET, "b2xkLWh1bnRlcjI", "bmV3LWh1bnRlcjI"):
        assert value not in written


@pytest.mark.parametrize("asked", ["", long(ASKED_ON)])
@pytest.mark.parametrize(
    "phase", phases_of("driving", "began", "writing", "waiting", "rolling_back", "putting_back")
)
def test_a_driver_killed_at_any_step_leaves_a_way_back(releaser: Releaser, phase: str, asked: str) -> None:
    before = releaser.state()
    folder = cut_off(releaser.start(*releaser.planned(BAD)), phase)
    drive(folder, asked)
    change = until(lambda: (c := watch_change(folder)).outcome is not Outcome.ERROR and c)

    assert change.outcome is Outcome.ROLLED_BACK, change
    assert releaser.state() == before
    assert rollout_status(releaser.cluster, REF, CLOCK).ok
    leases = releaser.cluster.list_objects(releaser.cluster.kind("coordination.k8s.io/v1", "Lease"), SPACE)
    assert not [lease for lease in leases if lease["spec"].get("holderIdentity") == folder.name]


@pytest.mark.parametrize("phase", phases_of("driving", "began", "writing", "waiting"))
def test_a_driver_killed_at_any_step_is_followed_by_one_that_goes_on(releaser: Releaser, phase: str) -> None:
    wanted = [*bodies("web:v2", "2", NEW_SECRET), EXTRA]
    folder = cut_off(releaser.start(*releaser.planned(wanted)), phase)
    drive(folder, ASKED_ON)
    change = watch_change(folder)

    assert change.outcome is Outcome.PASS, change
    assert "as the set says already" in releaser.released(wanted).summary
    assert f"ConfigMap {SPACE}/extra" in releaser.state()["recorded"]
    if phase in {"written", "waiting"}:
        again = [line["object"] for line in change.lines if line["phase"] == "written"]
        assert len(again) == len(set(again)), "what was written is not written again"
    assert releaser.released(bodies()).outcome is Outcome.PASS


def test_after_a_foreign_edit_a_change_does_not_go_on_and_still_goes_back(releaser: Releaser) -> None:
    before = releaser.state()
    folder = cut_off(releaser.start(*releaser.planned(bodies("web:v2", "2"))), "waiting")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg", "namespace": SPACE}}
    releaser.cluster.apply({**config, "data": {"A": "foreign"}}, manager="someone", force=True)
    drive(folder, ASKED_ON)
    change = watch_change(folder)

    assert change.outcome is Outcome.REFUSED, change
    assert f"ConfigMap {SPACE}/cfg" in change.summary
    assert phases(folder)[-3:] == ["asked_on", "driving", "not_resumed"]
    assert releaser.state()["cfg"] == {"A": "foreign"}
    drive(folder, ASKED_BACK)
    assert watch_change(folder).outcome is Outcome.ROLLED_BACK
    assert releaser.state() == before


def test_a_plan_for_what_has_changed_since_is_refused_and_writes_nothing(releaser: Releaser) -> None:
    release, plan = releaser.planned(bodies(text="3"))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg", "namespace": SPACE}}
    releaser.cluster.apply({**config, "data": {"A": "foreign"}}, manager="someone", force=True)
    change = watch_change(releaser.start(release, plan))

    assert change.outcome is Outcome.REFUSED
    assert phases(change.folder) == ["driving", "aborted"]
    assert releaser.state()["cfg"] == {"A": "foreign"}
    releaser.cluster.apply({**config, "data": {"A": "1"}}, manager="opslib", force=True)


def test_a_plan_that_is_blocked_is_not_carried_out(releaser: Releaser) -> None:
    body = {**bodies("web:v2")[-1], "metadata": {"name": "web", "namespace": SPACE}}
    releaser.cluster.apply(body, manager="someone", force=True)
    release, plan = releaser.planned([*bodies(), EXTRA])
    change = watch_change(releaser.start(release, plan))

    assert plan.steps, "other objects could be written"
    assert change.outcome is Outcome.REFUSED
    assert "conflict" in change.summary
    releaser.cluster.apply(
        {**body, **bodies()[-1], "metadata": body["metadata"]}, manager="opslib", force=True
    )


def test_of_two_people_at_once_one_is_refused(releaser: Releaser) -> None:
    wanted = releaser.planned(bodies("web:v2"))
    with locked(releaser.cluster, [REF], "somebody-else", CLOCK):
        change = watch_change(releaser.start(*wanted))

        assert change.outcome is Outcome.REFUSED
        assert "somebody-else" in change.summary
    assert watch_change(releaser.start(*wanted)).outcome is Outcome.PASS
    assert releaser.released(bodies()).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "fault",
    [
        {"code": 409, "times": 5, "verb": "patch"},
        {"drop_watches": ""},
        long({"code": 429, "retry_after_s": 0, "times": 6}),
        long({"code": 500, "times": 10, "verb": "patch"}),
        long({"code": 504, "times": 5}),
        long({"compact": True}),
    ],
)
def test_a_server_in_trouble_delays_a_release_and_breaks_nothing(
    releaser: Releaser, practice: Practice, fault: dict
) -> None:
    wanted = releaser.planned(bodies("web:v2", text="4"))
    assert practice.call("POST", "/practice/faults", fault)[0] < 300
    try:
        change = watch_change(releaser.start(*wanted))
    finally:
        practice.call("DELETE", "/practice/faults")

    assert change.outcome is Outcome.PASS, change
    assert releaser.state()["cfg"] == {"A": "4"}
    assert releaser.released(bodies()).outcome is Outcome.PASS
