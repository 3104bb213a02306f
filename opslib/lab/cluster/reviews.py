"""The answer to what may I: a SelfSubjectAccessReview, of which nothing is kept."""

from __future__ import annotations

from opslib.lab.cluster.access import Ask, Rules, User
from opslib.lab.cluster.options import Object


def review(obj: Object, user: User, rules: Rules) -> Object:
    """Return a review with its status filled in."""
    return {**obj, "status": {"allowed": rules.allows(user, _asked(obj.get("spec") or {}))}}


def _asked(spec: Object) -> Ask:
    if path := (spec.get("nonResourceAttributes") or {}):
        return Ask(str(path.get("verb", "")), path=str(path.get("path", "")))
    wanted = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Ask(**{name: str(wanted.get(name) or "") for name in names})
