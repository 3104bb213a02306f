"""What was there before a release changed it, kept in a Secret beside the set: the way back needs nothing else.

Kept of each object are the fields that we own, and those that the plan changes, with the values from before; others'
fields are not ours to put back. Secrets' values leave the cluster nowhere: a journal names this Secret and a keyed hash.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opslib.core.errors import ClusterError, RefusedError
from opslib.core.plan import canonical
from opslib.kube import Cluster, Object, Ref, ref_of
from opslib.manifests.diff import without_servers_fields
from opslib.manifests.entries import Entry
from opslib.manifests.fields import Path, part_of
from opslib.manifests.inventory import read_inventory
from opslib.manifests.owners import MANAGER, own_fields
from opslib.manifests.pods import mapping

NAME, KEY = "opslib-previous-", "previous"
_LONGEST = 900_000  # bytes of a Secret, which may have 1 MiB


@dataclass(frozen=True, slots=True)
class Previous:
    """`bodies` are applied again, `created` deleted, `inventory` recorded again by whoever goes back."""

    bodies: tuple[Object, ...]
    created: tuple[Ref, ...]
    inventory: Mapping[Ref, str]


def previous_of(cluster: Cluster, entries: Iterable[Entry], inventory: Ref) -> Previous:
    """Return the way back from a plan that has not been applied yet. Raises ClusterError."""
    changed = [e for e in entries if e.action in {"change", "prune"} and e.live is not None]
    created = [e.ref for e in entries if e.action == "create"]
    bodies = tuple(_before(e.live or {}, e) for e in changed)
    return Previous(bodies, tuple(created), read_inventory(cluster, inventory))


def _before(live: Object, entry: Entry) -> Object:
    own = own_fields(live)
    fields = _merged(own if isinstance(own, dict) else {}, _changed(c.path for c in entry.changes))
    kept = extract(without_servers_fields(live), fields)
    metadata = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
    identity = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
    return {**kept, **identity, "metadata": {**mapping(kept, "metadata"), **metadata}}


def _changed(paths: Iterable[Path]) -> dict[str, Any]:
    """Return paths in the form of `fieldsV1`; a list whose items have no keys is a whole."""
    root: dict[str, Any] = {}
    for path in paths:
        node = root
        for token, following in zip(path, (*path[1:], ""), strict=True):
            key = (
                f"k:{json.dumps(dict(token), separators=(',', ':'))}"
                if isinstance(token, tuple)
                else f"f:{token}"
            )
            node = node.setdefault(key, {})
            if isinstance(following, int):
                break
    return root


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both; a whole takes in its parts."""
    found = dict(one)
    for key, below in other.items():
        both = key in found and found[key] and below
        found[key] = _merged(found[key], below) if both else {} if key in found else below
    return found


def extract(body: Any, fields: Mapping[str, Any]) -> Any:
    """Return the part of an object that `fieldsV1` names; what is not there is left out."""
    parts = {key: below for key, below in fields.items() if key != "."}
    if not parts:
        return body
    if isinstance(body, dict):
        named = ((key.removeprefix("f:"), below) for key, below in parts.items() if key.startswith("f:"))
        return {name: extract(body[name], below) for name, below in named if name in body}
    if isinstance(body, list):
        owned = ((item, part) for item in body if (part := part_of(item, parts)) is not None)
        return [extract(item, {**below, **{f"f:{key}": {} for key in keys}}) for item, (below, keys) in owned]
    return body


def keep(cluster: Cluster, inventory: Ref, previous: Previous) -> str:
    """Keep the way back of a release in its Secret; return a keyed hash of it. Raises RefusedError when it is too large."""
    whole = {
        "bodies": list(previous.bodies),
        "created": [ref.identity for ref in previous.created],
        "inventory": {ref.identity: uid for ref, uid in previous.inventory.items()},
    }
    packed = base64.b64encode(zlib.compress(canonical(whole), 9)).decode()
    if len(packed) > _LONGEST:
        raise RefusedError(
            f"the way back would take {len(packed):,} bytes, more than a Secret holds",
            hint="divide the set into several releases",
        )
    metadata = {"name": place(inventory).name, "namespace": inventory.namespace}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "data": {KEY: base64.b64encode(packed.encode()).decode()},
    }
    made = cluster.apply(body, manager=MANAGER, force=True)
    return seal(packed, made["metadata"]["uid"])


def seal(packed: str, uid: str) -> str:
    """Return the keyed hash by which a journal knows what was kept."""
    return hmac.new(uid.encode(), packed.encode(), hashlib.sha256).hexdigest()[:16]


def place(inventory: Ref) -> Ref:
    """Return the Secret that keeps the way back of a release."""
    release = inventory.name.removeprefix("opslib-release-")
    return Ref("v1", "Secret", inventory.namespace, NAME + release)


def kept(cluster: Cluster, inventory: Ref, known: str) -> Previous:
    """Return what `keep` kept. Raises ClusterError where it is gone or is not what the journal knows."""
    body = cluster.get(place(inventory))
    try:
        packed = base64.b64decode(mapping(body, "data")[KEY]).decode()
        is_known = body is not None and hmac.compare_digest(seal(packed, body["metadata"]["uid"]), known)
        whole = json.loads(zlib.decompress(base64.b64decode(packed))) if is_known else {}
        recorded = {Ref.of_identity(name): uid for name, uid in whole["inventory"].items()}
        return Previous(tuple(whole["bodies"]), tuple(map(Ref.of_identity, whole["created"])), recorded)
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        raise ClusterError(
            f"{place(inventory)} does not hold the way back any more",
            hint="another change has begun since, or somebody has changed it: apply the set that you want",
        ) from error


def refs_of(previous: Previous) -> list[Ref]:
    """Return the objects that the way back writes."""
    return [ref_of(body) for body in previous.bodies]
