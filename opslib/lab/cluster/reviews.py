"""The answers to who am I and what may I: self subject reviews, which keep nothing."""

from __future__ import annotations

from collections.abc import Callable

from opslib.lab.cluster.access import MASTERS, Ask, Rules, User
from opslib.lab.cluster.options import Object

_ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
_ANYWHERE = {"verbs": ["*"], "nonResourceURLs": ["*"]}
_SELF = {
    "verbs": ["create"],
    "apiGroups": ["authorization.k8s.io"],
    "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
}
_PATHS = {"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/version"]}


def review(resource: str, obj: Object, user: User, rules: Rules) -> Object:
    """Return a review with its status filled in."""
    answer: Callable[[Object, User, Rules], Object] = {
        "selfsubjectaccessreviews": _access,
        "selfsubjectrulesreviews": _rules,
        "selfsubjectreviews": _self,
    }[resource]
    return {**obj, "status": answer(obj.get("spec") or {}, user, rules)}


def _access(spec: Object, user: User, rules: Rules) -> Object:
    return {"allowed": rules.allows(user, _asked(spec))}


def _asked(spec: Object) -> Ask:
    if path := (spec.get("nonResourceAttributes") or {}):
        return Ask(str(path.get("verb", "")), path=str(path.get("path", "")))
    wanted = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Ask(**{name: str(wanted.get(name) or "") for name in names})


def _rules(spec: Object, user: User, rules: Rules) -> Object:
    if MASTERS in user.groups:
        return {"resourceRules": [_ALL], "nonResourceRules": [_ANYWHERE], "incomplete": False}
    found = [dict(rule) for rule in rules.of(user, str(spec.get("namespace") or ""))]
    return {"resourceRules": [*found, _SELF], "nonResourceRules": [_PATHS], "incomplete": False}


def _self(_: Object, user: User, __: Rules) -> Object:
    info = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    return {"userInfo": {key: value for key, value in info.items() if value}}
