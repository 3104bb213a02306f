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
from opslib.core.foreign import read_json
from opslib.core.plan import canonical
from opslib.kube import Cluster, Object, Ref, ref_of
from opslib.manifests.diff import without_servers_fields
from opslib.manifests.entries import Entry
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
    fields = _merged(own if isinstance(own, dict) else {}, _stated(entry.body))
    kept = extract(without_servers_fields(live), fields)
    metadata = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
    identity = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
    return {**kept, **identity, "metadata": {**mapping(kept, "metadata"), **metadata}}


def _stated(body: Object) -> dict[str, Any]:
    """Return the fields that a body states, in the form of `fieldsV1`; lists as wholes."""
    return {f"f:{key}": _stated(value) if isinstance(value, dict) else {} for key, value in body.items()}


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both. A whole of one side takes in the parts of the other where both state parts."""
    found = dict(one)
    for key, below in other.items():
        # Parts that we own of a list are better than the whole list, which others have parts of too.
        found[key] = (
            _merged(found[key], below) if key in found and found[key] and below else found.get(key, below)
        )
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
        found = (_item(item, parts) for item in body)
        return [item for item in found if item is not None]
    return body


def _item(item: Any, parts: Mapping[str, Any]) -> Any:
    for key, below in parts.items():
        kind, _, text = key.partition(":")
        try:
            wanted = read_json(text)
        except ValueError:
            continue
        if kind == "v" and wanted == item:
            return item
        if kind == "k" and isinstance(item, dict) and all(item.get(k) == v for k, v in wanted.items()):
            return extract(item, {**below, **{f"f:{name}": {} for name in wanted}})
    return None


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
