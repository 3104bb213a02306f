"""A cluster in memory for rollouts: objects by kind and name, and a watch that plays one scene after the other."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from fake_api import FakeClock

from opslib.core.errors import OpslibError
from opslib.kube import Change, Kind, Object, Ref

REF = Ref("apps/v1", "Deployment", "shop", "payment")


class World:
    """What the rooms ask of a cluster, as far as rollouts do."""

    namespace = "shop"

    def __init__(self, *objects: Object) -> None:
        self.clock = FakeClock()
        self.clock.now_s = 1_000_000.0
        self.objects: dict[tuple[str, str], Object] = {}
        self.scenes: list[Callable[[], Any]] = []
        self.step_s = 1.0
        self.log = {"": ""}
        self.patched: list[tuple[Ref, list[Object]]] = []
        self.put(*objects)

    def put(self, *objects: Object) -> None:
        for obj in objects:
            self.objects[obj["kind"], obj["metadata"]["name"]] = obj

    def drop(self, kind: str, name: str) -> None:
        del self.objects[kind, name]

    def kind(self, api_version: str, kind: str) -> Kind:
        return Kind(api_version, kind, kind.lower() + "s", namespaced=True)

    def get(self, ref: Ref) -> Object | None:
        return copy.deepcopy(self.objects.get((ref.kind, ref.name)))

    def list_objects(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        found = [copy.deepcopy(o) for (k, _), o in self.objects.items() if k == kind.kind]
        if kind.kind == "Event":
            found = [e for e in found if fields == f"involvedObject.uid={e['involvedObject']['uid']}"]
        return found

    def watch(
        self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Iterator[Change]:
        assert fields == "metadata.name=payment"
        yield Change("QUIET", {})
        for scene in self.scenes:
            self.clock.sleep(self.step_s)
            scene()
            gone = ("Deployment", "payment") not in self.objects
            yield Change("DELETED" if gone else "MODIFIED", {})
        while True:
            self.clock.sleep(5.0)
            yield Change("QUIET", {})

    def logs(
        self, namespace: str, pod: str, container: str, *, tail_lines: int = 20, previous: bool = False
    ) -> str:
        return self.log.get(pod, "")

    def each(self, call, items) -> list:
        def safely(item):
            try:
                return call(item)
            except OpslibError as error:
                return error

        return [safely(item) for item in items]

    def patch(self, ref: Ref, operations, *, dry_run: bool = False, subresource: str = "") -> Object:
        self.patched.append((ref, list(operations)))
        return self.objects[ref.kind, ref.name]


def template(version: str) -> Object:
    container = {"name": "payment", "image": f"registry/payment:{version}"}
    return {"metadata": {"labels": {"app": "payment"}}, "spec": {"containers": [container]}}


def deployment(
    version: str = "2", *, wanted: int = 2, generation: int = 1, spec: Object | None = None, **status: Any
) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "payment", "namespace": "shop", "uid": "d", "generation": generation, "resourceVersion": "7",
        },
        "spec": {
            "replicas": wanted,
            "selector": {"matchLabels": {"app": "payment"}},
            "template": template(version),
            **(spec or {}),
        },
        "status": {"observedGeneration": generation, **status},
    }  # fmt: skip


def replica_set(version: str, number: int, **status: Any) -> Object:
    made = template(version)
    made["metadata"]["labels"] = {"app": "payment", "pod-template-hash": f"h{version}"}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"payment-h{version}",
            "namespace": "shop",
            "uid": f"rs{version}",
            "labels": made["metadata"]["labels"],
            "annotations": {
                "deployment.kubernetes.io/revision": str(number),
                "kubernetes.io/change-cause": f"release {version}",
            },
            "ownerReferences": [{"uid": "d", "controller": True}],
        },
        "spec": {"template": made},
        "status": status,
    }


def pod(
    name: str, version: str, *, ready: bool = True, container: Object | None = None, **status: Any
) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "labels": {"app": "payment", "pod-template-hash": f"h{version}"},
            "ownerReferences": [{"uid": f"rs{version}", "controller": True}],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {"name": "payment", "ready": ready, "restartCount": 0, **(container or {})}
            ],
            **status,
        },
    }


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def event(about: Object, reason: str, message: str, count: int = 1) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['metadata']['name']}.{reason}.{message[:9]}"},
        "involvedObject": {"uid": about["metadata"]["uid"], "name": about["metadata"]["name"]},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": count,
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }


READY = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
