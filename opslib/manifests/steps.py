"""From what becomes of objects to the steps that a token approves, with seals for bodies that hold a secret.

A saved plan repeats no secret: a seal stands for such a body, and the set is read again to apply it. The seals' key
comes from all sealed bodies together by scrypt, so that a guess at one value cannot be tried cheaply.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opslib.core.errors import RefusedError
from opslib.core.plan import Plan, Step, canonical
from opslib.kube import Object, Ref
from opslib.manifests.diff import holds_secret, without_servers_fields
from opslib.manifests.entries import Entry
from opslib.manifests.fields import path_from_json, path_to_json, value_at
from opslib.manifests.placing import Placed

HAND_OVER = "hand over"


def steps_of(entries: Iterable[Entry], identity: str) -> tuple[Step, ...]:
    """Return the writes of a plan, in order."""
    entries = [entry for entry in entries if entry.action in {"create", "change", "prune"}]
    secret = [holds_secret(entry.body) for entry in entries]
    key = seal_key([e.body for e, is_secret in zip(entries, secret, strict=True) if is_secret], identity)
    steps = []
    for entry, is_secret in zip(entries, secret, strict=True):
        now = entry.live
        name = entry.ref.identity
        if entry.handover is not None and now is not None:
            expects = {"uid": now["metadata"]["uid"], "fields": [[["spec", "replicas"], entry.handover]]}
            steps.append(Step(HAND_OVER, name, {"spec": {"replicas": entry.handover}}, expects))
        body = {"sealed": seal(entry.body, key)} if is_secret else {"body": entry.body}
        patch = None if entry.action == "prune" else {**body, "force": entry.force}
        steps.append(Step(entry.action, name, patch, _expects(entry, is_secret=is_secret)))
    return tuple(steps)


def _expects(entry: Entry, *, is_secret: bool) -> dict[str, Any]:
    """Return what must still be true: the prior values, or the version where values would tell a secret."""
    live = entry.live
    if live is None:
        return {"absent": True}
    uid = live["metadata"]["uid"]
    if is_secret or holds_secret(live):
        return {"uid": uid, "resourceVersion": live["metadata"]["resourceVersion"]}
    return {"uid": uid, "fields": [[path_to_json(c.path), c.before] for c in entry.changes]}


def unmet(expects: Mapping[str, Any], live: Object | None) -> str:
    """Return which precondition of a step does not hold any more, an empty text where all do."""
    if "absent" in expects:
        return "" if live is None else "it is there now"
    if live is None:
        return "it is gone"
    metadata = live["metadata"]
    if metadata["uid"] != expects["uid"]:
        return "it was deleted and made again"
    if expects.get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
        return "it was changed"
    now = without_servers_fields(live)
    other = [
        path for path, value in expects.get("fields", ()) if value_at(now, path_from_json(path)) != value
    ]
    return "fields of it were changed" if other else ""


def seal_key(bodies: Sequence[Object], identity: str) -> bytes:
    """Return the key of a plan's seals: slow to compute, and only by who knows all sealed bodies."""
    if not bodies:
        return b""
    whole = hashlib.sha256(b"\n".join(sorted(canonical(body) for body in bodies))).digest()
    return hashlib.scrypt(whole, salt=identity.encode(), n=2**14, r=8, p=1, dklen=32)


def seal(body: Object, key: bytes) -> str:
    """Return the keyed hash that stands for a body."""
    return hmac.new(key, canonical(body), hashlib.sha256).hexdigest()


def bodies_of(plan: Plan, targets: Iterable[Placed]) -> dict[str, Object]:
    """Return the bodies of a plan's steps by object; the sealed ones from the set, which must be what was planned.

    Raises:
        RefusedError: the set is another one now.
    """
    steps = [step for step in plan.steps if step.action in {"create", "change"}]
    sealed = {step.object: step.patch["sealed"] for step in steps if "sealed" in step.patch}
    known = {placed.ref.identity: placed.body for placed in targets if placed.ref.identity in sealed}
    key = seal_key(list(known.values()), plan.cluster)
    for identity, expected in sealed.items():
        if identity not in known or not hmac.compare_digest(seal(known[identity], key), expected):
            raise RefusedError(
                f"{Ref.of_identity(identity)} holds a secret, and the set's is not the one that was planned",
                hint="plan again",
            )
    return known | {step.object: step.patch["body"] for step in steps if "body" in step.patch}
