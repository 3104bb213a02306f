"""Releases and orders: carried out by the kit's own driver, well or back as it was.

A bad release names an image that is not there: it can end in no other way than back.
"""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import IMAGE, Cluster, Namespace, is_ready, namespace, until
from kit import settings_for
from load import Load
from workloads import TARGET, deployment, probe, service, tell

from opslib.core.changes import ASKED_BACK, ASKED_ON, journal_lines
from opslib.core.clock import SystemClock
from opslib.core.outcome import Outcome
from opslib.kube import Ref
from opslib.manifests.driven import Change, change_folder, drive, start_change, watch_change
from opslib.manifests.inventory import inventory_ref, read_inventory
from opslib.manifests.orders import Action
from opslib.manifests.runbooks import Planned, carry_out_plan, plan_release, plan_rollout
from opslib.manifests.trouble import seconds

pytestmark = pytest.mark.timeout(300)

BAD = f"{IMAGE}-nope"
EXTRA = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"a": "1"}}


MANY = [{**EXTRA, "metadata": {"name": f"more-{number}"}} for number in range(200)]


def written(folder: Path) -> list[dict[str, Any]]:
    return [line for line in journal_lines(folder) if line["phase"] == "written"]


def shop(image: str = IMAGE, level: str = "info", *more: dict[str, Any]) -> list[dict[str, Any]]:
    variables = [
        {"name": name, "valueFrom": {source: {"name": name.lower(), "key": "v"}}}
        for name, source in (("LEVEL", "configMapKeyRef"), ("KEY", "secretKeyRef"))
    ]
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "level"}, "data": {"v": level}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"v": level}},
        {"apiVersion": "v1", "kind": "Service", **service("web")},
        {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("web", 2, image=image, env=variables)},
        *more,
    ]


class Operator:
    """Somebody with a set in a file, in a namespace of a cluster."""

    def __init__(self, ns: Namespace, root: Path) -> None:
        self.ns, self.file = ns, root / "set.yaml"
        self.settings = settings_for(ns.cluster, ns.name, root)

    def planned(self, *wanted: Any) -> Planned:
        self.file.write_text(yaml.safe_dump_all(shop(*wanted)))
        return plan_release("x", str(self.file), release="web", deadline_s=120, settings=self.settings)

    def released(self, *wanted: Any) -> Change:
        planned = self.planned(*wanted)
        change = carry_out_plan(planned, planned.plan.token)
        assert change is not None
        return change

    def started(self, planned: Planned) -> Path:
        """Have a plan carried out by its driver; return the folder of the change."""
        folder = change_folder(self.settings, "change", SystemClock())
        order = {"environment": "x", "deadline_s": 120, "release": planned.release}
        start_change(folder, planned.plan, self.settings, **order)
        return folder

    def ordered(self, action: Action, image: str = "", workload: str = "deploy/web") -> Change:
        planned = plan_rollout("x", workload, action, image=image, deadline_s=120, settings=self.settings)
        change = carry_out_plan(planned, planned.plan.token)
        assert change is not None
        return change

    def answers(self, variable: str) -> set[str]:
        """What the pods that serve have in a variable."""
        return {tell(pod, f"env={variable}") for pod in self.ns.ready("web")}

    @property
    def image(self) -> str:
        (found,) = self.ns.get("deployments", "web")["spec"]["template"]["spec"]["containers"]
        return str(found["image"])

    def state(self) -> dict[str, Any]:
        """What the set is in the cluster: values, template, who is recorded."""
        values = {
            f"{plural}/{item['metadata']['name']}": item["data"]
            for plural in ("configmaps", "secrets")
            for item in self.ns.items(plural)
            if not item["metadata"]["name"].startswith(("opslib-", "kube-"))
        }
        client = self.planned().cluster
        recorded = read_inventory(client, inventory_ref("web", self.ns.name))
        template = self.ns.get("deployments", "web")["spec"]["template"]
        return {"values": values, "template": template, "recorded": sorted(map(str, recorded))}


@pytest.fixture(scope="module")
def namespace_of_all(cluster: Cluster) -> Iterator[Namespace]:
    with namespace(cluster) as made:
        yield made


@pytest.fixture
def operator(namespace_of_all: Namespace, tmp_path: Path) -> Operator:
    """The set is released, as it was before."""
    made = Operator(namespace_of_all, tmp_path)
    change = made.released()
    assert change.outcome is Outcome.PASS, change
    return made


def test_a_set_comes_up_and_released_again_it_changes_nothing(operator: Operator) -> None:
    assert len(operator.ns.ready("web")) == 2
    assert (operator.answers("LEVEL"), operator.answers("KEY")) == ({"info"}, {"info"})
    assert operator.planned().plan.steps == ()
    assert "as it is wanted already" in operator.released().summary


