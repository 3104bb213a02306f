"""Processes that outlive the command which started them: known by pid and start time together, ended by TERM, then KILL.

A pid that came back under another process is never taken for ours, and one that only waits to be reaped has ended.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path


class FailedError(Exception):
    """A server did not start; the text says what to look at."""


@dataclass(frozen=True)
class Process:
    """`ticks` is when it started, in clock ticks since the machine did."""

    pid: int
    ticks: int

    def lives(self) -> bool:
        return _stat(self.pid) == self.ticks


def end(processes: Iterable[Process], within_s: float = 20.0) -> None:
    """Ask all of them to end at once, and make those end that do not in time."""
    left = list(processes)
    for how, seconds in ((signal.SIGTERM, within_s), (signal.SIGKILL, 10.0)):
        left = [process for process in left if process.lives()]
        for process in left:
            os.kill(process.pid, how)
        end_s = time.monotonic() + seconds
        while any(process.lives() for process in left) and time.monotonic() < end_s:
            time.sleep(0.05)


def _stat(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def start(command: list[str], log: Path, environment: dict[str, str]) -> Process:
    """Start a command in a session of its own, in the folder of `log`, which it writes into; it reads nothing."""
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    within = [
        "env",
        "-C",
        str(log.parent),
        *command,
    ]  # `env` becomes the command, so the pid is the command's
    pid = os.posix_spawnp("env", within, {**os.environ, **environment}, file_actions=files, setsid=True)
    return Process(pid, _stat(pid) or 0)


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Choose ports of loopback that nobody listens on, all of them different."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in names}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}


def until(answer: Callable[[], str], process: Process, log: Path, within_s: float) -> str:
    """Ask until there is an answer, and return it. Raises FailedError with the end of the log."""
    end_s, reason = time.monotonic() + within_s, ""
    while time.monotonic() < end_s:
        lived = process.lives()
        try:
            return answer()
        except (OSError, LookupError, ValueError) as error:
            reason = str(error)
        if not lived:
            reason = "it ended"
            break
        time.sleep(0.1)
    lines = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise FailedError(f"no answer within {within_s:.0f} s: {reason}\n{lines}")
