"""What the lab makes of its cluster: the shop's manifests, changes and events as rows, restarts as metrics, knobs told."""

import copy
import json
from typing import Any

import pytest

from opslib.core.errors import LabError
from opslib.lab.collector.otlp import parse
from opslib.lab.collector.rows import rows_of
from opslib.lab.control import Address
from opslib.lab.hosting.changes import Changes
from opslib.lab.hosting.events import restart_metrics
from opslib.lab.hosting.manifests import additions, path_of, second_release, shop_documents
from opslib.lab.supervisor import shop as shop_module
from opslib.lab.supervisor.shop import Shop
from opslib.telemetry.kubernetes.rows import event_row

SHOP = shop_documents()
NAME, COMPONENT, VERSION = (f"app.kubernetes.io/{word}" for word in ("name", "component", "version"))


def of_kind(documents: list[dict], kind: str) -> dict[str, dict]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def test_the_lab_adds_objects_of_its_own_that_pods_read_where_they_are() -> None:
    added = additions("shop", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector"}, "s")
    sources = of_kind(SHOP, "Deployment")["risk"]["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    optional = [next(iter(source.values())) for source in sources[1:]]

    assert [(d["kind"], d["metadata"]["name"]) for d in added] == [
        ("ConfigMap", "shop-telemetry"),
        ("Secret", "shop-control"),
    ]
    assert [source["name"] for source in optional] == [d["metadata"]["name"] for d in added]
    assert all(source["optional"] for source in optional)
    assert added[1]["data"] == {"CONTROL_TOKEN": "cw=="}
    assert not {d["metadata"]["name"] for d in added} & {d["metadata"]["name"] for d in SHOP}
    assert [d["kind"] for d in SHOP][:2] == ["Namespace", "ServiceAccount"]


def test_a_second_release_stands_beside_the_first_and_takes_none_of_its_calls() -> None:
    before = copy.deepcopy(SHOP)
    made = second_release(SHOP, "payment", "1.5.0", {"fail_share": 0.02})
    deployment, service = (
        of_kind(made, "Deployment")["payment-canary"],
        of_kind(made, "Service")["payment-canary"],
    )
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    first = of_kind(SHOP, "Service")["payment"]["spec"]["selector"]

    assert before == SHOP
    assert (labels[COMPONENT], labels[VERSION]) == ("payment", "1.5.0")
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert not first.items() <= labels.items()
    assert container["image"].endswith("/payment:1.5.0")
    assert {"name": "KNOBS", "value": '{"fail_share": 0.02}'} in container["env"]


def test_paths_are_those_of_the_api() -> None:
    paths = {document["kind"]: path_of(document) for document in SHOP}

    assert paths["Namespace"] == "/api/v1/namespaces/shop"
    assert paths["Ingress"] == "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/storefront"
    assert paths["ConfigMap"] == "/api/v1/namespaces/shop/configmaps/shop"


def deployment(version: str, name: str = "payment", replicas: int = 2, **status: int) -> dict[str, Any]:
    labels = {NAME: name, COMPONENT: "payment"}
    template = {
        "metadata": {"labels": {**labels, VERSION: version}},
        "spec": {"containers": [{"image": f"r:5000/payment:{version}"}]},
    }
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels, "generation": 1},
        "spec": {"replicas": replicas, "template": template},
        "status": {"observedGeneration": 1, **status},
    }


def pod(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {NAME: "payment", VERSION: version}}}


def heard(changes: Changes, *deployments: dict[str, Any], gone: bool = False) -> list[tuple]:
    rows = [row for number, d in enumerate(deployments) for row in changes.heard(d, number, gone=gone)]
    return [(row["time_unix_nano"], row["reason"], row["message"], row["attributes"]) for row in rows]


def test_a_rollout_is_told_once_its_pods_are_there_with_the_time_it_was_asked_for() -> None:
    changes = Changes(lambda: [pod("old", "1"), pod("new-b", "2"), pod("new-a", "2")])
    asked, half, done = (deployment("2", updatedReplicas=n) for n in (0, 1, 2))

    assert heard(changes, deployment("1", updatedReplicas=2)) == [], "what was there before is no change"
    assert heard(changes, asked, half, done, done) == [
        (0, "Rollout", "payment rolled out: 1 -> 2", {"from": "1", "to": "2", "pods": ["new-a", "new-b"]})
    ]


def test_a_second_deployment_of_a_service_is_a_rollout_and_its_end_the_way_back() -> None:
    changes = Changes(lambda: [pod("p", "1")])
    canary = deployment("2", "payment-canary", 1, updatedReplicas=1)

    assert heard(changes, deployment("1", updatedReplicas=2)) == []
    assert heard(changes, canary) == [
        (0, "Rollout", "payment rolled out: 1 -> 2", {"from": "1", "to": "2", "pods": []})
    ]
    assert heard(changes, canary, gone=True) == [
        (0, "Rollout", "payment rolled back: 2 -> 1", {"from": "2", "to": "1", "pods": ["p"]})
    ]


