"""Events: what happened to an object, as `kubectl describe` shows it.

Equal events are one object with a rising count; an event ends an hour after its last
occurrence. So their number is bounded however long something crashes.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from opslib.core.clock import Clock
from opslib.lab.cluster.api import Api
from opslib.lab.cluster.controllers import objects
from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.metadata import micro_stamp, stamp
from opslib.lab.cluster.options import Object, WriteOptions
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Event

TTL_S = 3600.0
_SWEEP_S = 60.0
_MOST = 5_000  # events kept: what rolls all day would fill the memory within the hour
_REMEMBERED = 1000  # names of events, by each component

log = logging.getLogger(__name__)


class Recorder:
    """Writes events in the name of one component. `host` is the node of one that runs on it."""

    def __init__(self, api: Api, clock: Clock, component: str, host: str = "") -> None:
        self._api = api
        self._clock = clock
        self._component = component
        self._host = host
        self._last_ns = 0
        self._names: OrderedDict[Key, str] = OrderedDict()  # of the last ones

    def record(
        self, obj: Object, kind: str, reason: str, message: str, field_path: str = "", *, action: str = ""
    ) -> None:
        """Note what happened; `kind` is Normal or Warning. With an `action` in the newer form (the scheduler's)."""
        key = (obj["metadata"]["uid"], kind, reason, field_path, message)
        namespace, name = obj["metadata"].get("namespace") or "default", self._names.get(key)
        try:
            old = objects.find(self._api, "events", namespace, name) if name else None
            if old is None:
                told = {"type": kind, "reason": reason, "message": message}
                event = self._new(obj, told, field_path, action)
                self._api.create("events", namespace, event, self._options)
            else:
                event = self._again(old)
                objects.update(self._api, "events", event, self._options)
        except StatusError as error:  # its namespace ends: nobody will read it
            log.debug("event %s %s: %s", reason, message, error)
            return
        self._names[key] = event["metadata"]["name"]
        self._names.move_to_end(key)
        if len(self._names) > _REMEMBERED:
            self._names.popitem(last=False)

    @property
    def _options(self) -> WriteOptions:
        known = {"kubelet", "default-scheduler"}
        manager = self._component if self._component in known else "kube-controller-manager"
        return WriteOptions(manager=manager.replace("default-", "kube-"))

    def _new(self, obj: Object, told: Object, field_path: str, action: str) -> Object:
        now_ns = self._clock.now_ns()
        self._last_ns = max(now_ns, self._last_ns + 1)
        namespace, name = objects.key_of(obj)
        about = {"kind": obj["kind"], "namespace": namespace, "name": name, "uid": obj["metadata"]["uid"]}
        about |= {
            "apiVersion": obj["apiVersion"],
            "resourceVersion": obj["metadata"].get("resourceVersion", ""),
        }
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{self._last_ns:016x}", "namespace": namespace or "default"},
            "involvedObject": {k: v for k, v in (about | {"fieldPath": field_path}).items() if v},
            **told,
            "reportingComponent": self._component,
        }
        if action:
            instance = f"{self._component}-{self._host}" if self._host else self._component
            timed: Object = {"eventTime": micro_stamp(now_ns), "firstTimestamp": None, "lastTimestamp": None}
            return event | timed | {"source": {}, "action": action, "reportingInstance": instance}
        at = stamp(now_ns)
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        times = {"firstTimestamp": at, "lastTimestamp": at, "count": 1, "eventTime": None}
        return event | times | {"source": source, "reportingInstance": self._host}

    def _again(self, old: Object) -> Object:
        if old.get("eventTime"):
            seen = {"lastObservedTime": micro_stamp(self._clock.now_ns())}
            return old | {"series": seen | {"count": old.get("series", {}).get("count", 1) + 1}}
        return old | {"count": old.get("count", 1) + 1, "lastTimestamp": stamp(self._clock.now_ns())}


class EventExpiry:
    """Ends events that have not occurred for an hour, and the oldest beyond a bound."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock

    def keys(self, event: Event) -> set[Key]:
        return {("sweep",)} if event.resource == "nodes" and event.type == "ADDED" else set()

    def reconcile(self, key: Key) -> float:
        del key
        before_s = self._clock.now_ns() / 1e9 - TTL_S
        latest_first = sorted(self._api.list("events"), key=last_seen_s, reverse=True)
        for number, event in enumerate(latest_first):
            if number >= _MOST or last_seen_s(event) < before_s:
                objects.delete(self._api, "events", event)
        return _SWEEP_S


def last_seen_s(event: Object) -> float:
    """Return when an event occurred last, unix seconds; when it was written where it does not say."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return objects.seconds(next(filter(None, times), event["metadata"]["creationTimestamp"]))
