"""The shop from its own manifests: served, killed, deleted, rolled, counted.

Customers bring a key and never try again: what the shop loses, they see.
"""

import json
import os
import shutil
import signal
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from clusters import APPLY, Cluster, Namespace, is_ready, until
from load import Load, Request

import opslib.lab

MANIFESTS = sorted((Path(opslib.lab.__file__).parent / "manifests").glob("*.yaml"))
DOCUMENTS = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text()) if document]
PLURAL = {"Ingress": "ingresses"}
LEDGER = "var/lib/opslib-shop"
READY_S = 10.0


def path_of(document: dict) -> str:
    version, metadata = document["apiVersion"], document["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    plural = PLURAL.get(document["kind"], document["kind"].lower() + "s")
    return f"{'apis' if '/' in version else 'api'}/{version}{namespace}/{plural}/{metadata['name']}"


class Shop(Namespace):
    """The shop on a cluster, as its operator sees it. `node` is the root folder of the node's file system."""

    def __init__(self, cluster: Cluster, node: Path) -> None:
        super().__init__(cluster, "shop")
        self.node = node

    def apply(self) -> None:
        for document in DOCUMENTS:
            path = f"{path_of(document)}?fieldManager=test&force=true"
            self.ask("PATCH", path, document, content_type=APPLY)

    def pods(self, service: str = "") -> list[Any]:
        return self.items(
            "pods", **({"labelSelector": f"app.kubernetes.io/name={service}"} if service else {})
        )

    @property
    def front_door(self) -> tuple[str, int]:
        """The Ingress where somebody serves it, else the Service behind it."""
        ingress = self.get("ingresses", "storefront")["status"]["loadBalancer"].get("ingress")
        if ingress:
            return ingress[0]["ip"], ingress[0]["ports"][0]["port"]
        return self.get("services", "storefront")["spec"]["clusterIP"], 80

    def booked(self) -> dict[str, int]:
        """How often each order was booked, without the ledger's past."""
        with closing(sqlite3.connect(self.node / LEDGER / "ledger/ledger.db")) as connection:
            query = (
                "SELECT order_id, count(*) FROM payments WHERE order_id NOT LIKE 'past-%' GROUP BY order_id"
            )
            return dict(connection.execute(query).fetchall())

    def process(self, pod: dict) -> psutil.Process:
        """The process of a pod's container: the node is this machine."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("POD_NAME") == pod["metadata"]["name"]:
                    return process
            except psutil.Error:
                continue
        raise AssertionError(f"{pod['metadata']['name']} has no process")


def order() -> Request:
    headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    return "POST", "/checkout", json.dumps({"account": "a", "amount_cents": 5}), headers


def customers(shop: Shop) -> Load:
    """Each orders with a key of its own."""
    return Load(shop.front_door, 20.0, order)


def is_open(shop: Shop) -> bool:
    """Ready pods are known at the front door a little later."""
    with Load(shop.front_door, 20.0, lambda: ("GET", "/", None, {}), threads=1) as load:
        load.more(5)
    return not load.lost()


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Shop]:
    if cluster.node is None:
        pytest.skip("the shop's images and its ledger are known of the cluster alone that tests/stack starts")
    made = Shop(cluster, cluster.node)
    made.apply()
    until(lambda: len(made.ready()) == 8 and is_open(made), 90)
    yield made
    processes = [made.process(pod) for pod in made.ready()]
    cluster.call("DELETE", "api/v1/namespaces/shop")
    until(lambda: cluster.call("GET", "api/v1/namespaces/shop")[0] == 404, 120)
    shutil.rmtree(made.node / LEDGER)
    assert not [process for process in processes if process.is_running()]


def count(shop: Shop, load: Load) -> None:
    """Nothing was lost, and each order is in the ledger once, under the number that its customer was told."""
    load.check()
    assert not load.lost()
    told = [call.body["order_id"] for call in load.calls]
    booked = shop.booked()
    print(f"{sum(booked.get(order) == 1 for order in told)} of {len(told)} orders booked once")
    assert len(set(told)) == len(told)
    assert [booked.get(order) for order in told] == [1] * len(told)


def test_orders_go_in_at_the_front_door_and_a_repeated_one_is_the_same(shop: Shop) -> None:
    before = len(shop.booked())
    with customers(shop) as load:
        load.more(30)
    count(shop, load)
    assert len(shop.booked()) == before + len(load.calls)
    first = load.calls[0]
    method, path, body, _ = order()
    with Load(shop.front_door, 1.0, lambda: (method, path, body, first.headers), threads=1) as again:
        again.more(1)
    assert [call.body for call in again.calls] == [first.body]
    assert len(shop.booked()) == before + len(load.calls)


def test_a_killed_container_is_back_in_its_pod_and_nobody_noticed(shop: Shop) -> None:
    with customers(shop) as load:
        load.more()
        (victim, *_) = shop.ready("order")
        uid, restarts = victim["metadata"]["uid"], victim["status"]["containerStatuses"][0]["restartCount"]
        at_s = time.monotonic()
        os.kill(shop.process(victim).pid, signal.SIGKILL)

        def back() -> bool:
            pod = next(p for p in shop.pods("order") if p["metadata"]["uid"] == uid)
            return is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == restarts + 1

        until(back)
        took_s = time.monotonic() - at_s
        print(f"Ready again after {took_s:.1f} s")
        load.more()
    count(shop, load)
    assert took_s < READY_S, took_s


def test_a_pod_deleted_by_force_is_replaced_and_nobody_noticed(shop: Shop) -> None:
    with customers(shop) as load:
        load.more()
        (victim, *_) = shop.ready("order")
        others = {p["metadata"]["uid"] for p in shop.pods("order")}
        at_s = time.monotonic()
        shop.delete("pods", victim["metadata"]["name"], gracePeriodSeconds=0)
        until(lambda: [p for p in shop.ready("order") if p["metadata"]["uid"] not in others])
        took_s = time.monotonic() - at_s
        print(f"Ready again after {took_s:.1f} s")
        load.more()
    count(shop, load)
    assert took_s < READY_S, took_s


@pytest.mark.parametrize("service", ["storefront", "payment"])
def test_a_rolling_update_under_load_loses_and_doubles_nothing(shop: Shop, service: str) -> None:
    image = f"localhost:5000/shop/{service}:1.5.0"
    template = {"spec": {"containers": [{"name": service, "image": image}]}}
    with customers(shop) as load:
        load.more()
        shop.patch("deployments", service, {"spec": {"template": template}})

        def rolled() -> bool:
            pods = shop.pods(service)
            return len(pods) == 2 and all(
                p["spec"]["containers"][0]["image"] == image and is_ready(p) for p in pods
            )

        until(rolled, 90)
        load.more()
    count(shop, load)


def test_the_manifests_are_what_a_real_cluster_takes() -> None:
    """Nothing of this machine is in them, and what production asks for is."""
    kinds = {document["kind"] for document in DOCUMENTS}
    assert {"Namespace", "ServiceAccount", "ConfigMap", "Ingress", "Service", "Deployment"} <= kinds
    deployments = [document for document in DOCUMENTS if document["kind"] == "Deployment"]
    budgets = {d["metadata"]["name"] for d in DOCUMENTS if d["kind"] == "PodDisruptionBudget"}
    assert (
        {d["metadata"]["name"] for d in deployments} == budgets == {"storefront", "order", "payment", "risk"}
    )
    for deployment in deployments:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        probes = {"startupProbe", "livenessProbe", "readinessProbe", "lifecycle"}
        assert probes <= set(container)
        assert (
            {"cpu", "memory"}
            == set(container["resources"]["requests"])
            == set(container["resources"]["limits"])
        )
        grace_s = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace_s > container["lifecycle"]["preStop"]["sleep"]["seconds"] + 20, "the drain fits in"
    assert "127." not in "".join(path.read_text() for path in MANIFESTS)
