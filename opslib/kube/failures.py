"""What an error of the API server means, in the one tree of errors; its own words stay, what to do is added.

403 has two meanings: rights (the text names user, verb and resource) and admission or quota. 409 has two as well: other
field managers own the fields (with causes), or the object has changed since.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from opslib.core.errors import (
    ClusterError,
    ConflictError,
    ForbiddenError,
    ManifestError,
    NotFoundError,
    OpslibError,
    RefusedError,
)
from opslib.core.foreign import read_json
from opslib.core.redact import Redactor
from opslib.core.words import printable
from opslib.kube.objects import Object
from opslib.kube.retry import TYPE_ERROR
from opslib.kube.wire import JSON_PATCH, Request, Response

_RIGHT = re.compile(
    r'User "([^"]*)" cannot (\S+) (?:resource|path) "([^"]*)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]*)")?'
)
_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
_IMMUTABLE = re.compile(r"immutable|may not (?:be )?change|updates to \w+ spec for fields other than")
_LONGEST = 2000


def read_object(host: str, response: Response) -> Object:
    """Return the JSON object of an answer. Raises ClusterError for anything else, such as the page of a proxy."""
    try:
        value = read_json(response.body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    kind = printable(response.headers.get("content-type", "no content type"), 60)
    raise ClusterError(
        f"{host} answered {response.status} with {kind} that is no JSON object",
        hint="is this the address of an API server? a proxy or a login page may stand before it",
    )


def is_status(response: Response) -> bool:
    """Tell whether an answer is the API server's own word, not that of whom it asked for us."""
    try:
        value = read_json(response.body)
    except ValueError:
        return False
    return isinstance(value, dict) and (value.get("kind"), value.get("apiVersion")) == ("Status", "v1")


def failure(host: str, request: Request, response: Response) -> OpslibError:
    """Return the error that an answer of 300 or more stands for."""
    try:
        status = read_object(host, response)
    except ClusterError as error:
        return error
    text = str(status.get("message") or f"{response.status} without a message")
    text = Redactor().text(printable(text, _LONGEST))
    code = response.status
    if code == 401:
        return ForbiddenError(
            f"{host} does not accept our credentials", hint="they have expired: log in again"
        )
    if code == 403:
        return _forbidden(text)
    if code in {404, 410}:
        return NotFoundError(text, hint="`kubectl api-resources` and `kubectl get` show what is there")
    if code == 409 or (code == 422 and request.content_type == JSON_PATCH):
        return _conflict(text, status)
    if code in {400, 413, 415, 422} or TYPE_ERROR in response.body:
        immutable = [str(c.get("field")) for c in _causes(status) if _IMMUTABLE.search(str(c.get("message")))]
        return ManifestError(
            text, hint="the API server does not take the object as it is written", immutable=immutable
        )
    return ClusterError(
        f"{host} answered {code}: {text}", hint="the API server is overloaded or broken; try again later"
    )


def _forbidden(text: str) -> OpslibError:
    right = _RIGHT.search(text)
    if right is None:
        return RefusedError(
            text, hint="an admission rule or a quota of the cluster forbids it, not our rights"
        )
    user, verb, resource, group, namespace = right.groups()
    what = f"{resource}.{group}" if group else resource
    where = f" -n {namespace}" if namespace else ""
    return ForbiddenError(
        f"the right to {verb} {what}{f' in {namespace}' if namespace else ''} is missing",
        hint=f"ask for it; `kubectl auth can-i {verb} {what}{where}` checks it (we are {user})",
    )


def _conflict(text: str, status: Object) -> ConflictError:
    owners = list(_owners(status))
    if owners:
        return ConflictError(
            text, hint="name the manager that shall own them, or take them over by force", owners=owners
        )
    return ConflictError(text, hint="it was changed meanwhile: plan again")


def _owners(status: Object) -> Iterator[tuple[str, str]]:
    for cause in _causes(status):
        if cause.get("reason") == "FieldManagerConflict":
            manager = _MANAGER.search(str(cause.get("message", "")))
            yield printable(str(cause.get("field", ""))), printable(manager[1] if manager else "?", 100)


def _causes(status: Object) -> list[Object]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [c for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []
