"""What a running lab is asked about itself, and how it is told to a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opslib.core.clock import Clock
from opslib.core.words import figures
from opslib.lab.state import ProcessId
from opslib.lab.supervisor.plan import PROCESSES

CPU_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process, of a container under the name of its pod; `cpu_cores` is its use over the last second."""

    name: str
    group: str  # shop, load, cluster, collector, supervisor or helper
    pid: int | None
    state: str
    restarts: int
    last_exit: str
    port: int | None
    cpu_cores: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class LabStatus:
    """The whole lab. `cpu_cores` sums shop, load and collector, and each of them; `load` and `captured` are counts."""

    state: str
    phase: str
    pid: int
    scenario: str
    processes: tuple[ProcessStatus, ...]
    cpu_cores: Mapping[str, float]
    load: Mapping[str, Any] = field(default_factory=dict)
    captured: Mapping[str, int] = field(default_factory=dict)
    forwarded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # to servers, by signal
    capture: str = ""
    ttl_left_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return the status as lines for a terminal."""
        rows = [("PROCESS", "PID", "STATE", "RESTARTS", "CPU", "MEMORY", "PORT", "LAST EXIT")]
        rows += [
            (
                p.name,
                str(p.pid or "-"),
                p.state,
                str(p.restarts),
                f"{p.cpu_cores:.3f}",
                f"{p.memory_bytes / 2**20:.0f} MB",
                str(p.port or "-"),
                p.last_exit or "-",
            )
            for p in self.processes
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return "\n".join([*lines, "", *self._summary()])

    def _summary(self) -> list[str]:
        cores, load = self.cpu_cores, self.load
        parts = ", ".join(f"{name} {cores[name]:.2f}" for name in ("shop", "load", "collector"))
        beside = ", ".join(f"{name} {cores[name]:.2f}" for name in ("cluster", "supervisor"))
        lines = [f"cpu       {cores['total']:.2f} core ({parts}; beside them {beside})"]
        if load:
            lines.append(
                f"load      {figures(load['offered_rps'])} rps offered, {figures(load['achieved_rps'])} achieved "
                f"over {load['window_s']:g} s"
            )
            lines += [f"          {name}: {_route(route)}" for name, route in load["routes"].items()]
        rows = ", ".join(f"{count:,} {name}" for name, count in sorted(self.captured.items()))
        lines.append(f"capture   {self.capture}: {rows or 'nothing yet'}")
        lines += [
            f"{'servers' if not i else '':<10}{_forwarded(*of)}"
            for i, of in enumerate(self.forwarded.items())
        ]
        lines.append(f"scenario  {self.scenario}")
        lines.append(f"ends      after {self.ttl_left_s / 60:.0f} min without a command")
        return lines


def _forwarded(signal: str, counts: Mapping[str, Any]) -> str:
    numbers = ", ".join(f"{value:,} {name}" for name, value in counts.items() if name != "error")
    return f"{signal}: {numbers}{' (' + counts['error'] + ')' if counts.get('error') else ''}"


def _route(route: Mapping[str, Any]) -> str:
    latency = ""
    if route["p50_ms"] is not None:
        latency = f", p50 {figures(route['p50_ms'])} ms, p99 {figures(route['p99_ms'])} ms"
    return (
        f"{figures(route['offered_rps'])} offered, {figures(route['achieved_rps'])} achieved, "
        f"{route['failed']} failed{latency}"
    )


def lab_status(state: str, record: Mapping[str, Any], scenario: str, capture: str, clock: Clock) -> LabStatus:
    """Measure the processes of a record over CPU_INTERVAL_S and return the status."""
    known = [{"group": p["name"] if p["name"] in PROCESSES else "helper", **p} for p in record["processes"]]
    known.append(
        {
            "name": "supervisor",
            "group": "supervisor",
            "pid": record["pid"],
            "create_time": record["create_time"],
            "state": record["phase"],
        }
    )
    before = [_used_s(p) for p in known]
    begin_s = clock.monotonic_s()
    clock.sleep(CPU_INTERVAL_S)
    length_s = clock.monotonic_s() - begin_s
    used = [max(0.0, _used_s(p) - b) / length_s for p, b in zip(known, before, strict=True)]
    processes = tuple(_process(p, cpu) for p, cpu in zip(known, used, strict=True))
    return LabStatus(
        state,
        record["phase"],
        record["pid"],
        scenario,
        processes,
        _cores(processes),
        record.get("load", {}),
        record.get("collected", {}),
        record.get("forwarded", {}),
        capture,
        record.get("ttl_left_s", 0.0),
    )


def _cores(processes: tuple[ProcessStatus, ...]) -> dict[str, float]:
    groups = ("shop", "load", "collector", "cluster", "supervisor", "helper")
    cores = {g: round(sum(p.cpu_cores for p in processes if p.group == g), 3) for g in groups}
    return {"total": round(cores["shop"] + cores["load"] + cores["collector"], 3), **cores}


def _process(record: Mapping[str, Any], cpu_cores: float) -> ProcessStatus:
    process = _live(record)
    return ProcessStatus(
        record["name"],
        record["group"],
        record["pid"],
        record["state"],
        record.get("restarts", 0),
        record.get("last_exit", ""),
        record.get("port"),
        round(cpu_cores, 3),
        process.memory_info().rss if process else 0,
    )


def _used_s(record: Mapping[str, Any]) -> float:
    process = _live(record)
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def _live(record: Mapping[str, Any]) -> Any:
    if record["pid"] is None:
        return None
    return ProcessId(record["pid"], record["create_time"]).process()
