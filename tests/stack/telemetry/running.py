"""Bring servers up and down: one state folder holds all that they write, and says which processes are whose.

What already runs is left alone. Whatever `up` starts and cannot bring to an answer, it ends again.
"""

import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import building
import processes
from catalogue import SERVERS, Options, Place
from processes import FailedError, Process

WITHIN_S = 300.0  # for a machine that does much else; one that ends is noticed at once


@dataclass(frozen=True)
class State:
    """A folder: NAME.json for each server, NAME/ for what it writes, scrape/ for Prometheus' targets."""

    folder: Path

    def read(self, name: str) -> dict[str, Any] | None:
        try:
            said = json.loads((self.folder / f"{name}.json").read_text())
        except OSError:
            return None
        return said if Process(said["pid"], said["ticks"]).lives() else None

    def write(self, name: str, said: Mapping[str, Any]) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(said))

    def known(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.json"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def up(state: State, names: Iterable[str], options: Options, ports: Mapping[str, int]) -> dict[str, Any]:
    """Start servers and those that they need, and return what runs. `ports` are NAME or NAME.PORT: a number.

    Raises FailedError when one cannot be built or does not answer in time.
    """
    wanted = list(names)
    first = dict.fromkeys(need for name in wanted for need in SERVERS[name].needs)
    for name in dict.fromkeys((*first, *wanted)):
        building.built(SERVERS[name].recipe)
    with state.locked():
        for target, address in options.scrape.items():
            scrape(state.folder, target, address)
        for wave in (list(first), [name for name in dict.fromkeys(wanted) if name not in first]):
            fresh = [name for name in wave if state.read(name) is None]
            started = {name: _start(state, name, options, ports) for name in fresh}
            try:
                for name, (place, process) in started.items():
                    _wait(state, name, place, process)
            except FailedError:
                for _, process in started.values():
                    process.end()
                raise
        return shown(state)


def shown(state: State) -> dict[str, Any]:
    """What runs, as `up` prints it."""
    running = {name: state.read(name) for name in state.known()}
    return {name: {k: v for k, v in said.items() if k != "ticks"} for name, said in running.items() if said}


def scrape(folder: Path, name: str, address: str) -> None:
    """Let Prometheus ask `address`, HOST:PORT with or without a path, as job `name`; it sees so at once."""
    parts = urlsplit(f"//{address}")
    target = {
        "targets": [parts.netloc],
        "labels": {"job": name, "__metrics_path__": parts.path or "/metrics"},
    }
    (folder / "scrape").mkdir(exist_ok=True)
    fresh = folder / f"scrape/{name}.new"
    fresh.write_text(json.dumps([target]))
    fresh.rename(fresh.with_suffix(".json"))


def _start(state: State, name: str, options: Options, given: Mapping[str, int]) -> tuple[Place, Process]:
    server = SERVERS[name]
    ports = processes.free_ports(server.ports)
    for key, port in given.items():
        owner, _, which = key.partition(".")
        if owner == name:
            ports[which or "http"] = port
    folder = state.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (state.folder / "scrape").mkdir(exist_ok=True)
    urls = {need: (state.read(need) or {})["url"] for need in server.needs}
    place = Place(folder, building.built(server.recipe), ports, urls, options)
    process = processes.start(server.command(place), folder / "log", server.environment(place))
    url = {"url": place.url} if ports else {"folder": str(place.logs), **urls}
    more = {k: f"http://127.0.0.1:{port}" for k, port in ports.items() if k == "otlp"}
    state.write(name, {**url, **more, "pid": process.pid, "ticks": process.ticks, "log": str(folder / "log")})
    return place, process


def _wait(state: State, name: str, place: Place, process: Process) -> None:
    server = SERVERS[name]
    try:
        version = processes.until(lambda: server.version(place), process, place.folder / "log", WITHIN_S)
    except FailedError as error:
        raise FailedError(f"{name}: {error}") from error
    state.write(name, {**(state.read(name) or {}), "version": version})


def down(state: State, names: Iterable[str] = ()) -> None:
    """End servers, those that need others first; all of them, and the state goes too, where none is named."""
    if not state.folder.exists():
        return
    with state.locked():
        known = state.known()
        chosen = [name for name in (list(names) or known) if name in known]
        for name in sorted(chosen, key=lambda name: not SERVERS[name].needs):
            said = state.read(name)
            if said:
                Process(said["pid"], said["ticks"]).end()
            (state.folder / f"{name}.json").unlink()
            shutil.rmtree(state.folder / name, ignore_errors=True)
        if not state.known():
            shutil.rmtree(state.folder)
