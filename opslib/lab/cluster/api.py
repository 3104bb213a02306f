"""The API without HTTP: what the HTTP server, the controllers and the kubelet all read and write through.

Every write passes the same way, whoever asks: decode, defaults, admission, validation, conflicts, managedFields,
finalizers. All of it is synchronous and in memory; objects returned are never to be changed in place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import IPv4Network
from typing import Any, Protocol

import msgspec

from opslib.core.clock import Clock
from opslib.lab.cluster import deletion, patches, statuses
from opslib.lab.cluster.definitions import Definitions
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import DeleteOptions, LogOptions, Object, WriteOptions
from opslib.lab.cluster.pipeline import Pipeline
from opslib.lab.cluster.resources import Resource, Resources
from opslib.lab.cluster.scales import scale_of, scaled
from opslib.lab.cluster.selectors import parse_fields, parse_labels
from opslib.lab.cluster.store import Event, Store

__all__ = ["Api", "DeleteOptions", "Event", "Logs", "Object", "Usage", "WriteOptions"]

_SERVICE_NETWORK = IPv4Network("127.96.0.0/16")
_NO_BLIND_UPDATES = {
    "customresourcedefinitions.apiextensions.k8s.io",
    "leases.coordination.k8s.io",
    "poddisruptionbudgets.policy",
}
_WRITTEN_PARTS = {"", "status", "finalize"}


class Logs(Protocol):
    """What the kubelet offers for `pods/log`. Raises StatusError 400 with the texts of the real one."""

    async def read(self, namespace: str, pod: str, wanted: LogOptions) -> AsyncIterator[bytes]: ...


class Usage(Protocol):
    """What the kubelet measures: objects of metrics.k8s.io/v1beta1 (PodMetrics)."""

    def pods(self, namespace: str) -> list[Object]: ...


class Api:
    """All resources of the cluster. Every method raises StatusError with Kubernetes' own code and text."""

    def __init__(
        self, store: Store, clock: Clock, *, service_network: IPv4Network = _SERVICE_NETWORK
    ) -> None:
        self.store = store
        self.clock = clock
        self.resources = Resources()
        self.definitions = Definitions(store, self.resources, clock)
        self._pipeline = Pipeline(store, self.resources, self.definitions, clock, service_network)

    def resource(self, name: str) -> Resource:
        """Return a resource by its name. Raises StatusError 404."""
        found = self.resources.find(name)
        if found is None:
            raise statuses.no_such_resource()
        return found

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """Return one object. Raises StatusError 404."""
        return self._live(self.resource(resource), namespace, name)

    def get_scale(self, resource: str, namespace: str, name: str) -> Object:
        """Return a workload's scale. Raises StatusError 404."""
        return scale_of(self.get(resource, namespace, name))

    def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Object]:
        """Return the objects of a namespace ("": of all) that both selectors match, by namespace and name."""
        found = self.store.scan(self.resource(resource).name, namespace)
        if labels:
            wanted = parse_labels(labels)
            found = [o for o in found if wanted.matches(o["metadata"].get("labels") or {})]
        if fields:
            chosen = parse_fields(fields, self.resource(resource))
            found = [o for o in found if chosen.matches(o)]
        return found

    def create(self, resource: str, namespace: str, obj: Object, options: WriteOptions) -> Object:
        """Keep a new object, under metadata.name or a name made from metadata.generateName."""
        res = self.resource(resource)
        return self._pipeline.create(res, namespace, obj, options)

    def update(
        self,
        resource: str,
        namespace: str,
        name: str,
        obj: Object,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> Object:
        """Replace an object, or with `subresource` "status" or "scale" that part of it; no change writes nothing."""
        res = self.resource(resource)
        live = self._live(res, namespace, name)
        if subresource == "scale":
            return scale_of(self._pipeline.replace(res, live, scaled(live, obj), options, "scale"))
        new = self._pipeline.prepared(res, namespace, name, obj)
        if not new["metadata"].get("resourceVersion") and (res.custom or res.name in _NO_BLIND_UPDATES):
            raise statuses.version_needed(res, name)
        return self._pipeline.replace(res, live, new, options, _known(subresource))

    def patch(  # noqa: PLR0917 - what a PATCH request consists of
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Any,
        patch_type: str,
        options: WriteOptions,
        *,
        subresource: str = "",
    ) -> Object:
        """Patch an object; `patch_type` is "merge", "json", "strategic" or "apply" (server-side, creates too)."""
        res = self.resource(resource)
        if patch_type == "apply":
            return self._pipeline.apply(res, (namespace, name), patch, options, _known(subresource))
        live = self._live(res, namespace, name)
        part = scale_of(live) if subresource == "scale" else live
        new = self._patched(res, part, patch, patch_type)
        if subresource == "scale":
            return scale_of(self._pipeline.replace(res, live, scaled(live, new), options, "scale"))
        new = self._pipeline.prepared(res, namespace, name, new)
        shown = patch if patch_type == "strategic" else msgspec.json.encode(new).decode()
        return self._pipeline.replace(res, live, new, options, _known(subresource), patch=shown)

    def _patched(self, res: Resource, part: Object, patch: Any, patch_type: str) -> Object:
        if patch_type == "json":
            new = patches.json_patch(part, patch)
            if not isinstance(new, dict):
                raise statuses.bad_patch()
            return new
        if not isinstance(patch, dict):
            raise statuses.bad_request("the patch is no JSON object")
        if patch_type == "merge":
            merged: Object = patches.merge_patch(part, patch)
            return merged
        if res.custom:
            raise statuses.not_acceptable_body(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
            )
        return patches.strategic_merge(part, patch, self.definitions.schema(res))

    def delete(self, resource: str, namespace: str, name: str, options: DeleteOptions) -> Object:
        """Delete an object, or mark it where finalizers or a pod's grace keep it. Return its last state."""
        res = self.resource(resource)
        live = self._live(res, namespace, name)
        deletion.check_preconditions(res, live, options)
        marked = deletion.marked(res, live, options, self.clock.now_ns())
        if options.dry_run:
            return marked
        if deletion.finished(res, marked):
            return self._pipeline.remove(res, live)
        return live if marked == live else self._pipeline.mark(res, marked)

    def delete_collection(
        self, resource: str, namespace: str, options: DeleteOptions, *, labels: str = "", fields: str = ""
    ) -> Sequence[Object]:
        """Delete all that both selectors match; return their last states."""
        found = self.list(resource, namespace, labels=labels, fields=fields)
        return [
            self.delete(resource, o["metadata"].get("namespace", ""), o["metadata"]["name"], options)
            for o in found
        ]

    def bind(self, namespace: str, pod: str, node: str) -> Object:
        """Give a pod its node, as the scheduler does; its condition PodScheduled becomes True."""
        res = self.resource("pods")
        live = self._live(res, namespace, pod)
        if live["spec"].get("nodeName"):
            text = f"pod {pod} is already assigned to node {live['spec']['nodeName']!r}"
            raise statuses.refused_conflict(res, pod, text)
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": stamp(self.clock.now_ns()),
            "observedGeneration": live["metadata"].get("generation", 1),
        }
        status = live.get("status", {})
        others = [c for c in status.get("conditions", ()) if c["type"] != "PodScheduled"]
        new = {
            **live,
            "spec": {**live["spec"], "nodeName": node},
            "status": {**status, "conditions": [*others, condition]},
        }
        return self.store.put(res, new)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have every change told, synchronously and in order; return what ends that."""
        return self.store.subscribe(callback)

    def _live(self, res: Resource, namespace: str, name: str) -> Object:
        live = self.store.get(res.name, namespace, name)
        if live is None:
            raise statuses.not_found(res, name)
        return live


def _known(subresource: str) -> str:
    if subresource not in _WRITTEN_PARTS:
        raise statuses.no_such_resource()
    return subresource
