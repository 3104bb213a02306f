"""Rollouts of real pods on a practice cluster: waited for, explained when they fail, undone."""

import sys

import pytest
from cluster_server import Practice

from opslib.core.clock import SystemClock
from opslib.core.errors import ConflictError
from opslib.core.settings import Environment, Settings
from opslib.kube import Client, Ref, connect_cluster
from opslib.manifests.rollouts import carry_out, carry_out_now, history, pause, restart, resume, scale, undo
from opslib.manifests.waiting import Rollout, Wait, rollout_status

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SPACE, REF = "rollouts", Ref("apps/v1", "Deployment", "rollouts", "web")


@pytest.fixture(scope="module")
def cluster(practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> Client:
    environment = Environment("x", kubeconfig=str(practice.kubeconfig), namespace=SPACE)
    client = connect_cluster(environment, Settings(tmp_path_factory.mktemp("cwd")), SystemClock())
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}, manager="test")
    return client


def web(image: str = "web:v1", **container) -> dict:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    made = {"name": "web", "image": image, "ports": [{"containerPort": 8080}], "readinessProbe": probe}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{**made, **container}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": SPACE},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }


def applied(cluster: Client, body: dict, deadline_s: float = 60) -> Rollout:
    cluster.apply(body, manager="opslib", force=True)
    return rollout_status(cluster, REF, SystemClock(), wait=Wait(deadline_s=deadline_s))


def test_up_wrong_back_and_all_the_rest(cluster: Client) -> None:
    assert applied(cluster, web()).ok

    result = applied(cluster, web("web:nope"))
    assert (result.ending, result.seconds < 20) == ("failed", True)
    assert "not found" in str(result.causes[0])

    carry_out_now(cluster, lambda: undo(cluster, REF))
    result = rollout_status(cluster, REF, SystemClock())
    assert result.ok
    assert [(r.number, r.images, r.pods, r.current) for r in history(cluster, REF)] == [
        (3, ("web:v1",), 2, True),
        (2, ("web:nope",), 0, False),
    ]

    code = "import sys; print('no LEDGER_URL'); sys.exit(3)"
    result = applied(cluster, web(command=[sys.executable, "-c", code]))
    assert result.ending == "failed"
    assert result.causes[0].trouble.exit_code == 3
    assert result.causes[0].log[-1] == "no LEDGER_URL"
    carry_out_now(cluster, lambda: undo(cluster, REF))
    assert rollout_status(cluster, REF, SystemClock()).ok

    old = {pod["metadata"]["uid"] for pod in cluster.list_objects(cluster.kind("v1", "Pod"), SPACE)}
    carry_out_now(cluster, lambda: restart(cluster, REF, SystemClock()))
    assert rollout_status(cluster, REF, SystemClock()).ok
    pods = cluster.list_objects(cluster.kind("v1", "Pod"), SPACE)
    assert not old & {p["metadata"]["uid"] for p in pods if not p["metadata"].get("deletionTimestamp")}

    carry_out_now(cluster, lambda: pause(cluster, REF))
    stale = resume(cluster, REF)
    assert applied(cluster, web("web:v2")).ending == "suspended"
    with pytest.raises(ConflictError):
        carry_out(cluster, stale)
    carry_out_now(cluster, lambda: resume(cluster, REF))
    carry_out_now(cluster, lambda: scale(cluster, REF, 3))
    result = rollout_status(cluster, REF, SystemClock())
    assert (result.ok, result.last.ready) == (True, 3)
