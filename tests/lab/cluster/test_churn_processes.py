"""Create, roll, crash and delete on a running cluster: no process, port, file or memory of it is left."""

import os
import signal
from pathlib import Path

import psutil
import pytest
from cluster_server import Practice, until

pytestmark = pytest.mark.lab

APPS = "/apis/apps/v1/namespaces/{}/deployments"


def deployment() -> dict:
    container = {
        "name": "c",
        "image": "web:v1",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    spec = {"terminationGracePeriodSeconds": 2, "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }


def is_rolled_out(cluster: Practice, namespace: str) -> bool:
    _, web = cluster.call("GET", APPS.format(namespace) + "/web")
    status, generation = web.get("status", {}), web["metadata"]["generation"]
    reasons = {c["reason"] for c in status.get("conditions", ())}
    return status.get("observedGeneration") == generation and "NewReplicaSetAvailable" in reasons


def churn(cluster: Practice, namespace: str) -> None:
    """One life of a namespace with a roll-out, a killed container and a Service."""
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    assert cluster.call("POST", "/api/v1/namespaces", made)[0] == 201
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    service["spec"] = {"selector": {"app": "web"}, "ports": [{"port": 8080}]}
    assert cluster.call("POST", f"/api/v1/namespaces/{namespace}/services", service)[0] == 201
    assert cluster.call("POST", APPS.format(namespace), deployment())[0] == 201
    until(lambda: is_rolled_out(cluster, namespace))
    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "web:v2"}]}}}}
    patched = {"Content_Type": "application/strategic-merge-patch+json"}
    path = APPS.format(namespace) + "/web"
    assert patch(cluster, path, image, patched) == 200
    until(lambda: is_rolled_out(cluster, namespace))
    until(lambda: len(containers(cluster)) == 2)
    os.kill(containers(cluster)[0].pid, signal.SIGKILL)
    assert cluster.call("DELETE", f"/api/v1/namespaces/{namespace}")[0] == 200
    until(lambda: cluster.call("GET", f"/api/v1/namespaces/{namespace}")[0] == 404)


def patch(cluster: Practice, path: str, body: dict, headers: dict[str, str]) -> int:
    return cluster.call("PATCH", path, body, **headers)[0]


def containers(cluster: Practice) -> list[psutil.Process]:
    """What runs in the folders of pods."""
    return [p for p in descendants(cluster) if folder(p).startswith(str(cluster.state / "pods"))]


def folder(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:  # it has ended meanwhile
        return ""


def descendants(cluster: Practice) -> list[psutil.Process]:
    return psutil.Process(cluster.process.pid).children(recursive=True)


def held(cluster: Practice) -> dict[str, object]:
    """What the cluster holds: processes under it, open files, threads, listening ports, folders and files of pods."""
    process = psutil.Process(cluster.process.pid)
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    pods: list[Path] = [*(cluster.state / "pods").rglob("*")] if (cluster.state / "pods").exists() else []
    return {
        "processes": len(descendants(cluster)),
        "listening": sorted(map(str, listening)),
        "pods": len(pods),
        "threads": process.num_threads(),
        "files": process.num_fds(),
    }


def is_at_most(now: dict[str, object], before: dict[str, object]) -> bool:
    """Whether nothing is more than it was; a file or thread of a pool more or less is no leak."""
    few = all(now[name] <= before[name] + 2 for name in ("threads", "files"))
    return few and all(now[name] == before[name] for name in ("processes", "listening", "pods"))


@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="open files are counted on POSIX only")
def test_a_running_cluster_keeps_nothing_of_what_has_ended(tmp_path: Path) -> None:
    cluster = Practice(tmp_path / "state").start()
    try:
        churn(cluster, "warm-up")
        until(
            lambda: len(descendants(cluster)) == 1
        )  # the guard, which ends them all if the cluster is killed
        before, memory = held(cluster), psutil.Process(cluster.process.pid).memory_info().rss
        for n in range(4):
            churn(cluster, f"round-{n}")
        until(lambda: is_at_most(held(cluster), before))
        grown = psutil.Process(cluster.process.pid).memory_info().rss - memory
        assert grown < 24 << 20, "the history of watches fills up to 4,096 changes"
        assert not (cluster.state / "server.log").read_text().strip()
    finally:
        cluster.stop()
    assert not containers_left(tmp_path)


def containers_left(state: Path) -> list[int]:
    """Processes that still work in a pod's folder."""
    found = [process.info for process in psutil.process_iter(["cwd", "pid"])]
    return [each["pid"] for each in found if (each["cwd"] or "").startswith(str(state))]
