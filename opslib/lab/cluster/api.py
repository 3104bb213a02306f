"""The API without HTTP: what the HTTP server, the controllers and the kubelet all read and write through.

Every write passes the same way, whoever asks: decode, defaults, admission, validation, conflicts, managedFields,
finalizers. All of it is synchronous and in memory; objects returned are never to be changed in place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from opslib.core.clock import Clock
from opslib.lab.cluster.options import DeleteOptions, Object, WriteOptions
from opslib.lab.cluster.resources import Resources
from opslib.lab.cluster.store import Event, Store

__all__ = ["Api", "DeleteOptions", "Event", "Logs", "Object", "Usage", "WriteOptions"]


class Logs(Protocol):
    """What the kubelet offers for `pods/log`. Raises StatusError 400 with the texts of the real one."""

    def read(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        follow: bool = False,
        tail_lines: int | None = None,
        since_s: float | None = None,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]: ...


class Usage(Protocol):
    """What the kubelet measures: objects of metrics.k8s.io/v1beta1 (PodMetrics, NodeMetrics)."""

    def pods(self, namespace: str) -> list[Object]: ...

    def nodes(self) -> list[Object]: ...


class Api:
    """All resources of the cluster. Every method raises StatusError with Kubernetes' own code and text."""

    resources: Resources

    def __init__(self, store: Store, clock: Clock, *, service_network: str = "127.96.0.0/24") -> None:
        raise NotImplementedError

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """Return one object. Raises StatusError 404."""
        raise NotImplementedError

    def list(self, resource: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Object]:
        """Return the objects of a namespace ("": of all) that both selectors match."""
        raise NotImplementedError

    def create(self, resource: str, namespace: str, obj: Object, options: WriteOptions) -> Object:
        raise NotImplementedError

    def update(
        self, resource: str, namespace: str, name: str, obj: Object, options: WriteOptions, *, subresource: str = ""
    ) -> Object:
        """Replace an object, or with `subresource` "status" or "scale" that part of it; no change writes nothing."""
        raise NotImplementedError

    def patch(
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
        raise NotImplementedError

    def delete(self, resource: str, namespace: str, name: str, options: DeleteOptions) -> Object:
        """Delete an object, or mark it for deletion where finalizers or a pod's grace keep it. Return its last state."""
        raise NotImplementedError

    def delete_collection(
        self, resource: str, namespace: str, options: DeleteOptions, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        raise NotImplementedError

    def bind(self, namespace: str, pod: str, node: str) -> Object:
        """Give a pod its node, as the scheduler does (condition PodScheduled becomes True)."""
        raise NotImplementedError

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have every change told, synchronously and in order; return what ends that."""
        raise NotImplementedError
