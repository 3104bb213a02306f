"""What is in effect on a lab: knobs of the shop and of the network, helpers, a second release, what the collector keeps.

It is set as a whole, and set again in whatever was restarted.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import LabError
from opslib.lab.control import call
from opslib.lab.state import Folder
from opslib.lab.supervisor.child import Child
from opslib.lab.supervisor.helpers import RELEASE, helper_child
from opslib.lab.supervisor.plan import NETWORK, Options
from opslib.lab.supervisor.shop import Shop
from opslib.lab.waiting import wait_for

_READY_S = 15.0
_log = logging.getLogger("supervisor")


@dataclass(slots=True)
class Effects:
    """Nothing at first; `set` replaces what is."""

    shop: Shop
    cluster: Child
    collector: Child
    folder: Folder
    options: Options
    clock: Clock
    helpers: list[Child] = field(default_factory=list)
    _delays: Mapping[str, float] = field(default_factory=dict)
    _keep: Mapping[str, float] = field(default_factory=dict)  # which traces are kept; empty: all

    def set(self, fault: Mapping[str, Any]) -> None:
        """Have exactly these knobs, helpers and way of collecting, see `Scenario.fault`. Raises LabError."""
        self._set_knobs({})  # what goes to a helper goes back first
        self._stop_helpers()
        self.shop.end_release()
        self._start_helpers(fault["helpers"])
        self._set_knobs(fault["knobs"])
        self._set_keep(dict(fault.get("keep", {})))

    def restore(self, child: Child) -> None:
        """Tell a process that was restarted what is in effect. Raises LabError."""
        if child is self.collector and self._keep:
            call(child.address, "keep", **self._keep)
        if child is self.cluster:
            call(child.address, "knobs", **self._delays)

    def tell(self) -> bool:
        """Tell containers that began meanwhile; return whether all know. One that cannot be told yet is, the next time."""
        try:
            self.shop.tell()
        except LabError as error:
            _log.info("a container was not told: %s", error)
            return False
        return True

    def aim(self, helper: Child) -> None:
        """Tell a helper that acts on other processes which ones those are now."""
        if target := helper.settings.get("target"):
            helper.settings["target_pids"] = self.shop.pids(target)

    def end(self) -> None:
        """End the helpers; whatever else there is ends with the lab."""
        self._stop_helpers()

    def _set_knobs(self, knobs: Mapping[str, Mapping[str, float]]) -> None:
        self.shop.knobs, self._delays = knobs, knobs.get(NETWORK, {})
        call(self.cluster.address, "knobs", **self._delays)
        if not wait_for(self.tell, _READY_S, self.clock):
            raise LabError(f"not told: {self.shop.not_ready()}", hint="see opslib lab status")

    def _set_keep(self, keep: Mapping[str, float]) -> None:
        before, self._keep = self._keep, keep
        if before != keep:
            call(self.collector.address, "keep", **keep)

    def _stop_helpers(self) -> None:
        for helper in self.helpers:
            helper.stop()
            for pid in helper.settings.get("target_pids", ()):  # it may have been killed while they stood
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        self.helpers = []

    def _start_helpers(self, wanted: Iterable[Mapping[str, Any]]) -> None:
        for number, helper in enumerate(wanted):
            if helper["role"] == RELEASE:
                self.shop.begin_release(**helper["settings"])
                continue
            child = helper_child(number, helper, self.folder, self.options)
            self.aim(child)
            child.start(self.clock.monotonic_s())
            self.helpers.append(child)
        if not wait_for(self._is_ready, _READY_S, self.clock):
            raise LabError("what breaks the shop did not start", hint=f"see {self.folder.logs}")

    def _is_ready(self) -> bool:
        return all(h.state == "ready" or h.ask_ready() for h in self.helpers) and self.shop.is_ready()
