"""A cluster for tests in one thread: the API in memory, the controllers, a clock that only moves when told, and a
kubelet that does to pods what the test says."""

import heapq
import itertools
from collections.abc import Callable

from opslib.lab.cluster.api import Api, DeleteOptions, Event, Object, WriteOptions
from opslib.lab.cluster.controllers import NodeFacts, run_controllers
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Store

USER, KUBELET = WriteOptions(manager="test"), WriteOptions(manager="kubelet")
START_NS = 1_800_000_000_000_000_000


class VirtualTime:
    """A Clock and the timers of an event loop: `run(s)` calls what is due until then, in order."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Handle]] = []

    def now_ns(self) -> int:
        return START_NS + round(self.time_s * 1e9)

    def monotonic_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.run(seconds)

    def call_soon(self, callback: Callable[[], object]) -> "Handle":
        return self.call_later(0.0, callback)

    def call_later(self, delay: float, callback: Callable[[], object]) -> "Handle":
        handle = Handle(callback)
        heapq.heappush(self._due, (self.time_s + delay, next(self._order), handle))
        return handle

    def run(self, seconds: float = 0.0, most: int = 100_000) -> None:
        end_s = self.time_s + seconds
        for _ in range(most):
            if not self._due or self._due[0][0] > end_s:
                self.time_s = end_s
                return
            self.time_s, _, handle = heapq.heappop(self._due)
            if not handle.cancelled:
                handle.callback()
        raise AssertionError("the controllers do not come to rest")

    def run_until(self, condition: Callable[[], object], within_s: float = 60.0) -> None:
        end_s = self.time_s + within_s
        while not condition():
            assert self.time_s < end_s, "it did not come true in time"
            self.run(0.25)

    @property
    def pending(self) -> int:
        """Timers that are set."""
        return sum(not handle.cancelled for _, _, handle in self._due)


class Handle:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeKubelet:
    """Makes pods of its node run: ready a second later, unless their image is told to do otherwise."""

    def __init__(self, api: Api, time: VirtualTime) -> None:
        self.api, self.time = api, time
        self.never_ready: set[str] = set()
        self.ready_after_s, self.stop_s = 1.0, 1.0
        self.exits: dict[str, int] = {}  # image -> exit code, half a second after its start
        self.cores: dict[str, float] = {}  # image -> use of each pod
        self._addresses = itertools.count(2)
        self._seen: set[tuple[str, str]] = set()
        api.subscribe(self._changed)

    def pods(self, namespace: str) -> list[Object]:
        found = []
        for pod in self.api.list("pods", namespace):
            cores = self.cores.get(pod["spec"]["containers"][0]["image"])
            if cores is not None and pod["status"]["phase"] == "Running":
                usage = {"cpu": f"{round(cores * 1e9)}n", "memory": "1024Ki"}
                found.append(
                    {
                        "metadata": {"name": pod["metadata"]["name"], "namespace": namespace},
                        "timestamp": stamp(self.time.now_ns()),
                        "window": "10s",
                        "containers": [{"name": "c", "usage": usage}],
                    }
                )
        return found

    def _changed(self, event: Event) -> None:
        if event.resource != "pods" or not event.object["spec"].get("nodeName"):
            return
        metadata = event.object["metadata"]
        key, uid = (metadata["namespace"], metadata["name"]), metadata["uid"]
        if event.type == "DELETED":
            self._seen -= {(uid, "start"), (uid, "stop")}
        elif metadata.get("deletionTimestamp"):
            self._once(uid, "stop", self.stop_s, lambda: self._stop(key, uid))
        else:
            self._once(uid, "start", 0.1, lambda: self._start(key, uid))

    def _once(self, uid: str, what: str, after_s: float, callback: Callable[[], object]) -> None:
        if (uid, what) not in self._seen:
            self._seen.add((uid, what))
            self.time.call_later(after_s, callback)

    def _start(self, key: tuple[str, str], uid: str) -> None:
        self.status(key, uid, ready=False)
        image = self._image(key)
        if image in self.exits:
            self.time.call_later(0.5, lambda: self.exit(key, uid, self.exits[image]))
        elif image is not None and image not in self.never_ready:
            self.time.call_later(self.ready_after_s, lambda: self.status(key, uid, ready=True))

    def _image(self, key: tuple[str, str]) -> str | None:
        try:
            return self.api.get("pods", *key)["spec"]["containers"][0]["image"]
        except StatusError:
            return None

    def _stop(self, key: tuple[str, str], uid: str) -> None:
        try:
            self.api.delete("pods", *key, DeleteOptions(grace_s=0, uid=uid))
        except StatusError:
            return

    def exit(self, key: tuple[str, str], uid: str, code: int) -> None:
        """End a pod's only container for good."""
        ended = {
            "exitCode": code,
            "finishedAt": stamp(self.time.now_ns()),
            "startedAt": stamp(self.time.now_ns()),
        }
        self._write(key, uid, "Failed" if code else "Succeeded", "False", {"terminated": ended})

    def status(self, key: tuple[str, str], uid: str, *, ready: bool, restarts: int = 0) -> None:
        state = {"running": {"startedAt": stamp(self.time.now_ns())}}
        self._write(key, uid, "Running", "True" if ready else "False", state, restarts)

    def _write(
        self, key: tuple[str, str], uid: str, phase: str, ready: str, state: Object, restarts: int = 0
    ) -> None:
        try:
            pod = self.api.get("pods", *key)
        except StatusError:
            return
        if pod["metadata"]["uid"] != uid:
            return
        old, at = pod["status"], stamp(self.time.now_ns())
        now = next((c for c in old.get("conditions", ()) if c["type"] == "Ready"), None)
        since = now["lastTransitionTime"] if now and now["status"] == ready else at
        others = [c for c in old.get("conditions", ()) if c["type"] != "Ready"]
        conditions = [*others, {"type": "Ready", "status": ready, "lastTransitionTime": since}]
        address = old.get("podIP") or f"127.20.{(n := next(self._addresses)) // 256}.{n % 256}"
        container = pod["spec"]["containers"][0]
        told = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": ready == "True",
        }
        told |= {"restartCount": restarts, "state": state}
        status = {"startTime": at, "podIP": address} | old | {"phase": phase, "conditions": conditions}
        changed = pod | {"status": status | {"containerStatuses": [told]}}
        self.api.update("pods", *key, changed, KUBELET, subresource="status")


