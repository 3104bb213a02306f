"""Tells the collector what happens in a namespace: Kubernetes' events, changes of Deployments, restarts of containers.

Nothing of the cluster waits for the collector: what it cannot take yet stays in a queue, the oldest of too much is lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any

from opslib.core.errors import LabError
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.server import Cluster
from opslib.lab.cluster.store import Event
from opslib.lab.control import Address, call
from opslib.lab.hosting.changes import Changes
from opslib.lab.ports import LOOPBACK
from opslib.telemetry.kubernetes.rows import Row, event_row, workload_of

_DEPLOYMENTS = "deployments.apps"
_MOST_WAITING = 5_000
_REMEMBERED = 1_000
_METRICS_EVERY_S = 5.0
_AGAIN_S = 0.5
_log = logging.getLogger(__name__)


class Reporter:
    """Follows one namespace of a cluster: hears on the cluster's loop, sends on a thread of its own."""

    def __init__(self, cluster: Cluster, namespace: str, collector: Address, otlp_port: int) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._collector, self._otlp_port = collector, otlp_port
        self._changes = Changes(lambda: cluster.api.list("pods", namespace))
        self._workloads: dict[str, str] = {}  # object -> service, also of some that are gone
        self._waiting: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin with what changes from now on."""
        for deployment in self._cluster.api.list(_DEPLOYMENTS, self._namespace):
            self._tell(self._changes.heard(deployment, time.time_ns(), gone=False))
        self._cluster.api.subscribe(self._hear)
        self._count()
        threading.Thread(target=self._send, name="events", daemon=True).start()

    def _hear(self, event: Event) -> None:
        obj, gone = event.object, event.type == "DELETED"
        if obj["metadata"].get("namespace") != self._namespace:
            return
        if event.resource == _DEPLOYMENTS:
            self._tell(self._changes.heard(obj, time.time_ns(), gone=gone))
        if event.resource == "events" and not gone:
            about = obj["involvedObject"]
            self._tell([event_row(obj, self._workloads.get(about["name"], ""), time.time_ns())])
        elif workload := workload_of(obj):
            self._workloads[obj["metadata"]["name"]] = workload
            if len(self._workloads) > _REMEMBERED:
                del self._workloads[next(iter(self._workloads))]

    def _count(self) -> None:
        """Have the restarts of all pods sent, now and every few seconds from now on."""
        pods = self._cluster.api.list("pods", self._namespace)
        self._put(partial(send_metrics, self._otlp_port, restart_metrics(pods, time.time_ns())))
        asyncio.get_running_loop().call_later(_METRICS_EVERY_S, self._count)

    def _tell(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._put(partial(call, self._collector, "event", **row))

    def _put(self, sending: Callable[[], object]) -> None:
        if self._waiting.qsize() >= _MOST_WAITING:
            with suppress(queue.Empty):
                self._waiting.get_nowait()
        self._waiting.put(sending)

    def _send(self) -> None:
        """Send one thing after the other, for ever, each again until it arrives."""
        while True:
            sending = self._waiting.get()
            while not _arrives(sending):
                time.sleep(_AGAIN_S)


def _arrives(sending: Callable[[], object]) -> bool:
    try:
        sending()
    except (LabError, OSError, HTTPException) as error:
        _log.info("the collector does not answer: %s", error)
        return False
    return True


def restart_metrics(pods: Iterable[Object], time_ns: int) -> Object:
    """Return `kube_pod_container_status_restarts_total` of pods as an OTLP export request in JSON."""
    return {"resourceMetrics": [_of_pod(pod, time_ns) for pod in pods]}


def _of_pod(pod: Object, time_ns: int) -> Object:
    metadata = pod["metadata"]
    about = {"service.name": workload_of(pod), "k8s.pod.name": metadata["name"]}
    points = [
        {
            "asInt": str(seen.get("restartCount", 0)),
            "timeUnixNano": str(time_ns),
            "attributes": _attributes({"container": seen["name"]}),
        }
        for seen in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    total = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": points}
    # Without `_total`: whoever makes Prometheus names of OTLP's adds it to what only grows.
    metric = {"name": "kube_pod_container_status_restarts", "sum": total}
    return {"resource": {"attributes": _attributes(about)}, "scopeMetrics": [{"metrics": [metric]}]}


def _attributes(values: dict[str, str]) -> list[Any]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def send_metrics(port: int, request: Object) -> None:
    """Send an export request to the collector. Raises OSError, HTTPException."""
    connection = HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("POST", "/v1/metrics", json.dumps(request), {"Content-Type": "application/json"})
        connection.getresponse().read()
    finally:
        connection.close()