def test_a_bad_image_is_refused_soon_and_all_is_put_back(operator: Operator) -> None:
    before = operator.state()
    change = operator.released(BAD, "debug", EXTRA)

    assert change.outcome is Outcome.ROLLED_BACK, change
    assert operator.state() == before
    (rollout,) = change.details["rollouts"]
    assert "not found" in rollout["causes"][0]["text"]
    at_s = {line["phase"]: line["time_unix_nano"] / 1e9 for line in change.lines}
    errors_s = [
        seconds(event["firstTimestamp"])
        for event in operator.ns.events("Pod")
        if event["reason"] == "Failed" and BAD in event["message"]
    ]
    took_s = at_s["rolling_back"] - min(
        s for s in errors_s if s > at_s["began"] - 1
    )  # events tell whole seconds
    print(f"given up {took_s:.1f} s after the kubelet's first error")
    assert took_s < 20
    assert until(lambda: len(operator.ns.pods("web")) == 2 and all(map(is_ready, operator.ns.pods("web"))))


def test_changed_configuration_has_a_new_name_and_who_goes_back_finds_the_old(operator: Operator) -> None:
    change = operator.released(IMAGE, "debug")
    assert change.outcome is Outcome.PASS, change
    levels = {
        c["metadata"]["name"]: c["data"]["v"] for c in operator.ns.items("configmaps") if "v" in c["data"]
    }

    assert levels.pop("level") == "info"
    assert list(levels.values()) == ["debug"]
    assert next(iter(levels)).startswith("level-")
    until(lambda: operator.answers("LEVEL") == operator.answers("KEY") == {"debug"})
    assert operator.planned(IMAGE, "debug").plan.steps == ()
    assert operator.ordered("undo").outcome is Outcome.PASS
    until(lambda: operator.answers("LEVEL") == operator.answers("KEY") == {"info"})


def test_an_order_is_carried_out_and_undone(operator: Operator) -> None:
    change = operator.ordered("set image", f"{IMAGE}-again")

    assert (change.outcome, operator.image) == (Outcome.PASS, f"{IMAGE}-again"), change
    assert operator.ordered("undo").outcome is Outcome.PASS
    assert operator.image == IMAGE
    assert not operator.planned(f"{IMAGE}-again").blocked, "an order of ours is no stranger's"


def test_a_driver_killed_after_its_first_write_is_followed_by_one_that_goes_back(operator: Operator) -> None:
    before, planned = operator.state(), operator.planned(IMAGE, "debug", EXTRA)  # it would take seconds
    folder = operator.started(planned)
    os.kill(until(lambda: written(folder))[0]["pid"], signal.SIGKILL)
    assert watch_change(folder).outcome is Outcome.ERROR
    drive(folder)
    change = watch_change(folder)

    assert change.outcome is Outcome.ROLLED_BACK, change
    assert operator.state() == before
    assert Ref.of_identity(change.lines[1]["object"]) == inventory_ref("web", operator.ns.name)


@pytest.mark.parametrize("asked", ["", ASKED_ON, pytest.param(ASKED_BACK, marks=pytest.mark.full)])
def test_an_api_server_killed_in_mid_apply_leaves_nothing_half_done(
    ns: Namespace, tmp_path: Path, asked: str
) -> None:
    """Its driver waits until the server is back, or, killed with it, is followed by one that goes on or back."""
    server, operator = ns.cluster.server, Operator(ns, tmp_path)
    if server is None:
        pytest.skip("the API server is not ours to kill")
    assert operator.released().outcome is Outcome.PASS
    before, planned = operator.state(), operator.planned(IMAGE, "debug", *MANY)
    folder = operator.started(planned)
    driver = until(lambda: written(folder))[0]["pid"]
    if asked:
        os.kill(driver, signal.SIGKILL)
    server.kill()
    done = len(written(folder))
    server.start()
    assert 0 < done < len(planned.plan.steps), "it was in mid-apply"
    if asked:
        assert watch_change(folder).outcome is Outcome.ERROR
        drive(folder, asked)
    change = watch_change(folder)

    assert change.outcome is (Outcome.ROLLED_BACK if asked == ASKED_BACK else Outcome.PASS), change
    if asked == ASKED_BACK:
        assert operator.state() == before
    else:
        assert operator.planned(IMAGE, "debug", *MANY).plan.steps == ()
        until(lambda: operator.answers("LEVEL") == {"debug"})


@pytest.mark.full
@pytest.mark.parametrize("away", ["", "lifecycle", "readinessProbe"])
def test_an_update_without_a_way_out_or_a_probe_loses_calls(operator: Operator, away: str) -> None:
    has = {"lifecycle": {"preStop": {"sleep": {"seconds": 3}}}, "readinessProbe": probe("ready")}
    has |= {away: None} if away else {}
    body = deployment("leaver", 2, code=f"import time; time.sleep(2)\n{TARGET}", **has)
    body["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    operator.ns.create("deployments", body)
    address = operator.ns.create("services", service("leaver"))["spec"]["clusterIP"], 80
    until(lambda: len(operator.ns.ready("leaver")) == 2)
    called = partial(Load, address, 50.0, lambda: ("GET", "/", None, {}), 32, keep_alive=False, timeout_s=1.0)

    def is_open() -> bool:
        with called() as load:
            load.more(10)
        return not load.lost()

    until(is_open)
    with called() as load:
        load.more()
        change = operator.ordered("restart", workload="deploy/leaver")
        load.more(100)
    operator.ns.delete("services", "leaver")
    operator.ns.delete("deployments", "leaver")
    until(lambda: not operator.ns.pods("leaver"))

    load.check()
    assert change.outcome is Outcome.PASS, change
    assert bool(load.lost()) == bool(away)