class World:
    """The cluster; every change is kept in `history`."""

    def __init__(self, api: Api | None = None) -> None:
        self.time = VirtualTime()
        self.api = api or Api(Store(), self.time)
        self.history: list[Event] = []
        self.api.subscribe(self.history.append)
        self.kubelet = FakeKubelet(self.api, self.time)
        self.controllers = self.start()
        self.time.run(0.5)

    def start(self):
        node = NodeFacts("practice", "127.20.0.1", "v1.34.2+opslib-practice", 4, 8 << 30)
        return run_controllers(self.api, self.time, self.time, usage=self.kubelet, node=node, ca_pem="the CA")

    def create(self, resource: str, obj: Object, namespace: str = "default") -> Object:
        return self.api.create(resource, namespace, obj, USER)

    def patch(self, resource: str, name: str, patch: Object, **more) -> Object:
        return self.api.patch(resource, "default", name, patch, "merge", USER, **more)

    def get(self, resource: str, name: str, namespace: str = "default") -> Object:
        return self.api.get(resource, namespace, name)

    def names(self, resource: str, namespace: str = "default") -> list[str]:
        return [obj["metadata"]["name"] for obj in self.api.list(resource, namespace)]

    def delete(self, resource: str, name: str, namespace: str = "default", **options) -> Object:
        return self.api.delete(resource, namespace, name, DeleteOptions(**options))

    def events(self, kind: str = "") -> list[tuple[str, str, str]]:
        """Reason, message and object of the events so far, oldest first."""
        found = sorted(
            self.api.list("events"), key=lambda e: int(e["metadata"]["name"].rpartition(".")[2], 16)
        )
        about = [(e["reason"], e["message"], e["involvedObject"]) for e in found]
        return [(reason, text, o["name"]) for reason, text, o in about if not kind or o["kind"] == kind]


def deployment(name: str = "web", image: str = "app:v1", replicas: int = 3, **spec) -> Object:
    container = {"name": "c", "image": image, **spec.pop("container", {})}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            **spec,
        },
    }


def set_image(name: str, image: str) -> Object:
    container = {"name": "c", "image": image}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


FAST = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 30,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
    },
}


def scaler(**more) -> Object:
    target = {"type": "Utilization", "averageUtilization": 60}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        "behavior": FAST,
        **more,
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": spec,
    }


def budget(name: str = "web", **spec) -> Object:
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": spec,
    }


def service(name: str = "web", **spec) -> Object:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def job(image: str = "good:v1", name: str = "once", **spec) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 6, "template": template, **spec},
    }
