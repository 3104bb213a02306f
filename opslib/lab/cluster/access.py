"""Who asks, and what they may: bearer tokens, and the rules of Roles and ClusterRoles.

Tokens of service accounts are signed and end; they die with their account and with the pod that they were made for.
Nobody but the administrator may do anything that no rule allows, except to ask what they may and what there is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opslib.core.clock import Clock
from opslib.lab.cluster.options import Object
from opslib.lab.cluster.statuses import unauthorized
from opslib.lab.cluster.store import Store

MASTERS = "system:masters"
_AUTHENTICATED = "system:authenticated"
_ACCOUNTS = "system:serviceaccounts"
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_DISCOVERY = ("/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz")
_RBAC = "rbac.authorization.k8s.io"
_LONGEST_TOKEN_S = 86_400


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    @property
    def anonymous(self) -> bool:
        return self.name == ANONYMOUS.name


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ADMIN = User("practice-admin", (MASTERS, _AUTHENTICATED))


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be done: a verb on a resource (or part of it), or on a path that is no resource."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def refusal(self, user: User) -> str:
        """Return the sentence that tells a user what is missing."""
        if self.path:
            return f'User "{user.name}" cannot {self.verb} path "{self.path}"'
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        return (
            f'User "{user.name}" cannot {self.verb} resource "{self.target}" '
            f'in API group "{self.group}"{where}'
        )


def impersonated(user: User, headers: Mapping[str, str]) -> User | None:
    """Return whom the administrator wants to be taken for; None where somebody else asks for that."""
    name = headers.get("impersonate-user", "")
    if not name:
        return user
    if MASTERS not in user.groups:
        return None
    groups = tuple(filter(None, headers.get("impersonate-group", "").split(",")))
    if name.startswith("system:serviceaccount:") and name.count(":") == 3:
        groups = (*groups, _ACCOUNTS, f"{_ACCOUNTS}:{name.split(':')[2]}")
    return User(name, (*groups, _AUTHENTICATED))


class Tokens:
    """Makes and reads tokens. `admin` is the administrator's, `key` signs those of service accounts."""

    def __init__(self, store: Store, clock: Clock, *, admin: str, key: bytes) -> None:
        self._store = store
        self._clock = clock
        self._admin = admin
        self._key = key

    def issue(
        self,
        namespace: str,
        account: Object,
        *,
        pod: Object | None = None,
        audience: str = "",
        expires_s: int = 3600,
    ) -> str:
        """Return a token of a service account (the object), bound to a pod when one is given."""
        now_s = self._clock.now_ns() // 1_000_000_000
        metadata = account["metadata"]
        bound: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if pod is not None:
            bound["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        claims = {
            "aud": [audience or _ISSUER],
            "exp": now_s + min(expires_s, _LONGEST_TOKEN_S),
            "iat": now_s,
            "iss": _ISSUER,
            "kubernetes.io": bound,
            "nbf": now_s,
            "sub": f"system:serviceaccount:{namespace}:{metadata['name']}",
        }
        signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def user(self, authorization: str) -> User:
        """Return who a request's Authorization header names. Raises StatusError 401."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token.isascii():
            raise unauthorized()
        if hmac.compare_digest(token, self._admin):
            return ADMIN
        return self._account(token)

    def _account(self, token: str) -> User:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(signed)):
            raise unauthorized()
        claims = json.loads(_decoded(signed.partition(".")[2]))
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
        alive = self._alive("serviceaccounts", namespace, account)
        if "pod" in bound:
            alive = alive and self._alive("pods", namespace, bound["pod"])
        usable = _ISSUER in claims["aud"] and claims["exp"] > self._clock.now_ns() // 1_000_000_000
        if not alive or not usable:
            raise unauthorized()
        return User(claims["sub"], (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}", _AUTHENTICATED), account["uid"])

    def _alive(self, resource: str, namespace: str, named: Mapping[str, str]) -> bool:
        found = self._store.get(resource, namespace, named["name"])
        return found is not None and found["metadata"]["uid"] == named["uid"]

    def _signature(self, signed: str) -> str:
        return _text(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _encoded(claims: Mapping[str, Any]) -> str:
    return _text(json.dumps(claims, separators=(",", ":")).encode())


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Rules:
    """What the roles bound to a user allow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, ask: Ask) -> bool:
        if MASTERS in user.groups:
            return True
        if ask.path:
            known = any(ask.path == p or ask.path.startswith(p + "/") for p in _DISCOVERY)
            return (known and not user.anonymous) or ask.path.startswith(("/version", "/healthz", "/livez"))
        if ask.resource == "selfsubjectaccessreviews" and ask.verb == "create" and not user.anonymous:
            return True
        return any(_covers(rule, ask) for rule in self.of(user, ask.namespace))

    def of(self, user: User, namespace: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rules that hold for a user in a namespace ("": in the whole cluster)."""
        for binding in self._store.scan(f"clusterrolebindings.{_RBAC}"):
            if _binds(binding, user):
                yield from self._role(binding, "")
        if namespace:
            for binding in self._store.scan(f"rolebindings.{_RBAC}", namespace):
                if _binds(binding, user):
                    yield from self._role(binding, namespace)

    def _role(self, binding: Object, namespace: str) -> Sequence[Mapping[str, Any]]:
        ref = binding["roleRef"]
        if ref["kind"] == "ClusterRole":
            role = self._store.get(f"clusterroles.{_RBAC}", "", ref["name"])
        else:
            role = self._store.get(f"roles.{_RBAC}", namespace, ref["name"])
        return (role or {}).get("rules") or ()


def _binds(binding: Object, user: User) -> bool:
    return any(_is_subject(subject, binding, user) for subject in binding.get("subjects") or ())


def _is_subject(subject: Mapping[str, Any], binding: Object, user: User) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "ServiceAccount":
        namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
        return user.name == f"system:serviceaccount:{namespace}:{name}"
    return (kind == "User" and user.name == name) or (kind == "Group" and name in user.groups)


def _covers(rule: Mapping[str, Any], ask: Ask) -> bool:
    names = rule.get("resourceNames") or ()
    resources = rule.get("resources") or ()
    wanted = {"*", ask.target} | ({f"*/{ask.subresource}"} if ask.subresource else set())
    return (
        _has(rule.get("verbs"), ask.verb)
        and _has(rule.get("apiGroups"), ask.group)
        and not wanted.isdisjoint(resources)
        and (not names or (bool(ask.name) and ask.name in names))
    )


def _has(allowed: Sequence[str] | None, value: str) -> bool:
    return "*" in (allowed or ()) or value in (allowed or ())
