"""One container of a pod through all its starts: image, configuration, process, probes, restarts with back-off.

What it is shows in `view`; every change of that is told to the pod, which writes it to the API.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Mapping
from typing import Any

from opslib.lab.cluster.kubelet.backoff import Backoff, go_duration
from opslib.lab.cluster.kubelet.handlers import Outcome, Target, act
from opslib.lab.cluster.kubelet.images import image_id
from opslib.lab.cluster.kubelet.logs import open_log
from opslib.lab.cluster.kubelet.node import Home, report
from opslib.lab.cluster.kubelet.preparation import Preparation
from opslib.lab.cluster.kubelet.prober_schedule import Kind, Result, Seen
from opslib.lab.cluster.kubelet.probes import KINDS, Probe, Watched
from opslib.lab.cluster.kubelet.running import Program, Running
from opslib.lab.cluster.kubelet.status import View
from opslib.lab.cluster.metadata import stamp
from opslib.lab.cluster.options import Object

_LEAST_GRACE_S = 2.0  # after a preStop hook that has used up the grace


class Container:
    """A container of a pod; `run` returns when it has ended for good."""

    def __init__(self, home: Home, spec: Object, before: Object, *, init: bool = False) -> None:
        self.spec, self.name, self._home, self._init = spec, spec["name"], home, init
        self.running: Running | None = None
        self._restarts = int(before.get("restartCount") or 0)
        self._id, self._image_id = "", ""
        self._state: Object = {
            "waiting": {"reason": "PodInitializing" if home.has_inits else "ContainerCreating"}
        }
        self._last: Object = before.get("lastState") or {}
        self._started_s = 0.0
        self._backoff = Backoff(home.node.backoff_scale)
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes = {} if init else self._make_probes()
        if before.get("containerID"):
            self._resume(before)

    def _resume(self, before: Object) -> None:
        """Go on from what an earlier kubelet left: its containers ended with it."""
        state = before["state"]
        ended = state.get("terminated") or (self._last.get("terminated") if "waiting" in state else None)
        if not ended:
            begun = (state.get("running") or {}).get("startedAt")
            ended = {"exitCode": 137, "reason": "Error", "startedAt": begun, "finishedAt": self._now()}
        self._id, self._image_id = before["containerID"], before.get("imageID", "")
        self._state = {"terminated": {**ended, "containerID": self._id}}

    @property
    def view(self) -> View:
        started = self.is_running and self._result("startup") in {"success", None}
        ready = started and self._result("readiness") in {"success", None}
        if self._init:
            started, ready = self.is_running, self._state.get("terminated", {}).get("exitCode") == 0
        return View(
            self.spec, self._id, self._image_id, self._restarts, self._state, self._last, ready, started
        )

    @property
    def is_running(self) -> bool:
        return "running" in self._state

    def start_probes(self) -> None:
        for probe in self._probes.values():
            self._keep(probe.run())

    def ask_readiness(self) -> None:
        """Probe readiness at once where it is all that is missing, as each look of the kubelet at a pod does."""
        view = self.view
        if view.started and not view.ready and "readiness" in self._probes:
            self._probes["readiness"].trigger()

    async def run(self) -> None:
        """Keep it running as its pod's restartPolicy says."""
        if "terminated" in self._state and not self._wants_restart():
            return
        if "terminated" in self._state:
            await self._back_off()
        while not self._stopping:
            await self._live(await self._prepared())
            if not self._wants_restart():
                return
            await self._back_off()

    async def stop(self, grace_s: float) -> None:
        """End it for good, within its grace."""
        self._stopping = True
        if self.running is not None and self.is_running:
            self._tell("Normal", "Killing", f"Stopping container {self.name}")
            await self._terminate(grace_s)

    async def close(self) -> None:
        """End its probes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _prepared(self) -> Program:
        """Return the program, once the image and all that the configuration names are there."""
        preparation = Preparation(self._home, self.spec, self._tell, self._wait)
        image = await preparation.pulled()
        self._image_id = image_id(self.spec["image"])
        return await preparation.configured(image)

    # --- one start ---------------------------------------------------------------------------------------------------

    async def _live(self, program: Program) -> None:
        """Start it, be there while it runs, and note how it ended."""
        home, begun, number = self._home, self._now(), self._restarts + bool(self._id)
        log = open_log(home.node.logs, home.pod, self.name, number, home.node.clock)
        self._tell("Normal", "Created", f"Created container: {self.name}")
        try:
            self.running = await Running.start(program, log)
        except OSError as error:
            text = f'failed to start container "{self.name}": exec: "{program.argv[0]}": {error.strerror}'
            self._tell("Warning", "Failed", f"Error: {text}")
            self._begin(number)
            self._end(begun, 128, "StartError", text)
            return
        self._begin(number)
        self._state = {"running": {"startedAt": begun}}
        self._tell("Normal", "Started", f"Started container {self.name}")
        self._home.changed()
        code = await self.running.wait()
        reason = "OOMKilled" if self.running.oom_killed else "Error" if code else "Completed"
        self._end(begun, code, reason)

    def _begin(self, number: int) -> None:
        """Be another container; only now, so that nobody takes the one before for it."""
        self._id, self._restarts = f"process://{secrets.token_hex(32)}", number
        self._started_s = asyncio.get_running_loop().time()

    def _end(self, begun: str, code: int, reason: str, message: str = "") -> None:
        ended = {"exitCode": code, "reason": reason, "startedAt": begun, "finishedAt": self._now()}
        message_ = {"message": message} if message else {}
        self._state = {"terminated": {**ended, **message_, "containerID": self._id}}
        self._home.changed()

    async def _kill(self, text: str, grace_s: float) -> None:
        self._tell("Normal", "Killing", text)
        await self._terminate(grace_s)

    async def _terminate(self, grace_s: float) -> None:
        assert self.running is not None
        running, loop = self.running, asyncio.get_running_loop()
        end_s = loop.time() + grace_s
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook:
            if (await self._act(hook, grace_s)).success is not True:
                self._tell("Warning", "FailedPreStopHook", "PreStopHook failed")
            grace_s = max(end_s - loop.time(), _LEAST_GRACE_S)
        await running.terminate(grace_s)

    async def _act(self, handler: Mapping[str, Any], timeout_s: float) -> Outcome:
        running = self.running
        if running is None:
            return Outcome(None, "the container does not run")
        ports = {p["name"]: p["containerPort"] for p in self.spec.get("ports") or [] if "name" in p}
        target = Target(self._home.ip, ports, self._home.node.addresses.reach, running.run)
        return await act(handler, target, timeout_s)

    # --- restarts and probes -----------------------------------------------------------------------------------------

    def _wants_restart(self) -> bool:
        if self._stopping:
            return False
        policy = self._home.pod["spec"].get("restartPolicy", "Always")
        failed = self._state["terminated"]["exitCode"] != 0
        return policy != "Never" and (failed or (policy == "Always" and not self._init))

    async def _back_off(self) -> None:
        loop, pod = asyncio.get_running_loop(), self._home.pod["metadata"]
        failed_s = loop.time()
        wait_s = self._backoff.wait_s(failed_s)
        self._last = self._state
        if wait_s:
            who = f"{pod['name']}_{pod['namespace']}({pod['uid']})"
            self._tell("Warning", "BackOff", f"Back-off restarting failed container {self.name} in pod {who}")
            text = f"back-off {go_duration(wait_s)} restarting failed container={self.name} pod={who}"
            self._wait("CrashLoopBackOff", text)
            await asyncio.sleep(wait_s)
        self._backoff = self._backoff.next(failed_s, loop.time())

    def _make_probes(self) -> dict[Kind, Probe]:
        watched = Watched(self._seen, self._act, lambda r, m: self._tell("Warning", r, m), self._judged)
        young_s = asyncio.get_running_loop().time() - self._home.node.started_s
        made: dict[Kind, Probe] = {}
        for kind, field in KINDS.items():
            if spec := self.spec.get(field):
                period_s = int(spec.get("periodSeconds") or 10)
                made[kind] = Probe(
                    kind, spec, watched, random.random() * period_s if young_s < period_s else 0
                )
        return made

    def _seen(self) -> Seen:
        age_s = asyncio.get_running_loop().time() - self._started_s if self.is_running else None
        ended = "terminated" in self._state and not self._wants_restart()
        there = "" if "waiting" in self._state else self._id
        return Seen(there, age_s, self.view.started, self._stopping, ended)

    def _result(self, kind: Kind) -> Result | None:
        return self._probes[kind].result(self._id) if kind in self._probes else None

    def _judged(self, kind: Kind, result: Result) -> None:
        if result == "failure" and kind != "readiness" and self.is_running and not self._stopping:
            spec = self.spec[KINDS[kind]]
            grace_s = spec.get("terminationGracePeriodSeconds") or self._home.grace_s
            self._keep(self._kill(f"Container {self.name} failed {kind} probe, will be restarted", grace_s))
        self._home.changed()

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(report)

    def _wait(self, reason: str, message: str) -> None:
        self._state = {"waiting": {"reason": reason, "message": message}}
        self._home.changed()

    def _now(self) -> str:
        return stamp(self._home.node.clock.now_ns())

    def _tell(self, kind: str, reason: str, message: str) -> None:
        field = "initContainers" if self._init else "containers"
        self._home.node.record(self._home.pod, kind, reason, message, f"spec.{field}{{{self.name}}}")
