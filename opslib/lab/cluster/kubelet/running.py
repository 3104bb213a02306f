"""One start of a container: a process in a session of its own, its log, its limits, and how it is made to end.

When its first process ends, whatever is left of the session ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from opslib.lab.cluster.kubelet.limits import Account, hold_cpu, watch_memory
from opslib.lab.cluster.kubelet.logs import LogFile

_LOG_END_S = 1.0  # for a log whose pipe somebody outside the session still holds


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: where, with which environment and limits (None: as much as there is)."""

    argv: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    cpu_cores: float | None = None
    memory_bytes: int | None = None


class Running:
    """A process that was started; `exit_code` is set once it has ended, 128 + n after signal n."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, log: LogFile) -> None:
        self.account = Account(process.pid)
        self.exit_code: int | None = None
        self.oom_killed = False
        self.ended = asyncio.Event()
        self._program, self._process, self._log = program, process, log
        self._grace: asyncio.Timeout | None = None
        self._held: list[asyncio.Task[None]] = []
        if program.cpu_cores is not None and program.cpu_cores < (os.cpu_count() or 1):
            self._held.append(asyncio.create_task(hold_cpu(self.account, program.cpu_cores)))
        if program.memory_bytes is not None:
            watch = watch_memory(self.account, program.memory_bytes, self._exceeded)
            self._held.append(asyncio.create_task(watch))

    @classmethod
    async def start(cls, program: Program, log: LogFile) -> Running:
        """Start the program. Raises OSError when it cannot be."""
        reading, writing = os.pipe()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: log, os.fdopen(reading, "rb", 0))
        try:
            process = await _spawn(program, program.argv, writing)
        except BaseException:
            transport.close()
            raise
        finally:
            os.close(writing)
        return cls(program, process, log)

    async def wait(self) -> int:
        """Wait for its end, clear up and return the exit code."""
        code = await self._process.wait()
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)
        self.account.signal(signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._log.ended.wait(), _LOG_END_S)
        self._log.close()
        self.exit_code = 128 - code if code < 0 else code
        self.ended.set()
        return self.exit_code

    async def terminate(self, grace_s: float) -> None:
        """Ask it to end; make it end when its grace is over."""
        end_s = asyncio.get_running_loop().time() + grace_s
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end_s) as self._grace:
                await self.ended.wait()
        self.kill()
        await self.ended.wait()

    def hurry(self, grace_s: float) -> None:
        """Shorten the grace that it has."""
        end_s = asyncio.get_running_loop().time() + grace_s
        if self._grace is not None and not self.ended.is_set() and end_s < (self._grace.when() or 0):
            self._grace.reschedule(end_s)

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        if not self.ended.is_set() and self._process.returncode is None:
            self.account.signal(signal.SIGKILL)

    async def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command beside it, within its limits. Return exit code and output. Raises OSError."""
        if not command:
            raise FileNotFoundError(2, "no command specified")
        process = await _spawn(self._program, command, subprocess.PIPE)
        self.account.beside |= {process.pid}
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            self.account.beside -= {process.pid}
        return process.returncode or 0, output.decode(errors="replace")

    def _exceeded(self) -> None:
        self.oom_killed = True
        self.kill()


async def _spawn(program: Program, argv: Sequence[str], output: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=program.folder,
        env=dict(program.env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
