"""One change at a time for a workload, whoever makes it: a Lease of the cluster, renewed while the change goes on.

A Lease that was not renewed for its duration is anybody's; the change that holds it already takes it again, so a driver
that was killed is followed by the next one of the same change at once. Taking over is a patch that tests what was read,
so of two only one succeeds.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import ConflictError, NotFoundError, OpslibError, RefusedError
from opslib.kube import Cluster, Object, Ref
from opslib.manifests.pods import mapping
from opslib.manifests.trouble import seconds

DURATION_S = 30
_RENEW_S = 10.0


def lease_of(ref: Ref) -> Ref:
    """Return the Lease of a workload: the same for every client."""
    digest = hashlib.sha256("/".join(ref.key).encode()).hexdigest()[:10]
    return Ref(
        "coordination.k8s.io/v1",
        "Lease",
        ref.namespace,
        f"opslib-{ref.kind.lower()}-{ref.name}"[:50] + f"-{digest}",
    )


@contextmanager
def locked(cluster: Cluster, refs: Iterable[Ref], holder: str, clock: Clock) -> Iterator[None]:
    """Hold the locks of workloads. Raises RefusedError, naming who, where another change holds one."""
    wanted = sorted(set(refs))
    held: list[Ref] = []
    ending = threading.Event()
    renewing = threading.Thread(target=_renew, args=(cluster, held, holder, clock, ending), daemon=True)
    try:
        for ref in wanted:
            _take(cluster, ref, holder, clock)
            held.append(lease_of(ref))
        renewing.start()
        yield
    finally:
        ending.set()
        if renewing.is_alive():
            renewing.join()
        for lease in held:
            with suppress(OpslibError):  # it runs out by itself
                _give_back(cluster, lease, holder)


def _take(cluster: Cluster, ref: Ref, holder: str, clock: Clock) -> None:
    lease = lease_of(ref)
    with suppress(ConflictError):
        cluster.create(_body(lease, holder, clock))
        return
    found = cluster.get(lease)
    if found is None:
        raise RefusedError(f"the lock of {ref} was just given back", hint="try again")
    spec = mapping(found, "spec")
    renewed_s = seconds(spec.get("renewTime")) or 0.0
    free = clock.now_ns() / 1e9 - renewed_s > float(spec.get("leaseDurationSeconds") or DURATION_S)
    if spec.get("holderIdentity") not in {holder, "", None} and not free:
        raise RefusedError(
            f"another change of {ref} goes on: {spec.get('holderIdentity')}",
            hint="wait for it to end, or abort it",
        )
    try:
        _write(cluster, lease, found, _body(lease, holder, clock)["spec"])
    except ConflictError as error:
        raise RefusedError(
            f"somebody else has just taken the lock of {ref}", hint="wait for it to end"
        ) from error


def _body(lease: Ref, holder: str, clock: Clock) -> Object:
    now = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec: dict[str, Any] = {
        "holderIdentity": holder,
        "leaseDurationSeconds": DURATION_S,
        "acquireTime": now,
        "renewTime": now,
    }
    metadata = {"name": lease.name, "namespace": lease.namespace}
    return {"apiVersion": lease.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}


def _write(cluster: Cluster, lease: Ref, found: Object, spec: Any) -> None:
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
    cluster.patch(lease, [test, {"op": "replace", "path": "/spec", "value": spec}])


def _renew(cluster: Cluster, held: list[Ref], holder: str, clock: Clock, ending: threading.Event) -> None:
    while not ending.wait(_RENEW_S):
        for lease in held:
            with suppress(OpslibError):  # the next time; it lasts three of them
                found = cluster.get(lease)
                if found is not None and mapping(found, "spec").get("holderIdentity") == holder:
                    _write(cluster, lease, found, _body(lease, holder, clock)["spec"])


def _give_back(cluster: Cluster, lease: Ref, holder: str) -> None:
    found = cluster.get(lease)
    if found is not None and mapping(found, "spec").get("holderIdentity") == holder:
        with suppress(NotFoundError):
            cluster.delete(lease, uid=found["metadata"]["uid"])