def test_scale_and_template_are_changes_and_a_status_is_none() -> None:
    changes = Changes(list)
    other = deployment("1")
    other["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]

    assert heard(changes, deployment("1"), deployment("1", updatedReplicas=2)) == []
    assert heard(changes, deployment("1", replicas=3)) == [
        (
            0,
            "Scale",
            "payment was scaled: 2 -> 3 replicas",
            {"from_replicas": 2, "to_replicas": 3},
        )
    ]
    assert [row[1:3] for row in heard(changes, other)] == [
        ("Config", "the pod template of payment was changed"),
        ("Scale", "payment was scaled: 3 -> 2 replicas"),
    ]


@pytest.mark.parametrize(
    ("workload", "kind", "name"), [("payment", "Deployment", "payment"), ("", "Pod", "p-1")]
)
def test_an_event_stands_under_the_service_that_it_concerns(workload: str, kind: str, name: str) -> None:
    about = {"kind": "Pod", "name": "p-1", "namespace": "shop"}
    event = {"involvedObject": about, "type": "Warning", "reason": "BackOff", "message": "m", "count": 3}

    row = event_row(event, workload, 7)

    assert (row["kind"], row["name"], row["namespace"]) == (kind, name, "shop")
    assert (row["type"], row["reason"], row["message"], row["time_unix_nano"]) == (
        "Warning",
        "BackOff",
        "m",
        7,
    )
    assert row["attributes"] == {"pod": "p-1", "count": 3}


def test_restarts_reach_the_capture_under_the_name_that_prometheus_has() -> None:

    status = {"containerStatuses": [{"name": "payment", "restartCount": 4}]}
    request = restart_metrics([{**pod("p-1", "1"), "status": status}, pod("p-2", "1")], 9)
    rows, rejected = rows_of("metrics", parse("metrics", json.dumps(request).encode(), "json"))

    (row,) = rows
    assert not rejected
    assert {"kube_pod_container_status_restarts_total", 4.0, "payment", "p-1"} <= set(row)


class Containers:
    """The containers of a shop, and what each was told."""

    def __init__(self) -> None:
        self.there: list[dict[str, Any]] = []
        self.told: list[tuple[str, dict]] = []
        self.deaf: set[str] = set()

    def start(self, app: str, instance: str, **more: Any) -> None:
        there = {
            "app": app,
            "name": instance,
            "instance": instance,
            "pid": 1,
            "ready": True,
            "state": "ready",
        }
        self.there.append({**there, "control": [instance, 8081], **more})

    def call(self, address: Address, command: str, timeout_s: float = 5, **values: Any) -> dict[str, Any]:
        if command == "pods":
            return {"containers": self.there}
        if address.host in self.deaf:
            raise LabError("nobody answers")
        self.told.append((address.host, values))
        return {}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> tuple[Shop, Containers]:
    containers = Containers()
    monkeypatch.setattr(shop_module, "call", containers.call)
    return Shop(Address(1, "t"), "t", documents=SHOP), containers


def test_each_life_of_a_container_is_told_once_what_is_in_effect(running) -> None:
    shop, containers = running
    containers.start("risk", "risk-a")
    containers.start("order", "order-a")
    containers.start("payment-canary", "canary")  # has its knobs from its manifest
    shop.tell()
    assert containers.told == []
    shop.knobs = {"risk": {"score_cpu_ms": 44.0}}
    shop.tell()
    shop.tell()
    assert containers.told == [("risk-a", {"score_cpu_ms": 44.0})]
    containers.start("risk", "risk-b")
    shop.tell()
    shop.knobs = {}
    shop.tell()
    assert containers.told[1:] == [("risk-b", {"score_cpu_ms": 44.0}), ("risk-a", {}), ("risk-b", {})]


def test_a_container_that_does_not_answer_is_told_the_next_time(running) -> None:
    shop, containers = running
    containers.start("risk", "risk-a")
    shop.knobs, containers.deaf = {"risk": {"x": 1.0}}, {"risk-a"}
    with pytest.raises(LabError):
        shop.tell()
    containers.deaf = set()
    shop.tell()
    assert containers.told == [("risk-a", {"x": 1.0})]


def test_the_shop_is_ready_when_every_replica_that_is_wanted_is(running) -> None:
    shop, containers = running
    for app in ("storefront", "order", "payment", "risk"):
        containers.start(app, f"{app}-a")
        containers.start(app, f"{app}-b")
    assert shop.is_ready()
    containers.there[0] |= {"ready": False, "state": "CrashLoopBackOff", "pid": None}
    assert not shop.is_ready()
    assert shop.not_ready() == "storefront-a (CrashLoopBackOff)"
    assert shop.pids("storefront") == [1]
