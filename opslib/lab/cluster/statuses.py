"""Errors as Kubernetes answers them: a `Status` object with code, reason, details and causes.

The texts are those of a Kubernetes 1.34 server; clients and people match on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a refusal: such as FieldValueRequired, its message, and the field's path."""

    reason: str
    message: str
    field: str = ""

    def to_dict(self) -> dict[str, str]:
        named = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in named.items() if value}


class StatusError(Exception):
    """A request that is refused; `body` is the Status object, `code` its HTTP code."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        causes: Sequence[Cause] = (),
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        found = dict(details or {})
        if causes:
            found["causes"] = [cause.to_dict() for cause in causes]
        metadata = {"continue": continue_token, "resourceVersion": "-1"} if continue_token else {}
        self.body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": found} if found or details is not None else {}),
            "code": code,
        }


def _details(resource: Resource, name: str, kind: str) -> dict[str, str]:
    named = {"name": name, "group": resource.group, "kind": kind}
    return {key: value for key, value in named.items() if value}


def not_found(resource: Resource, name: str) -> StatusError:
    details = _details(resource, name, resource.plural)
    return StatusError(404, "NotFound", f'{resource.name} "{name}" not found', details=details)


def no_such_resource() -> StatusError:
    """Return the answer to a path in a known group that names nothing."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str) -> StatusError:
    details = _details(resource, name, resource.plural)
    return StatusError(409, "AlreadyExists", f'{resource.name} "{name}" already exists', details=details)


def conflict(resource: Resource, name: str) -> StatusError:
    """Return the answer to a write with an outdated resourceVersion."""
    text = "the object has been modified; please apply your changes to the latest version and try again"
    return refused_conflict(resource, name, text)


def refused_conflict(resource: Resource, name: str, text: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {resource.name} "{name}": {text}'
    return StatusError(409, "Conflict", message, details=_details(resource, name, resource.plural))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> StatusError:
    """Return the 422 of an object that breaks the rules of its kind; `causes` name the fields."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = _details(resource, name, resource.kind)
    return StatusError(
        422, "Invalid", f'{kind} "{name}" is invalid: {_list(causes)}', details=details, causes=causes
    )


def version_needed(resource: Resource, name: str) -> StatusError:
    """Return the 422 of an update that does not say which state it replaces, for kinds that need that."""
    cause = Cause(
        "FieldValueInvalid", "Invalid value: 0: must be specified for an update", "metadata.resourceVersion"
    )
    message = f'{resource.name} "{name}" is invalid: {_list([cause])}'
    details = _details(resource, name, resource.plural)
    return StatusError(422, "Invalid", message, details=details, causes=[cause])


def invalid_options(kind: str, causes: Sequence[Cause]) -> StatusError:
    """Return the 422 of wrong query parameters; `kind` is such as CreateOptions."""
    details = {"group": "meta.k8s.io", "kind": kind}
    return StatusError(
        422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {_list(causes)}', details=details, causes=causes
    )


def _list(causes: Sequence[Cause]) -> str:
    texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def bad_patch() -> StatusError:
    """Return the one answer to a JSON patch that cannot be used, whatever is wrong with it."""
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message, details={})


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", message, details={}, causes=[Cause("", message)])


def forbidden(resource: Resource, name: str, text: str, causes: Sequence[Cause] = ()) -> StatusError:
    subject = f'{resource.name} "{name}"' if name else resource.name
    details = _details(resource, name, resource.plural)
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {text}", details=details, causes=causes)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, details={})


def not_acceptable_body(accepted: str = "application/json") -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return StatusError(415, "UnsupportedMediaType", message)


def gone(message: str, continue_token: str = "") -> StatusError:
    return StatusError(410, "Expired", message, continue_token=continue_token)


def too_many_requests(message: str, retry_after_s: int = 1, causes: Sequence[Cause] = ()) -> StatusError:
    details = {"retryAfterSeconds": retry_after_s}
    return StatusError(429, "TooManyRequests", message, details=details, causes=causes)


def timeout(message: str, causes: Sequence[Cause] = ()) -> StatusError:
    return StatusError(504, "Timeout", message, details={"retryAfterSeconds": 1}, causes=causes)


def not_implemented(message: str) -> StatusError:
    return StatusError(501, "NotImplemented", f"the practice cluster does not imitate this: {message}")
