"""Create, roll, crash and delete on a running cluster: no process, port, file, thread, task or memory of it is left."""

import os
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from cluster_server import Practice, until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="open files are counted on POSIX only"),
]

APPS = "/apis/apps/v1/namespaces/{}/deployments"
STRATEGIC = {"Content_Type": "application/strategic-merge-patch+json"}
MINUTES = float(os.environ.get("OPSLIB_TEST_CHURN_MINUTES", "5"))


def deployment() -> dict:
    container = {
        "name": "c",
        "image": "web:v1",
        "ports": [{"containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": "web"}}],
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


class Life:
    """What lives in one namespace, from its creation to its end."""

    def __init__(self, cluster: Practice, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.core = f"/api/v1/namespaces/{namespace}"
        self.web = APPS.format(namespace) + "/web"

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> dict:
        status, answer = self.cluster.call(method, path, body, **headers)
        assert status < 300, answer
        return answer

    def begin(self) -> None:
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self.ask(
            "POST", f"{self.core}/configmaps", {"metadata": {"name": "web"}, "data": {"GREETING": "hello"}}
        )
        ports = {"selector": {"app": "web"}, "ports": [{"port": 8080}]}
        self.ask("POST", f"{self.core}/services", {"metadata": {"name": "web"}, "spec": ports})
        self.ask("POST", APPS.format(self.namespace), deployment())
        until(self.is_rolled_out)

    def roll(self, **change: object) -> None:
        """Change the container, and wait until nothing of the old revision is left."""
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", **change}]}}}}
        self.ask("PATCH", self.web, patch, **STRATEGIC)
        until(self.is_rolled_out)
        until(lambda: len(containers(self.cluster)) == 2)

    def crash(self) -> None:
        """Kill a container; the pod is to start it again."""
        os.kill(containers(self.cluster)[0].pid, signal.SIGKILL)
        until(lambda: sum(s["restartCount"] for p in self.pods() for s in p["status"]["containerStatuses"]))

    def delete(self, propagation: str) -> None:
        """Take away one object after the other."""
        self.ask("DELETE", self.web, {"propagationPolicy": propagation})
        self.ask("DELETE", f"{self.core}/services/web")
        self.ask("DELETE", f"{self.core}/configmaps/web")
        until(lambda: not self.pods())

    def end(self) -> None:
        self.ask("DELETE", self.core)
        until(lambda: self.cluster.call("GET", self.core)[0] == 404)

    def pods(self) -> list[dict]:
        return self.ask("GET", f"{self.core}/pods")["items"]

    def is_rolled_out(self) -> bool:
        web = self.ask("GET", self.web)
        status, generation = web.get("status", {}), web["metadata"]["generation"]
        reasons = {c["reason"] for c in status.get("conditions", ())}
        return status.get("observedGeneration") == generation and "NewReplicaSetAvailable" in reasons


def churn(cluster: Practice, number: int) -> None:
    """One round: a life with roll-outs and a killed container, ended object by object or as a whole; a watch left open."""
    life = Life(cluster, f"round-{number}")
    life.begin()
    watching = cluster.connect()
    watching.request("GET", f"{life.core}/pods?watch=1", headers={"Authorization": f"Bearer {cluster.token}"})
    watching.getresponse().readline()
    life.roll(image="web:v2")
    life.roll(env=[{"name": "ROUND", "value": str(number)}])
    life.crash()
    if number % 3:
        life.delete(("Background", "Foreground")[number % 2])
    life.end()
    watching.close()


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
    """What the cluster holds: processes under it, listening ports, folders and files of pods, watches, tasks, threads, files."""
    process = psutil.Process(cluster.process.pid)
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    pods: list[Path] = [*(cluster.state / "pods").rglob("*")] if (cluster.state / "pods").exists() else []
    open_now = cluster.call("GET", "/practice/faults")[1]
    return {
        "processes": len(descendants(cluster)),
        "listening": sorted(map(str, listening)),
        "pods": len(pods),
        "watches": open_now["watches"],
        "tasks": open_now["tasks"],
        "threads": process.num_threads(),
        "files": process.num_fds(),
    }


def settled(cluster: Practice, before: dict[str, object]) -> dict[str, object]:
    """Wait until nothing is more than it was, and return it; a file, thread or task more or less is no leak."""
    now = before

    def is_at_most() -> bool:
        nonlocal now
        now = held(cluster)
        few = all(now[name] <= before[name] + 2 for name in ("threads", "files", "tasks"))
        return few and all(
            now[name] == before[name] for name in ("processes", "listening", "pods", "watches")
        )

    try:
        until(is_at_most)
    except AssertionError as error:
        raise AssertionError(f"before {before}\nafter  {now}") from error
    return now


def memory(cluster: Practice) -> int:
    return psutil.Process(cluster.process.pid).memory_info().rss


def warmed_up(cluster: Practice) -> dict[str, object]:
    """Live one round, and return what the cluster holds after it: itself and the guard, which ends all if it is killed."""
    churn(cluster, 0)
    until(lambda: len(descendants(cluster)) == 1 and not held(cluster)["watches"])
    return held(cluster)


def test_a_running_cluster_keeps_nothing_of_what_has_ended(tmp_path: Path) -> None:
    cluster = Practice(tmp_path / "state").start()
    try:
        before, used = warmed_up(cluster), memory(cluster)
        for number in range(1, 4):
            churn(cluster, number)
        settled(cluster, before)
        assert memory(cluster) - used < 24 << 20, "the history of watches fills up to 4,096 changes"
        assert not (cluster.state / "server.log").read_text().strip()
    finally:
        cluster.stop()
    assert not containers_left(tmp_path)


@pytest.mark.full
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_minutes_of_churn_leak_nothing(tmp_path: Path) -> None:
    """OPSLIB_TEST_CHURN_MINUTES says how many; the history of watches is emptied, or it would grow for an hour."""
    cluster = Practice(tmp_path / "state").start()
    used: list[int] = []
    try:
        before, end_s = warmed_up(cluster), time.monotonic() + MINUTES * 60
        while time.monotonic() < end_s or len(used) < 9:
            churn(cluster, len(used) + 1)
            cluster.call("POST", "/practice/faults", {"compact": True})
            used.append(memory(cluster))
        print(report(used, before, settled(cluster, before)))
        assert growth(used) < 2 << 20
        assert not (cluster.state / "server.log").read_text().strip()
    finally:
        cluster.stop()
    assert not containers_left(tmp_path)


def growth(used: Sequence[int]) -> float:
    """Return by how many bytes the last third of the rounds needs more than the one before it; the first warms up."""
    third = len(used) // 3
    return statistics.median(used[-third:]) - statistics.median(used[-2 * third : -third])


def report(used: Sequence[int], before: dict[str, object], after: dict[str, object]) -> str:
    third = len(used) // 3
    thirds = [statistics.median(used[n * third : (n + 1) * third]) / 1e6 for n in range(3)]
    return f"{len(used)} rounds; RSS by thirds {thirds} MB\nbefore {before}\nafter  {after}"


def containers_left(state: Path) -> list[int]:
    """Processes that still work in a pod's folder."""
    found = [process.info for process in psutil.process_iter(["cwd", "pid"])]
    return [each["pid"] for each in found if (each["cwd"] or "").startswith(str(state))]
