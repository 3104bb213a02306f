"""A worker as a process of its own: it reads a task a line and answers each with a line, until its input ends."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from opslib.telemetry.importers.tasks import Task
from opslib.telemetry.importers.worker import Worker


def main() -> None:
    """Answer tasks from stdin; the first argument is the folder for the parts."""
    worker = Worker(Path(sys.argv[1]))
    decoder, encoder = msgspec.json.Decoder(Task), msgspec.json.Encoder()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(encoder.encode(worker.run(decoder.decode(line))) + b"\n")
        sys.stdout.buffer.flush()
    worker.close()


if __name__ == "__main__":
    main()
