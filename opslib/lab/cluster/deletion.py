"""How an object ends: at once, after its finalizers, or for a pod after its grace. Pure."""

from __future__ import annotations

from opslib.lab.cluster.metadata import stamp, with_metadata
from opslib.lab.cluster.options import DeleteOptions, Object
from opslib.lab.cluster.resources import Resource
from opslib.lab.cluster.statuses import StatusError, refused_conflict

_FINALIZER_OF = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_DEFAULT_GRACE_S = 30


def check_preconditions(resource: Resource, live: Object, options: DeleteOptions) -> None:
    """Raise StatusError 409 when it is not the object that was meant."""
    metadata = live["metadata"]
    for what, wanted, found in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
    ):
        if wanted and wanted != found:
            text = (
                f"the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). "
            )
            error: StatusError = refused_conflict(
                resource,
                metadata["name"],
                text + "The object might have been deleted and then recreated",
            )
            raise error


def marked(resource: Resource, live: Object, options: DeleteOptions, now_ns: int) -> Object:
    """Return the object as it is while it waits for its end."""
    metadata = live["metadata"]
    finalizers = list(metadata.get("finalizers", ()))
    added = _FINALIZER_OF.get(options.propagation)
    if added and added not in finalizers:
        finalizers.append(added)
    grace_s = _grace_s(resource, live, options)
    fields: dict[str, object] = {"finalizers": finalizers or None}
    if "deletionTimestamp" not in metadata:
        fields["deletionTimestamp"] = stamp(now_ns + grace_s * 1_000_000_000)
        fields["deletionGracePeriodSeconds"] = grace_s
        if metadata.get("generation"):
            fields["generation"] = metadata["generation"] + 1
    elif grace_s < metadata.get("deletionGracePeriodSeconds", 0):
        fields["deletionTimestamp"] = stamp(now_ns + grace_s * 1_000_000_000)
        fields["deletionGracePeriodSeconds"] = grace_s
    ending = with_metadata(live, **fields)
    if resource.name == "namespaces":
        ending = {**ending, "status": {**live.get("status", {}), "phase": "Terminating"}}
    return ending


def _grace_s(resource: Resource, live: Object, options: DeleteOptions) -> int:
    """Only a pod that runs has a grace: nobody stops one that has no node, or that has ended."""
    spec = live.get("spec", {})
    ended = live.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    if resource.name != "pods" or not spec.get("nodeName") or ended:
        return 0
    if options.grace_s is not None:
        return max(options.grace_s, 0)
    return int(spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_S))


def finished(resource: Resource, obj: Object) -> bool:
    """Whether nothing keeps an object any more that is marked for deletion."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if resource.name == "namespaces":
        return not obj.get("spec", {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")
