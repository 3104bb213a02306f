"""The supervisor's loop: one thread starts and ends every child, so that the kernel ties them to it.

Faults are to it what they are to the shop, knobs and helper processes; it knows no scenario. What is in effect is set
again in a process that had to be restarted.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from opslib.core.clock import Clock
from opslib.core.errors import LabError
from opslib.core.journal import write_atomic
from opslib.lab.collector.gate import NEVER_NS
from opslib.lab.control import ControlServer, call
from opslib.lab.state import Folder, ProcessId
from opslib.lab.supervisor.addresses import SUPERVISOR, Addresses
from opslib.lab.supervisor.child import Child
from opslib.lab.supervisor.helpers import helper_child
from opslib.lab.supervisor.plan import CANARY, PROCESSES, SERVING, Options, environment_toml, settings_of
from opslib.lab.waiting import wait_for

_READY_S = 60.0
_TICK_S = 0.1
_HELPER_S = 15.0
_log = logging.getLogger("supervisor")

Command = Callable[[dict[str, Any]], dict[str, Any]]


class Supervisor:
    """One lab. `run` returns when it was told to stop, or when nobody has asked for anything for `ttl_s`."""

    def __init__(self, folder: Folder, options: Options, identity: ProcessId, clock: Clock) -> None:
        self._folder = folder
        self._options = options
        self._clock = clock
        self._commands: queue.SimpleQueue[tuple[Command, dict[str, Any], Future[dict[str, Any]]]]
        self._commands = queue.SimpleQueue()
        self._addresses: Addresses | None = None
        self._children: dict[str, Child] = {}
        self._helpers: list[Child] = []
        self._knobs: dict[str, dict[str, float]] = {}
        self._keep: dict[str, float] = {}  # which traces the collector keeps; empty: all
        self._undo: list[dict[str, Any]] = []  # the events of taking back what is in effect
        self._stopping = False
        self._last_asked_s = clock.monotonic_s()
        self._record: dict[str, Any] = {
            "schema": 1,
            "pid": identity.pid,
            "create_time": identity.create_time,
            "phase": "starting",
            "error": "",
            "started_ns": clock.now_ns(),
            "begin_ns": NEVER_NS,
            "rates": dict(options.rates),
            "seed": options.seed,
            "ttl_s": options.ttl_s,
        }

    def stop(self, *_: object) -> None:
        """Make `run` end soon; also a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Be the lab, from start to end. Raises LabError when it cannot start."""
        try:
            self._start()
            self._watch()
        except LabError as error:
            _log.error("%s (%s)", error, error.hint)
            self._write(phase="failed", error=str(error), hint=error.hint)
            raise
        finally:
            self._end()

    def _start(self) -> None:
        self._write()
        addresses = self._addresses = Addresses((*SERVING, CANARY), (*PROCESSES, CANARY), self._options.ports)
        control = addresses.control(SUPERVISOR)
        self._folder.write_token(control.token)
        for name in PROCESSES:
            settings = settings_of(name, addresses, self._folder, self._options)
            self._children[name] = Child(name, name, settings, self._folder.logs / f"{name}.log")
            self._children[name].start(self._clock.monotonic_s())
        ControlServer(control, {"status": self._queued(self._status), "apply": self._queued(self._apply)})
        self._write(control_port=control.port)
        if not wait_for(self._all_ready, _READY_S, self._clock):
            waiting = [child.name for child in self._children.values() if child.state != "ready"]
            raise LabError(
                f"not ready within {_READY_S:g} s: {', '.join(waiting)}", hint=f"see {self._folder.logs}"
            )
        self._write(phase="warming up")
        call(self._children["load"].address, "warm_up", timeout_s=30)
        self._begin()

    def _all_ready(self) -> bool:
        for child in self._children.values():
            ended = child.poll(self._clock.monotonic_s())
            if ended is not None:
                raise LabError(
                    f"{child.name} did not start: {ended}", hint=child.log_tail() or str(child.log)
                )
            if child.state == "starting":
                child.ask_ready()
        if self._stopping:
            raise LabError("stopped while starting")
        return all(child.state == "ready" for child in self._children.values())

    def _open_capture(self, command: str) -> int:
        """Open the capture, or open it anew; return since when it holds what happens."""
        begin_ns = self._clock.now_ns()
        collector = self._children["collector"]
        collector.settings["begin_ns"] = begin_ns
        call(collector.address, command, begin_ns=begin_ns)
        return begin_ns

    def _begin(self) -> None:
        """Open the capture and start the load; nothing of the start-up is in either."""
        begin_ns = self._open_capture("begin")
        call(self._children["load"].address, "go_on")
        write_atomic(self._folder.environment, environment_toml())
        self._write(phase="ready", begin_ns=begin_ns)

    def _watch(self) -> None:
        while not self._stopping:
            self._serve_commands()
            now_s = self._clock.monotonic_s()
            for child in (*self._children.values(), *self._helpers):
                self._tend(child, now_s)
            if now_s - self._last_asked_s > self._options.ttl_s:
                _log.warning("nobody asked for %g s: ending", self._options.ttl_s)
                self._stopping = True

    def _tend(self, child: Child, now_s: float) -> None:
        """Notice an end, start again when due, and make a restarted process what it was."""
        if (ended := child.poll(now_s)) is not None:
            _log.warning("%s ended: %s", child.name, ended)
            self._write()
        elif child.due(now_s):
            child.restarts += 1
            self._aim(child)
            child.start(now_s)
            _log.warning("%s restarted (%d)", child.name, child.restarts)
            self._write()
        elif child.state == "starting" and child.ask_ready():
            self._restore(child)

    def _restore(self, child: Child) -> None:
        try:
            if child.name == "load":
                call(child.address, "go_on")
            elif child.name == "collector" and self._keep:
                call(child.address, "keep", **self._keep)
            elif child.name in self._knobs:
                call(child.address, "knobs", **self._knobs[child.name])
        except LabError as error:
            _log.warning("%s: %s", child.name, error)
            child.state = "starting"

    def _serve_commands(self) -> None:
        try:
            command, arguments, answer = self._commands.get(timeout=_TICK_S)
        except queue.Empty:
            return
        self._keep_alive()
        try:
            answer.set_result(command(arguments))
        except Exception as error:  # noqa: BLE001 - the asker learns it, the lab goes on
            answer.set_exception(error)

    def _keep_alive(self) -> None:
        """Somebody asked: the lab and its load have their whole time again."""
        self._last_asked_s = self._clock.monotonic_s()
        with suppress(LabError):
            call(self._children["load"].address, "go_on", timeout_s=1)

    def _queued(self, command: Command) -> Command:
        """Return the command as the control server's threads may call it: it runs on the supervisor's thread."""

        def ask(arguments: dict[str, Any]) -> dict[str, Any]:
            answer: Future[dict[str, Any]] = Future()
            self._commands.put((command, arguments, answer))
            return answer.result(timeout=20)

        return ask

    def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        def asked(name: str, command: str) -> dict[str, Any]:
            try:
                return call(self._children[name].address, command, timeout_s=1)
            except LabError:
                return {}

        idle_s = self._clock.monotonic_s() - self._last_asked_s
        return {
            **self._record,
            "ttl_left_s": round(self._options.ttl_s - idle_s, 1),
            "processes": [child.to_dict() for child in (*self._children.values(), *self._helpers)],
            "load": asked("load", "report"),
            "collected": asked("collector", "counts"),
        }

    def _apply(self, fault: dict[str, Any]) -> dict[str, Any]:
        """Have exactly these knobs, helpers, events and way of collecting in effect: see `Scenario.fault`."""
        self._set_knobs({})  # what goes to a helper goes back first
        self._stop_helpers()
        self._tell(self._undo)
        self._undo = list(fault.get("undo", ()))
        self._start_helpers(fault["helpers"])
        self._tell(fault.get("events", ()))
        self._set_knobs(fault["knobs"])
        self._set_keep(dict(fault.get("keep", {})))
        if fault.get("forget"):
            self._record["begin_ns"] = self._open_capture("forget")
        self._write()
        return {"applied": True}

    def _set_knobs(self, knobs: dict[str, dict[str, float]]) -> None:
        before, self._knobs = self._knobs, dict(knobs)
        for name in {*before, *self._knobs}:
            call(self._children[name].address, "knobs", **self._knobs.get(name, {}))

    def _set_keep(self, keep: dict[str, float]) -> None:
        before, self._keep = self._keep, keep
        if before != keep:
            call(self._children["collector"].address, "keep", **keep)

    def _stop_helpers(self) -> None:
        for helper in self._helpers:
            helper.stop()
            if helper.settings.get("target"):  # it may have been killed while the other stood
                self._children[helper.settings["target"]].resume()
        self._helpers = []

    def _start_helpers(self, wanted: Iterable[dict[str, Any]]) -> None:
        """Start helpers and wait until they are ready. Raises LabError when one is not."""
        assert self._addresses is not None  # commands come after the start
        for number, helper in enumerate(wanted):
            child = helper_child(number, helper, self._addresses, self._folder, self._options)
            self._aim(child)
            child.start(self._clock.monotonic_s())
            self._helpers.append(child)
        waiting = self._helpers
        if not wait_for(
            lambda: all(h.state == "ready" or h.ask_ready() for h in waiting), _HELPER_S, self._clock
        ):
            raise LabError("what breaks the shop did not start", hint=f"see {self._folder.logs}")

    def _aim(self, child: Child) -> None:
        """Tell a helper that acts on another process which one that is now."""
        target = child.settings.get("target")
        if target and (process := self._children[target].id) is not None:
            child.settings["target_pid"] = process.pid

    def _tell(self, events: Iterable[dict[str, Any]]) -> None:
        for event in events:
            call(self._children["collector"].address, "event", time_unix_nano=self._clock.now_ns(), **event)

    def _write(self, **changes: Any) -> None:
        self._record.update(changes)
        processes = [child.to_dict() for child in (*self._children.values(), *self._helpers)]
        self._folder.write({**self._record, "processes": processes})

    def _end(self) -> None:
        """Stop everything; the collector last, when nobody sends any more."""
        self._stop_helpers()
        callers = [*(c for name, c in self._children.items() if name != "collector")]
        for child in callers:
            child.terminate()
        for child in callers:
            child.stop()
        if "collector" in self._children:
            self._children["collector"].stop()
        if self._addresses is not None:
            self._addresses.close()
