"""What a person or a test does with a lab: up, down, status. Each may be called again and again."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import LabError, RefusedError
from opslib.core.outcome import ExitCode
from opslib.core.settings import environ_of_children
from opslib.lab.control import Address, call
from opslib.lab.load.schedule import checked_rates
from opslib.lab.processes import LabStatus, lab_status
from opslib.lab.servers import read_servers
from opslib.lab.state import Folder, ProcessId, running, supervisor_of
from opslib.lab.supervisor.plan import SERVING, Options
from opslib.lab.waiting import wait_for

_UP_S = 90.0
_DOWN_S = 20.0


def up(
    state: Path,
    *,
    load: Mapping[str, float] | None = None,
    seed: int = 1,
    ttl_s: float = 7200,
    progress: Callable[[str], None] = lambda _: None,
    ports: Mapping[str, int] | None = None,
    servers: Path | None = None,
    clock: Clock | None = None,
) -> LabStatus:
    """Start a lab in a state folder and return when calls flow. An earlier lab's capture there is replaced.

    `load` maps routes to requests per second (default: 50 in all), `ports` processes to fixed ports (default: free
    ones); `servers` is a file that says to which servers telemetry goes beside the capture, see `read_servers`. Raises RefusedError when a lab already runs there, UsageError for an unknown route or process, LabError when
    it cannot start; then nothing is left running.
    """
    clock = clock or SystemClock()
    folder = Folder(state.absolute())
    beside = dataclasses.asdict(read_servers(servers)) if servers else {}
    options = Options(checked_rates(load), seed, ttl_s, _checked_ports(ports or {}), beside)
    folder.create()
    _launch(folder, options)
    try:
        _await_ready(folder, progress, clock)
    except BaseException:
        down(state, clock=clock)
        raise
    return status(state, clock=clock)


def _checked_ports(ports: Mapping[str, int]) -> dict[str, int]:
    from opslib.core.errors import UsageError, near_names  # noqa: PLC0415

    for name in ports:
        if name not in SERVING:
            raise UsageError(f"no process {name!r} has a port", hint=near_names(name, SERVING))
    return dict(ports)


def _launch(folder: Folder, options: Options) -> None:
    with (folder.path / "start.log").open("wb") as log:
        launched = subprocess.run(
            [sys.executable, "-m", "opslib.lab.supervisor", str(folder.path)],
            input=json.dumps(dataclasses.asdict(options)).encode(),
            stdout=subprocess.DEVNULL,
            stderr=log,
            cwd=folder.path,
            env=environ_of_children(),
            start_new_session=True,
            check=False,
            timeout=_UP_S,
        )
    if launched.returncode == ExitCode.REFUSED:
        raise RefusedError(
            f"a lab is already running in {folder.path}", hint="opslib lab status; or end it: opslib lab down"
        )
    if launched.returncode:
        raise LabError(f"the supervisor did not start: {_tail(folder)}")


def _await_ready(folder: Folder, progress: Callable[[str], None], clock: Clock) -> None:
    said = ""

    def ready() -> dict[str, Any] | None:
        nonlocal said
        record = folder.read()
        if record is None:
            if folder.is_free("lab"):
                raise LabError(f"the supervisor ended while starting: {_tail(folder)}")
            return None
        if record["phase"] != said:
            said = record["phase"]
            progress(f"lab: {said}")
        if record["phase"] == "failed":
            raise LabError(record["error"], hint=record.get("hint", ""))
        if supervisor_of(record) is None:
            raise LabError(f"the supervisor ended while starting: {_tail(folder)}")
        return record if record["phase"] == "ready" else None

    if wait_for(ready, _UP_S, clock) is None:
        raise LabError(f"the lab was not ready within {_UP_S:g} s", hint=f"see {folder.logs}")


def _tail(folder: Folder) -> str:
    for path in (folder.logs / "supervisor.log", folder.path / "start.log"):
        if path.is_file() and (text := path.read_text(encoding="utf-8", errors="replace").strip()):
            return text.splitlines()[-1]
    return "it left no word"


def down(state: Path, *, clock: Clock | None = None) -> bool:
    """End the lab of a state folder, also what is left of one that was killed; tell whether one was running.

    The capture stays. Raises LabError when a process cannot be ended.
    """
    clock = clock or SystemClock()
    folder = Folder(state.absolute())
    record = folder.read()
    if record is None:
        return False
    supervisor = supervisor_of(record)
    if supervisor is not None:
        _end(supervisor, clock)
    for child in record.get("processes", []):
        if child["pid"] is not None:
            _end(ProcessId(child["pid"], child["create_time"]), clock, gently=False)
    folder.forget()
    return supervisor is not None


def _end(target: ProcessId, clock: Clock, *, gently: bool = True) -> None:
    """End a process, by force when it does not end in time. Raises LabError when even that does not help."""

    def gone() -> bool:
        return target.process() is None

    for force in (not gently, True):
        process = target.process()
        if process is None:
            return
        try:
            process.kill() if force else process.terminate()
        except psutil.NoSuchProcess:
            return
        if wait_for(gone, _DOWN_S, clock):
            return
    raise LabError(f"process {target.pid} does not end")


def supervisor_address(folder: Folder) -> Address:
    """Return where the supervisor of a running lab is asked. Raises EnvironmentNotFoundError, LabError."""
    record = running(folder)
    try:
        return Address(int(record["control_port"]), folder.token.read_text())
    except (KeyError, OSError) as error:
        raise LabError("the lab is still starting", hint="try again in a moment") from error


def kubeconfig(state: Path) -> Path:
    """Return the file by which kubectl and other clients find the lab's cluster. Raises EnvironmentNotFoundError."""
    folder = Folder(state.absolute())
    running(folder)
    return folder.kubeconfig


def status(state: Path, *, clock: Clock | None = None) -> LabStatus:
    """Return the lab's status; takes a second, over which it measures. Raises EnvironmentNotFoundError."""
    folder = Folder(state.absolute())
    record = call(supervisor_address(folder), "status", timeout_s=10)
    scenario = str(folder.read_truth().get("scenario", "healthy"))
    return lab_status(str(folder.path), record, scenario, str(folder.capture), clock or SystemClock())
