"""The shop from its own manifests on the practice cluster: served through the Ingress, killed, deleted, rolled, counted.

Customers bring a key and never try again: what the shop loses, they see.
"""

import http.client
import json
import os
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import yaml
from cluster_server import Practice, until

import opslib.lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

MANIFESTS = sorted((Path(opslib.lab.__file__).parent / "manifests").glob("*.yaml"))
DOCUMENTS = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text()) if document]
PLURAL = {"Ingress": "ingresses"}
APPLY = {"Content_Type": "application/apply-patch+yaml"}
READY_S = 10.0


def path_of(document: dict) -> str:
    version, metadata = document["apiVersion"], document["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    plural = PLURAL.get(document["kind"], document["kind"].lower() + "s")
    return f"{'/apis' if '/' in version else '/api'}/{version}{namespace}/{plural}/{metadata['name']}"


class Shop:
    """The shop on a cluster, as its operator sees it."""

    def __init__(self, practice: Practice) -> None:
        self.practice = practice

    def apply(self) -> None:
        for document in DOCUMENTS:
            path = f"{path_of(document)}?fieldManager=test&force=true"
            status, answer = self.practice.call("PATCH", path, document, **APPLY)
            assert status in {200, 201}, answer

    def pods(self, service: str = "") -> list[dict]:
        query = f"?labelSelector=app.kubernetes.io/name={service}" if service else ""
        return self.practice.call("GET", f"/api/v1/namespaces/shop/pods{query}")[1]["items"]

    def ready(self, service: str = "") -> list[dict]:
        return [p for p in self.pods(service) if is_ready(p) and "deletionTimestamp" not in p["metadata"]]

    @property
    def front_door(self) -> tuple[str, int]:
        path = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/storefront"
        address = self.practice.call("GET", path)[1]["status"]["loadBalancer"]["ingress"][0]
        return address["ip"], address["ports"][0]["port"]

    def booked(self) -> dict[str, int]:
        """How often each order was booked, without the ledger's past."""
        ledger = self.practice.state / "host/var/lib/opslib-shop/ledger/ledger.db"
        with closing(sqlite3.connect(ledger)) as connection:
            query = (
                "SELECT order_id, count(*) FROM payments WHERE order_id NOT LIKE 'past-%' GROUP BY order_id"
            )
            return dict(connection.execute(query).fetchall())

    def process(self, pod: dict) -> psutil.Process:
        """The process of a pod's container."""
        for process in psutil.process_iter():
            try:
                if process.environ().get("POD_NAME") == pod["metadata"]["name"]:
                    return process
            except psutil.Error:
                continue
        raise AssertionError(f"{pod['metadata']['name']} has no process")


def is_ready(pod: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


class Customers:
    """Some threads that order one thing after the other, each order with a key, and never a second time."""

    def __init__(self, front_door: tuple[str, int], threads: int = 3) -> None:
        self.answers: list[tuple[str, Any, dict]] = []
        self._front_door, self._enough = front_door, threading.Event()
        self._threads = [threading.Thread(target=self._order) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(60)

    def _order(self) -> None:
        connection = http.client.HTTPConnection(*self._front_door, timeout=60)
        while not self._enough.wait(0.05):
            key = uuid.uuid4().hex
            headers = {"Content-Type": "application/json", "Idempotency-Key": key}
            try:
                connection.request(
                    "POST", "/checkout", json.dumps({"account": "a", "amount_cents": 5}), headers
                )
                answer = connection.getresponse()
                self.answers.append((key, answer.status, json.loads(answer.read() or b"{}")))
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                self.answers.append((key, repr(error), {}))
        connection.close()

    def more(self, number: int = 15) -> None:
        """Wait for further answers."""
        wanted = len(self.answers) + number
        until(lambda: len(self.answers) >= wanted, 60)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    practice = Practice(tmp_path_factory.mktemp("shop") / "state").start()
    made = Shop(practice)
    made.apply()
    until(lambda: len(made.ready()) == 8, 90)
    yield made
    practice.stop()
    assert not [p for p in psutil.process_iter(["environ"]) if str(practice.state) in str(p.info["environ"])]


def lost(customers: Customers) -> list:
    return [answer for answer in customers.answers if answer[1] != 200]


def count(shop: Shop, customers: Customers) -> None:
    """Nothing was lost, and each order is in the ledger once, under the number that its customer was told."""
    assert not lost(customers)
    told = [body["order_id"] for _, _, body in customers.answers]
    booked = shop.booked()
    assert len(set(told)) == len(told)
    assert [booked.get(order) for order in told] == [1] * len(told)


def test_orders_go_in_through_the_ingress_and_a_repeated_one_is_the_same(shop: Shop) -> None:
    before = len(shop.booked())
    with Customers(shop.front_door) as customers:
        customers.more(30)
    count(shop, customers)
    assert len(shop.booked()) == before + len(customers.answers)
    key, _, body = customers.answers[0]
    connection = http.client.HTTPConnection(*shop.front_door, timeout=60)
    with closing(connection):
        connection.request(
            "POST", "/checkout", json.dumps({"account": "a", "amount_cents": 5}), {"Idempotency-Key": key}
        )
        assert json.loads(connection.getresponse().read()) == body
    assert len(shop.booked()) == before + len(customers.answers)


def test_a_killed_container_is_back_in_its_pod_and_nobody_noticed(shop: Shop) -> None:
    with Customers(shop.front_door) as customers:
        customers.more()
        (victim, *_) = shop.ready("order")
        uid, restarts = victim["metadata"]["uid"], victim["status"]["containerStatuses"][0]["restartCount"]
        at_s = time.monotonic()
        os.kill(shop.process(victim).pid, signal.SIGKILL)

        def back() -> bool:
            pod = next(p for p in shop.pods("order") if p["metadata"]["uid"] == uid)
            return is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == restarts + 1

        until(back)
        assert time.monotonic() - at_s < READY_S
        customers.more()
    count(shop, customers)


def test_a_pod_deleted_by_force_is_replaced_and_nobody_noticed(shop: Shop) -> None:
    with Customers(shop.front_door) as customers:
        customers.more()
        (victim, *_) = shop.ready("order")
        others = {p["metadata"]["uid"] for p in shop.pods("order")}
        at_s = time.monotonic()
        path = f"/api/v1/namespaces/shop/pods/{victim['metadata']['name']}"
        assert shop.practice.call("DELETE", path, {"gracePeriodSeconds": 0})[0] == 200
        until(lambda: [p for p in shop.ready("order") if p["metadata"]["uid"] not in others])
        assert time.monotonic() - at_s < READY_S
        customers.more()
    count(shop, customers)


@pytest.mark.parametrize("service", ["storefront", "payment"])
def test_a_rolling_update_under_load_loses_and_doubles_nothing(shop: Shop, service: str) -> None:
    image = f"localhost:5000/shop/{service}:1.5.0"
    template = {"spec": {"containers": [{"name": service, "image": image}]}}
    path = f"/apis/apps/v1/namespaces/shop/deployments/{service}"
    with Customers(shop.front_door) as customers:
        customers.more()
        patch = {"spec": {"template": template}}
        headers = {"Content_Type": "application/strategic-merge-patch+json"}
        assert shop.practice.call("PATCH", path, patch, **headers)[0] == 200

        def rolled() -> bool:
            pods = shop.pods(service)
            return len(pods) == 2 and all(
                p["spec"]["containers"][0]["image"] == image and is_ready(p) for p in pods
            )

        until(rolled, 90)
        customers.more()
    count(shop, customers)


def test_the_manifests_are_what_a_real_cluster_takes() -> None:
    """Nothing of this machine is in them, and what production asks for is."""
    kinds = {document["kind"] for document in DOCUMENTS}
    assert {"Namespace", "ServiceAccount", "ConfigMap", "Secret", "Ingress", "Service", "Deployment"} <= kinds
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
