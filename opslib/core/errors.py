"""The one tree of errors. Each carries `.hint`, what to do next, and `.exit_code`, what a command ends with.

OpslibError                      4  something of ours is broken
├── UsageError                   2  the question cannot be asked like this
│   ├── ParameterError              a notebook parameter is unknown or of the wrong type
│   ├── WindowError                 a time window cannot be read, is empty or reversed
│   ├── EnvironmentNotFoundError    no such environment, or no lab runs
│   ├── ServiceNotFoundError        the service has no data; near names in the hint
│   ├── CaptureError                the folder is no capture that this version can read
│   ├── QuantityError               the text is no Kubernetes quantity
│   ├── ManifestError               a manifest cannot be read, or the cluster does not take it
│   └── NotFoundError               the cluster has no such object or kind
├── RefusedError                 3  a guard, a right, a foreign owner or a lock forbids it
│   ├── ForbiddenError              the cluster does not know us, or a right is missing: the hint names it
│   └── ConflictError               the object is not what it was, or others own its fields
├── SourceError                  4  a telemetry source did not answer, or not in its own language
├── ClusterError                 4  the API server did not answer, or not in its own language
└── LabError                     4  the embedded lab could not do it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from opslib.core.outcome import ExitCode


class OpslibError(Exception):
    """Base of every error raised on purpose; `str(error)` is one sentence, `hint` the next step."""

    exit_code = ExitCode.BROKEN

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(OpslibError):
    """The question cannot be asked like this; nothing was started."""

    exit_code = ExitCode.USAGE


class ParameterError(UsageError):
    """A notebook parameter is unknown, has the wrong type, or has a name that is not a name."""


class WindowError(UsageError):
    """A time window cannot be read, is empty, or ends before it starts."""


class EnvironmentNotFoundError(UsageError):
    """No environment of this name is configured, or it names a lab that is not running."""


class ServiceNotFoundError(UsageError):
    """No signal in the evidence bears this service's name."""


class CaptureError(UsageError):
    """The folder is no capture, or one that this version cannot read."""


class QuantityError(UsageError):
    """The text is no Kubernetes quantity such as `500m` or `1Gi`."""


class ManifestError(UsageError):
    """A manifest cannot be read, or the cluster does not take what it says; the message names the place.

    `immutable` are the fields that the cluster refuses to change, as it writes them (`spec.selector`).
    """

    def __init__(self, message: str, *, hint: str = "", immutable: Iterable[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.immutable = tuple(immutable)


class NotFoundError(UsageError):
    """The cluster has no such object, or no such kind."""


class RefusedError(OpslibError):
    """A guard, a missing right, a foreign owner or a lock forbids it; nothing was changed."""

    exit_code = ExitCode.REFUSED


class ForbiddenError(RefusedError):
    """The API server does not accept our credentials, or they lack a right."""


class ConflictError(RefusedError):
    """The object is not what it was, or other field managers own what was to be set.

    `owners` are pairs of a field, as the API server writes it (`.spec.replicas`), and the manager that owns it.
    """

    def __init__(self, message: str, *, hint: str = "", owners: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(message, hint=hint)
        self.owners = tuple(owners)


class SourceError(OpslibError):
    """A telemetry source did not answer in time, or answered something else than its protocol."""


class ClusterError(OpslibError):
    """The API server did not answer in time, or answered something else than its protocol.

    `sent` is false where the request surely never reached it.
    """

    def __init__(self, message: str, *, hint: str = "", sent: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class LabError(OpslibError):
    """The embedded lab could not be started, asked or stopped."""


def near_names(name: str, known: Iterable[str]) -> str:
    """Return a hint such as `did you mean payment? known: order, payment, risk` (at most ten names)."""
    names = sorted(set(known))
    if not names:
        return "nothing is known here yet"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return (f"did you mean {' or '.join(close)}? " if close else "") + f"known: {shown}"
