"""What every object bears: names, uids, times; in the forms in which Kubernetes writes them."""

from __future__ import annotations

import secrets
import uuid

from opslib.core.windows import rfc3339
from opslib.lab.cluster.options import Object

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by chance


def stamp(now_ns: int) -> str:
    """Return a time as Kubernetes writes it, in whole seconds: 2026-11-23T03:36:56Z."""
    return rfc3339(now_ns // 1_000_000_000 * 1_000_000_000)


def micro_stamp(now_ns: int) -> str:
    """Return a MicroTime, with six digits always: 2026-11-23T03:36:56.474298Z."""
    return f"{stamp(now_ns)[:-1]}.{now_ns // 1000 % 1_000_000:06d}Z"


def new_uid() -> str:
    return str(uuid.uuid4())


def suffix(length: int = 5) -> str:
    """Return the random end of a generated name."""
    return "".join(secrets.choice(_SUFFIX) for _ in range(length))


def with_metadata(obj: Object, **fields: object) -> Object:
    """Return a copy with these metadata fields set, or without those that are None."""
    metadata = {**obj.get("metadata", {}), **fields}
    return {**obj, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def owner_reference(owner: Object) -> Object:
    """Return the reference by which a controller marks what it has made."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
