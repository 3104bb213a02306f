"""The loop of every controller: keys of changed objects, each reconciled until the cluster is as it should be.

A key waits once, however often its object changes; what fails is tried again after a growing delay; a reconcile alone
says when to look again. Controllers take turns, one key each, and there are no tasks or threads: only callbacks of the
timers, so that nothing is left when they are cancelled and a test moves time as it likes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from opslib.lab.cluster.controllers.objects import Key
from opslib.lab.cluster.statuses import StatusError
from opslib.lab.cluster.store import Event

_FIRST_RETRY_S = 0.005
_LONGEST_RETRY_S = 60.0

log = logging.getLogger(__name__)


class Handle(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """The part of an asyncio event loop that controllers need."""

    def call_soon(self, callback: Callable[[], object], /) -> Handle: ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Handle: ...


class Controller(Protocol):
    """One thing that is kept true: which keys a change touches, and what to do about one."""

    def keys(self, event: Event) -> Iterable[Key]:
        """Return the keys to look at after a change. Called within the write: only reads."""
        ...

    def reconcile(self, key: Key) -> float | None:
        """Move the cluster towards what the key asks for; return in how many seconds to look again."""
        ...


class Queue:
    """The keys that a controller has yet to look at."""

    def __init__(self, controller: Controller, timers: Timers) -> None:
        self._controller = controller
        self._timers = timers
        self._waiting: dict[Key, None] = {}
        self._later: dict[Key, Handle] = {}
        self._turn: Handle | None = None
        self._stopped = False
        self.failures: dict[Key, int] = {}

    def __len__(self) -> int:
        """Keys held in any way: waiting, to be looked at later, or failing."""
        return len(self._waiting.keys() | self._later.keys() | self.failures.keys())

    def tell(self, event: Event) -> None:
        """Take note of a change. Called within the write: an error of a controller must not become the writer's."""
        try:
            keys = self._controller.keys(event)
        except Exception:
            log.exception("%s: %s", type(self._controller).__name__, event.resource)
            return
        for key in keys:
            self.add(key)

    def add(self, key: Key) -> None:
        if self._stopped:
            return
        self._waiting[key] = None
        if self._turn is None:
            self._turn = self._timers.call_soon(self._take)

    def stop(self) -> None:
        self._stopped = True
        for handle in (*self._later.values(), *([self._turn] if self._turn else [])):
            handle.cancel()
        self._later.clear()
        self._waiting.clear()

    def _take(self) -> None:
        self._turn = None
        key = next(iter(self._waiting))
        del self._waiting[key]
        if (handle := self._later.pop(key, None)) is not None:
            handle.cancel()
        again_s = self._reconcile(key)
        if self._stopped:
            return
        if again_s is not None:
            self._later[key] = self._timers.call_later(again_s, lambda: self._due(key))
        if self._waiting and self._turn is None:
            self._turn = self._timers.call_soon(self._take)

    def _due(self, key: Key) -> None:
        del self._later[key]
        self.add(key)

    def _reconcile(self, key: Key) -> float | None:
        again_s: float | None
        try:
            again_s = self._controller.reconcile(key)
        except StatusError as error:
            log.debug("%s %s: %s", type(self._controller).__name__, "/".join(key), error)
        except Exception:
            log.exception("%s %s", type(self._controller).__name__, "/".join(key))
        else:
            self.failures.pop(key, None)
            return again_s
        self.failures[key] = self.failures.get(key, 0) + 1
        return min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(self.failures[key], 20))
