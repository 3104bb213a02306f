"""When a call is made again, and after how long: only what cannot have been done, or does no more when done twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from opslib.core.clock import Clock
from opslib.core.errors import ClusterError
from opslib.kube.wire import Request, Response

TYPE_ERROR = b"failed to create typed patch object"
"""Server-side apply answers 500 for a value of the wrong type; it stays as wrong."""
_STANDING = (b"FieldManagerConflict", b"AlreadyExists", b"in the precondition")


@dataclass(frozen=True, slots=True)
class Retry:
    """Waits of 0.1 s that double up to `longest_s`, until `budget_s` seconds have gone by since the first attempt."""

    first_s: float = 0.1
    longest_s: float = 5.0
    budget_s: float = 30.0

    def wait_s(self, attempt: int, asked_s: float = 0.0) -> float:
        """Return the seconds before attempt number `attempt` + 1; the server's own wish goes before ours."""
        return max(asked_s, min(self.first_s * 2.0 ** min(attempt, 16), self.longest_s))


def again_after_s(request: Request, response: Response) -> float | None:
    """Return the seconds that the server asks to wait (0: as we like) where the call may be made again, else None.

    429 was never executed. 409 is the server's own race, unless it speaks of what stays as it is. 5xx may have been
    executed.
    """
    if response.status == 429:
        return _retry_after_s(response)
    if not request.repeatable:
        return None
    if response.status == 409:
        return None if any(words in response.body for words in _STANDING) else 0.0
    if response.status not in {500, 502, 503, 504} or TYPE_ERROR in response.body:
        return None
    return _retry_after_s(response)


def _retry_after_s(response: Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def with_retries(
    send: Callable[[Request], Response], request: Request, clock: Clock, policy: Retry
) -> Response:
    """Send until an answer stands or the time is used up; then the last answer, or its error, stands."""
    started_s = clock.monotonic_s()
    for attempt in itertools.count():
        answer: Response | ClusterError
        try:
            answer = send(request)
            asked_s = again_after_s(request, answer)
        except ClusterError as error:
            answer = error
            asked_s = 0.0 if request.repeatable or not error.sent else None
        wait_s = policy.wait_s(attempt, asked_s or 0.0)
        if asked_s is None or clock.monotonic_s() - started_s + wait_s > policy.budget_s:
            break
        clock.sleep(wait_s)
    if isinstance(answer, ClusterError):
        raise answer
    return answer
