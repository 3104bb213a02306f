"""The kernel of a run: this very interpreter, whatever kernels are or are not installed, and nothing left of it.

It starts in a process group of its own, so a Ctrl-C in the terminal reaches the runner alone. Its raw output, which
no cell has captured, goes to an unnamed file: it is a dead kernel's last words.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from opslib.core.errors import OpslibError
from opslib.run.kernel import GRACE_NAME

NAME = "python3"
EXIT_S = 10.0  # how long an idle kernel may take to end
_LAST_WORDS = 2000


@dataclass(slots=True)
class Kernel:
    """A kernel's manager, the raw output of its process, and the file that holds its keys while it starts."""

    manager: Any
    output: IO[bytes]
    keys: Path

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The running process, None before the start and after the end."""
        return getattr(self.manager.provisioner, "process", None)

    @property
    def prepared(self) -> bool:
        """Whether `opslib.run.kernel` was loaded in a kernel that has started: it removes the connection file."""
        return not self.keys.exists()

    async def start(self) -> None:
        """Start the process and return at once: it gets ready while the runner loads what it needs itself."""
        await self.manager.start_kernel(stdout=self.output, stderr=self.output)

    async def end(self, client: Any) -> None:
        """Ask the kernel to end, give its `atexit` some seconds, and end its group.

        jupyter_client's own way interrupts it first. A kernel that is just going idle can take that for its end and
        hang half-way out, and then the whole time for a cell's `finally` is waited in vain.
        """
        if client is not None:
            client.stop_channels()
        process = self.process
        if process is not None and process.poll() is None:
            await self.manager.request_shutdown()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_S)
        self.kill()
        await self.manager.cleanup_resources()

    def kill(self) -> None:
        """End what is left of the kernel and of what its cells have started."""
        process = self.process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def last_words(self) -> str:
        """Return the end of what the process itself has written, for a kernel that died."""
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, size - _LAST_WORDS))
        return self.output.read().decode(errors="replace").strip()


def how_it_died(returncode: int | None) -> str:
    """Say in words how a process ended, from its return code."""
    if returncode is None:
        return "the kernel does not answer"
    if returncode < 0:
        name = signal.Signals(-returncode).name if -returncode in set(signal.Signals) else str(-returncode)
        more = " (often the machine's out-of-memory killer)" if -returncode == signal.SIGKILL else ""
        return f"the kernel was ended by {name}{more}"
    return f"the kernel process exited with code {returncode}"


@contextlib.contextmanager
def started_kernel(run_dir: Path, grace_s: float) -> Iterator[Kernel]:
    """Yield a kernel that is getting ready while the runner goes on; whatever happens, no process of it is left."""
    from jupyter_client.manager import AsyncKernelManager  # noqa: PLC0415 - heavy
    from jupyter_core.utils import run_sync  # noqa: PLC0415 - heavy
    from traitlets.config import Config  # noqa: PLC0415 - heavy

    # Encryption costs nothing and keeps other users of the machine out.
    config = Config({"KernelManager": {"shutdown_wait_time": 2 * EXIT_S, "transport_encryption": "auto"}})
    with tempfile.TemporaryDirectory(prefix="opslib-kernel-") as folder, tempfile.TemporaryFile() as output:
        keys = Path(folder) / "kernel.json"
        keys.with_name(GRACE_NAME).write_text(str(grace_s), encoding="utf-8")
        manager = AsyncKernelManager(
            kernel_name=NAME,
            kernel_spec_manager=_specs({"OPSLIB_RUN_DIR": str(run_dir)}),
            connection_file=str(keys),
            config=config,
        )
        kernel = Kernel(manager, output, keys)
        try:
            run_sync(kernel.start)()
            yield kernel
        finally:
            kernel.kill()


def _specs(environment: dict[str, str]) -> Any:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager  # noqa: PLC0415 - heavy

    spec = KernelSpec(
        argv=[
            *(sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"),
            "--IPKernelApp.extra_extensions=opslib.run.kernel",
            "--HistoryManager.hist_file=:memory:",
        ],
        display_name="Python 3",
        language="python",
        env=environment,
        metadata={"supported_encryption": "curve"},
    )

    class OneKernel(KernelSpecManager):  # type: ignore[misc, unused-ignore]  # untyped base where stubs are absent
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002 - there is only one
            return spec

    return OneKernel()


def try_kernel(timeout_s: float) -> float:
    """Start a kernel, wait until it answers, end it, and return the seconds. Raises OpslibError where it does not."""
    from jupyter_core.utils import run_sync  # noqa: PLC0415 - heavy

    began_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="opslib-doctor-") as folder,
        started_kernel(Path(folder), 5) as kernel,
    ):
        run_sync(_answer)(kernel, timeout_s)
        return time.monotonic() - began_s


async def _answer(kernel: Kernel, timeout_s: float) -> None:
    client = kernel.manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=timeout_s)
    except RuntimeError as error:
        raise OpslibError(f"the kernel does not start: {error}. It wrote: {kernel.last_words()}") from error
    else:
        if not kernel.prepared:
            raise OpslibError(f"the kernel could not load opslib: {kernel.last_words()}")
    finally:
        await kernel.end(client)
