"""The supervisor's loop: one thread starts and ends every child, so that the kernel ties them to it.

Faults are to it what they are to the shop, knobs, helper processes and a second release; it knows no scenario. What is
in effect is set again in a process or a container that had to be restarted.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
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
from opslib.lab.supervisor.effects import Effects
from opslib.lab.supervisor.plan import (
    PROCESSES,
    SERVING,
    Options,
    environment_toml,
    settings_of,
    shop_config,
)
from opslib.lab.supervisor.shop import Shop
from opslib.lab.waiting import wait_for

_READY_S = 60.0
_TICK_S = 0.1
_TELL_EVERY_S = 0.5  # containers what is in effect
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
        self._effects: Effects | None = None
        self._told_s = 0.0
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
        addresses = self._addresses = Addresses(SERVING, PROCESSES, self._options.ports)
        control = addresses.control(SUPERVISOR)
        self._folder.write_token(control.token)
        self._start_child("collector", addresses)
        cluster = self._start_child("cluster", addresses)
        ControlServer(control, {"status": self._queued(self._status), "apply": self._queued(self._apply)})
        self._write(control_port=control.port, phase="starting the cluster")
        self._await(self._all_ready, lambda: f"not ready: {self._waiting()}")
        self._write(phase="starting the shop")
        shop = Shop(cluster.address, control.token)
        shop.bring_up(self._folder.kubeconfig, shop_config(addresses))
        collector = self._children["collector"]
        self._effects = Effects(shop, cluster, collector, self._folder, self._options, self._clock)
        found = call(cluster.address, "ready")
        cluster.settings["port"] = found["port"]
        load = self._start_child("load", addresses, front_door=found["front_door"])
        self._await(lambda: self._all_ready() and shop.is_ready(), lambda: f"not ready: {shop.not_ready()}")
        self._write(phase="warming up")
        call(load.address, "warm_up", timeout_s=30)
        self._begin()

    def _start_child(self, name: str, addresses: Addresses, **more: Any) -> Child:
        settings = {**settings_of(name, addresses, self._folder, self._options), **more}
        child = self._children[name] = Child(name, name, settings, self._folder.logs / f"{name}.log")
        child.start(self._clock.monotonic_s())
        return child

    def _await(self, condition: Callable[[], bool], reason: Callable[[], str]) -> None:
        if not wait_for(condition, _READY_S, self._clock):
            raise LabError(f"{reason()} after {_READY_S:g} s", hint=f"see {self._folder.logs}")

    def _waiting(self) -> str:
        return ", ".join(child.name for child in self._children.values() if child.state != "ready")

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
        write_atomic(
            self._folder.environment, environment_toml(self._folder.kubeconfig, self._options.servers)
        )
        self._write(phase="ready", begin_ns=begin_ns)

    def _watch(self) -> None:
        while not self._stopping:
            self._serve_commands()
            now_s = self._clock.monotonic_s()
            for child in self._all_children():
                self._tend(child, now_s)
            if self._effects is not None and now_s - self._told_s > _TELL_EVERY_S:
                self._told_s = now_s
                self._effects.tell()
            if now_s - self._last_asked_s > self._options.ttl_s:
                _log.warning("nobody asked for %g s: ending", self._options.ttl_s)
                self._stopping = True

    def _all_children(self) -> tuple[Child, ...]:
        return (*self._children.values(), *(self._effects.helpers if self._effects else ()))

    def _tend(self, child: Child, now_s: float) -> None:
        """Notice an end, start again when due, and make a restarted process what it was."""
        if (ended := child.poll(now_s)) is not None:
            _log.warning("%s ended: %s", child.name, ended)
            self._write()
        elif child.due(now_s):
            child.restarts += 1
            if self._effects is not None:
                self._effects.aim(child)
            child.start(now_s)
            _log.warning("%s restarted (%d)", child.name, child.restarts)
            self._write()
        elif child.state == "starting" and child.ask_ready():
            self._restore(child)

    def _restore(self, child: Child) -> None:
        try:
            if child.name == "load":
                call(child.address, "go_on")
            elif self._effects is not None:
                self._effects.restore(child)
            if child.name == "cluster":
                self._follow_front_door(child)
        except LabError as error:
            _log.warning("%s: %s", child.name, error)
            child.state = "starting"

    def _follow_front_door(self, cluster: Child) -> None:
        """Have the load call the shop where it is now: a port may be another one after a restart of the cluster."""
        front_door, load = call(cluster.address, "ready")["front_door"], self._children["load"]
        if load.settings["front_door"] != front_door:
            load.settings["front_door"] = front_door
            load.stop()
            load.start(self._clock.monotonic_s())

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

        containers = [{**c, "group": "shop"} for c in asked("cluster", "pods").get("containers", ())]
        idle_s = self._clock.monotonic_s() - self._last_asked_s
        return {
            **self._record,
            "ttl_left_s": round(self._options.ttl_s - idle_s, 1),
            "processes": [
                *containers,
                *(child.to_dict() for child in self._all_children()),
            ],
            "load": asked("load", "report"),
            "collected": asked("collector", "counts"),
            "forwarded": asked("collector", "forwarded"),
        }

    def _apply(self, fault: dict[str, Any]) -> dict[str, Any]:
        """Have exactly this in effect, and where it says so the capture begun anew: see `Scenario.fault`."""
        assert self._effects is not None  # commands come after the start
        self._effects.set(fault)
        if fault.get("forget"):
            self._record["begin_ns"] = self._open_capture("forget")
        self._write()
        return {"applied": True}

    def _write(self, **changes: Any) -> None:
        self._record.update(changes)
        processes = [child.to_dict() for child in self._all_children()]
        self._folder.write({**self._record, "processes": processes})

    def _end(self) -> None:
        """Stop everything: first who calls, the collector last, when nobody sends any more."""
        if self._effects is not None:
            self._effects.end()
        for name in PROCESSES:
            if name in self._children:
                self._children[name].stop()
        if self._addresses is not None:
            self._addresses.close()
