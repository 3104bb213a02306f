"""Which objects a release has applied: kept in one Secret of the cluster, so that whoever comes next can prune.

Its labels and annotations are those of an ApplySet, as kubectl has them, with the objects' identities beside.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from opslib.core.errors import ClusterError, RefusedError, UsageError
from opslib.core.foreign import read_json
from opslib.core.plan import canonical
from opslib.kube import Cluster, Ref
from opslib.manifests.owners import MANAGER
from opslib.manifests.placing import served

NAME = "opslib-release-"
KEY = "objects"
_APPLYSET = "applyset.kubernetes.io"
PART_OF = f"{_APPLYSET}/part-of"
# Deleting one of these deletes what others have put into it.
GUARDED = ("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim")
_RELEASE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)


def inventory_ref(release: str, namespace: str) -> Ref:
    """Return where a release's inventory is. Raises UsageError for what is no name."""
    if not _RELEASE.fullmatch(release):
        raise UsageError(
            f"{release!r} is no name of a release", hint="small letters, digits and dashes, at most 40"
        )
    return Ref("v1", "Secret", namespace, NAME + release)


def set_id(inventory: Ref) -> str:
    """Return the id that members of the set bear in their label (KEP-3659)."""
    text = f"{inventory.name}.{inventory.namespace}.{inventory.kind}.{inventory.group}"
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"applyset-{digest.decode()}-v1"


def read_inventory(cluster: Cluster, inventory: Ref) -> dict[Ref, str]:
    """Return the objects that a release has applied with their uids, none where there is no such release."""
    body = cluster.get(inventory)
    if body is None:
        return {}
    try:
        rows = read_json(base64.b64decode((body.get("data") or {})[KEY], validate=True))
        return {Ref(*map(str, row[:4])): str(row[4]) for row in rows}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ClusterError(
            f"{inventory} is no inventory that this version can read",
            hint="somebody has changed it: correct or delete it; without it nothing is pruned",
        ) from error


def write_inventory(cluster: Cluster, inventory: Ref, objects: Mapping[Ref, str]) -> None:
    """Record objects and their uids, an empty one for what is about to be made."""
    rows = sorted([ref.api_version, ref.kind, ref.namespace, ref.name, uid] for ref, uid in objects.items())
    spaces = sorted({ref.namespace for ref in objects} - {"", inventory.namespace})
    kinds = sorted({f"{ref.kind}.{ref.group}".rstrip(".") for ref in objects})
    metadata = {
        "name": inventory.name,
        "namespace": inventory.namespace,
        "labels": {f"{_APPLYSET}/id": set_id(inventory)},
        "annotations": {
            f"{_APPLYSET}/tooling": "opslib/v1",
            f"{_APPLYSET}/contains-group-kinds": ",".join(kinds),
            f"{_APPLYSET}/additional-namespaces": ",".join(spaces),
        },
    }
    data = {KEY: base64.b64encode(canonical(rows)).decode()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    cluster.apply(body, manager=MANAGER, force=True)


class Record:
    """A release's inventory while it is applied: what may be made is recorded before it is, what is there after."""

    def __init__(self, cluster: Cluster, inventory: Ref, members: Iterable[Ref]) -> None:
        self._cluster = cluster
        self._inventory = inventory
        self._members = set(members)
        self._recorded = read_inventory(cluster, inventory)
        self._known = self._recorded | {ref: self._recorded.get(ref, "") for ref in self._members}
        self.begun = False

    def begin(self) -> None:
        """Record all that may be there from now on."""
        self._write(self._known)
        self.begun = True

    def finish(self, written: Mapping[Ref, str]) -> None:
        """Record what is there: uids of what was written (empty: deleted), and what others have not deleted."""
        kept = {ref: written.get(ref, uid) for ref, uid in self._known.items() if written.get(ref) != ""}
        left = [ref for ref in kept if ref not in self._members]
        there = self._cluster.get_all(served(self._cluster, left))
        self._write({ref: uid for ref, uid in kept.items() if ref in self._members or ref in there})

    def _write(self, objects: dict[Ref, str]) -> None:
        if objects != self._recorded:
            write_inventory(self._cluster, self._inventory, objects)
            self._recorded = objects


def guarded_prune(
    gone: Iterable[Ref], recorded: Mapping[Ref, Any], *, named: Collection[str], most: int
) -> list[Ref]:
    """Return what may be pruned of what is no longer in the set; kinds that hold others' things only by name.

    Raises:
        RefusedError: it is more than `most` objects and more than a fifth of the release, as when files were lost.
    """
    refs = sorted(r for r in gone if r.kind not in GUARDED or f"{r.kind}/{r.name}" in named)
    if len(refs) > max(most, len(recorded) // 5):
        raise RefusedError(
            f"{len(refs)} of {len(recorded)} objects of the release are not in the set any more",
            hint=f"are all files there? if it is meant, allow it: max_prune={len(refs)}",
        )
    return refs
