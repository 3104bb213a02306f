"""Faults that tests switch on: answers that a loaded or failing server gives, delays, a partition, dropped watches.

Only requests over HTTP are hit; the cluster's own parts go on, as they do where only a client is cut off.
"""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass
from typing import Any

from opslib.lab.cluster.access import Ask
from opslib.lab.cluster.statuses import (
    StatusError,
    bad_request,
    internal,
    timeout,
    too_many_requests,
)

_STATUSES = (409, 429, 500, 504)
_LONGEST_DELAY_S = 600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Which requests are hit ("": any) and how. `times` is how many of them, 0 for all until it is cleared.

    `code` answers an error, `delay_s` answers late, `partition` does not answer at all until it is cleared.
    """

    code: int = 0
    delay_s: float = 0.0
    partition: bool = False
    times: int = 0
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    retry_after_s: int = 1

    def hits(self, ask: Ask) -> bool:
        resource = f"{ask.resource}.{ask.group}" if ask.group else ask.resource
        pairs = (
            (self.verb, ask.verb),
            (self.resource, resource),
            (self.namespace, ask.namespace),
            (self.name, ask.name),
        )
        return all(wanted in {"", found} for wanted, found in pairs)

    def error(self) -> StatusError:
        if self.code == 409:
            text = "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again"
            return StatusError(409, "Conflict", text, details={})
        if self.code == 429:
            return too_many_requests("too many requests, please try again later", self.retry_after_s)
        return timeout("request timed out") if self.code == 504 else internal("a fault was switched on")


class Faults:
    """The faults that are on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._changed = asyncio.Condition()

    def to_list(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(fault) for fault in self._faults]

    async def add(self, values: Any) -> None:
        """Switch one on. Raises StatusError 400 for what is no fault."""
        known = {name: type(value) for name, value in dataclasses.asdict(Fault()).items()}
        if not isinstance(values, dict) or not set(values) <= set(known):
            raise bad_request(f"a fault has these fields: {', '.join(known)}")
        try:
            fault = Fault(**{name: known[name](value) for name, value in values.items()})
        except (TypeError, ValueError) as error:
            raise bad_request(f"no fault: {error}") from error
        if fault.code and fault.code not in _STATUSES:
            raise bad_request(f"a fault's code is one of {', '.join(map(str, _STATUSES))}")
        self._faults.append(fault)

    async def clear(self) -> None:
        """Switch all off; what a partition held back goes on."""
        self._faults.clear()
        async with self._changed:
            self._changed.notify_all()

    async def meet(self, ask: Ask) -> None:
        """Do to a request what is on for it. Raises StatusError."""
        for number, fault in enumerate(self._faults):
            if not fault.hits(ask):
                continue
            if fault.times:
                left = [dataclasses.replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._faults[number : number + 1] = left
            if fault.partition:
                await self.healed(ask)
            await asyncio.sleep(min(fault.delay_s, _LONGEST_DELAY_S))
            if fault.code:
                raise fault.error()
            return

    def cut_off(self, ask: Ask) -> bool:
        """Whether a partition lies between this client and the server."""
        return any(fault.partition and fault.hits(ask) for fault in self._faults)

    async def healed(self, ask: Ask) -> None:
        """Wait until no partition holds a request back."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.cut_off(ask))
