"""The lab's state folder: what lies where, who runs it, and what is in effect.

`lab.json` is the supervisor's record, `truth.json` the scenario in effect and since when; nothing outside `opslib.lab`
reads either. A process is known by pid and start time together, because pids come back.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from opslib.core.errors import EnvironmentNotFoundError, LabError, RefusedError
from opslib.core.journal import write_json
from opslib.core.settings import CONFIG_NAME

_SAME_START_S = 0.5


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, for good."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the process that has this pid now, None where there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """Return the process while it lives; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside one state folder."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / "lab.json"

    @property
    def truth(self) -> Path:
        return self.path / "truth.json"

    @property
    def capture(self) -> Path:
        return self.path / "capture"

    @property
    def cluster(self) -> Path:
        return self.path / "cluster"

    @property
    def kubeconfig(self) -> Path:
        return self.cluster / "kubeconfig"

    @property
    def ledger(self) -> Path:
        """Return the file on the cluster's node that payment's pods mount."""
        return self.cluster / "host" / "var" / "lib" / "opslib-shop" / "ledger" / "ledger.db"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def environment(self) -> Path:
        return self.path / CONFIG_NAME

    @property
    def token(self) -> Path:
        return self.path / "control.token"

    def create(self) -> None:
        """Make the folder, closed to other users. Raises LabError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise LabError(
                f"cannot create the lab's state folder {self.path}: {error.strerror}",
                hint="choose another: --state DIR",
            ) from error

    def write_token(self, token: str) -> None:
        self.token.unlink(missing_ok=True)
        handle = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(token)

    def read(self) -> dict[str, Any] | None:
        """Return the supervisor's record, None where there is none that can be read."""
        return _read_json(self.record)

    def write(self, record: Mapping[str, Any]) -> None:
        write_json(self.record, record)

    def read_truth(self) -> dict[str, Any]:
        """Return `{"scenario", "since_ns", "cleared_ns"}`; empty before the first injection."""
        return _read_json(self.truth) or {}

    def forget(self) -> None:
        """Remove what says that a lab runs; capture and logs stay."""
        for path in (self.environment, self.record, self.truth, self.token):
            path.unlink(missing_ok=True)

    @contextmanager
    def locked(self, name: str, message: str) -> Iterator[None]:
        """Hold a lock that ends with this process. Raises RefusedError(message) when another holds it."""
        handle = self.take_lock(name)
        if handle is None:
            raise RefusedError(message, hint="wait for it to end")
        try:
            yield
        finally:
            os.close(handle)

    def is_free(self, name: str) -> bool:
        """Tell whether nobody holds a lock."""
        handle = self.take_lock(name)
        if handle is None:
            return False
        os.close(handle)
        return True

    def take_lock(self, name: str) -> int | None:
        """Return the descriptor that holds a lock until it is closed, None when another process holds it."""
        handle = os.open(self.path / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle


def supervisor_of(record: Mapping[str, Any] | None) -> ProcessId | None:
    """Return the supervisor that a record names, None where it is not alive any more."""
    if record is None:
        return None
    process = ProcessId(int(record["pid"]), float(record["create_time"]))
    return process if process.process() is not None else None


def running(folder: Folder) -> dict[str, Any]:
    """Return the record of the lab that runs here. Raises EnvironmentNotFoundError where none does."""
    record = folder.read()
    if record is not None and supervisor_of(record) is not None:
        return record
    was = "its supervisor was killed" if record is not None else f"looked in {folder.path}"
    raise EnvironmentNotFoundError(f"no lab is running ({was})", hint="start one: opslib lab up")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
