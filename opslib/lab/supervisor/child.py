"""One child process: started, asked whether it is ready, restarted with growing pauses when it ends by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opslib.core.errors import LabError
from opslib.core.settings import environ_of_children
from opslib.lab.control import Address, call
from opslib.lab.state import ProcessId

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_STABLE_S = 60.0  # one that has run this long starts over with the shortest pause
_STOP_S = 5.0
_LOG_LIMIT = 1 << 20


def pause_s(crashes_in_a_row: int) -> float:
    """Return how long to wait before the next start: 0.5 s, doubled for each crash in a row, at most 10 s."""
    return float(min(_FIRST_PAUSE_S * 2 ** max(crashes_in_a_row - 1, 0), _LONGEST_PAUSE_S))


@dataclass(slots=True)
class Child:
    """A process that is to be there; `state` is starting, ready, backing-off or stopped."""

    name: str
    role: str
    settings: dict[str, Any]
    log: Path
    state: str = "stopped"
    restarts: int = 0
    last_exit: str = ""
    started_s: float = 0.0
    retry_s: float = 0.0
    id: ProcessId | None = None
    _crashes_in_a_row: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, now_s: float) -> None:
        """Start it; must run on the thread that lives as long as the supervisor (see `lifeline`)."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.unlink()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "opslib.lab.process", self.role],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
                env=environ_of_children(),
            )
        self.id = ProcessId.of(self._process.pid)
        self.state, self.started_s = "starting", now_s
        settings = json.dumps({**self.settings, "parent_pid": os.getpid()}) + "\n"
        with suppress(BrokenPipeError):  # it has ended already; `poll` tells
            self._stdin().write(settings.encode())
            self._stdin().flush()  # and stays open: it is the child's lifeline

    def _stdin(self) -> Any:
        assert self._process is not None  # only called once started
        return self._process.stdin

    @property
    def address(self) -> Address:
        return Address(int(self.settings["control_port"]), str(self.settings["token"]))

    def ask_ready(self) -> bool:
        """Ask a starting child whether it is ready; a helper without control calls is ready at once."""
        if "control_port" not in self.settings:
            self.state = "ready"
            return True
        try:
            if call(self.address, "ready", timeout_s=0.5)["ready"]:
                self.state = "ready"
        except LabError:
            return False
        return self.state == "ready"

    def poll(self, now_s: float) -> str | None:
        """Return how it ended when it has just ended by itself, None otherwise."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._release()
        steady = now_s - self.started_s > _STABLE_S
        self._crashes_in_a_row = 1 if steady else self._crashes_in_a_row + 1
        self.state, self.retry_s = "backing-off", now_s + pause_s(self._crashes_in_a_row)
        self.last_exit = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return self.last_exit

    def due(self, now_s: float) -> bool:
        return self.state == "backing-off" and now_s >= self.retry_s

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def resume(self) -> None:
        """Let it run, should somebody have stopped it with a signal."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, by force when it does not end in time, and reap it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._release()
        self.state = "stopped"

    def _release(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process = None

    def log_tail(self, lines: int = 5) -> str:
        """Return the last lines that it wrote."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return " | ".join(text.splitlines()[-lines:])

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "pid": self.id.pid if self.id else None,
            "create_time": self.id.create_time if self.id else None,
            "state": self.state,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "port": self.settings.get("port"),
        }
