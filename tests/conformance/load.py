"""Calls at a constant rate, whether or not those before were answered; what one took counts from when it was due."""

import http.client
import itertools
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from clusters import until

Request = tuple[str, str, Any, dict[str, str]]  # method, path, body, headers


@dataclass(frozen=True)
class Call:
    """One call: when it was due and answered (monotonic seconds), its headers, its status or error, its answer."""

    due_s: float
    end_s: float
    headers: dict[str, str]
    status: int | str
    body: Any

    @property
    def took_s(self) -> float:
        return self.end_s - self.due_s


class Load:
    """Threads that take turns; a call that is due while all of them wait is late, beyond `patience_s` it is not made.

    None is made a second time.
    """

    def __init__(
        self,
        address: tuple[str, int],
        rate: float,
        request: Callable[[], Request],
        threads: int = 8,
        *,
        keep_alive: bool = True,
        patience_s: float = math.inf,
    ) -> None:
        self.calls: list[Call] = []
        self._address, self._rate, self._request, self._keep_alive = address, rate, request, keep_alive
        self._patience_s = patience_s
        self._turns, self._enough = itertools.count(), threading.Event()
        self._start_s = self._stop_s = 0.0
        self._threads = [threading.Thread(target=self._take_turns) for _ in range(threads)]

    def __enter__(self) -> Self:
        self._start_s = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_s = time.monotonic()
        self._enough.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, number: int = 30) -> None:
        """Wait for further answers."""
        wanted = len(self.calls) + number
        until(lambda: len(self.calls) >= wanted, 60)

    @property
    def offered(self) -> int:
        """How many calls were due until the end."""
        return math.ceil((self._stop_s - self._start_s) * self._rate)

    def lost(self) -> list[Call]:
        return [call for call in self.calls if call.status != 200]

    def between(self, start_s: float, end_s: float) -> list[Call]:
        """Return the calls that were due then."""
        return [call for call in self.calls if start_s <= call.due_s < end_s]

    def check(self) -> None:
        """Say what came of it. It proves nothing when the machine carried less than was offered."""
        print(f"{self.offered} calls due, {len(self.calls)} made, {len(self.lost())} lost")
        assert len(self.calls) >= 0.95 * self.offered, "void: too much for this machine"

    def _take_turns(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        while True:
            due_s = self._start_s + next(self._turns) / self._rate
            if self._enough.wait(max(0.0, due_s - time.monotonic())):
                break
            if time.monotonic() - due_s > self._patience_s:
                continue
            self.calls.append(self._call(connection, due_s))
            if not self._keep_alive:
                connection.close()
        connection.close()

    def _call(self, connection: http.client.HTTPConnection, due_s: float) -> Call:
        method, path, body, headers = self._request()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            parsed = json.loads(text) if text.startswith("{") else text
            return Call(due_s, time.monotonic(), headers, answer.status, parsed)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return Call(due_s, time.monotonic(), headers, repr(error), {})


def p95_s(calls: list[Call]) -> float:
    """Return the nearest-rank 95th percentile of what calls took."""
    taken = sorted(call.took_s for call in calls)
    return taken[math.ceil(0.95 * len(taken)) - 1]
