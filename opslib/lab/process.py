"""The entry of every child: `python -m opslib.lab.process ROLE`, its settings as one JSON line on stdin.

Settings come by stdin, so that tokens show in no process list; stdin then stays open as the lifeline.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from opslib.lab.lifeline import die_with_parent

# role -> module with `main(settings)`
ROLES = {
    "collector": "opslib.lab.collector.server",
    "load": "opslib.lab.load.generator",
    "cluster": "opslib.lab.hosting.host",
    "locker": "opslib.lab.locker",
    "indexer": "opslib.lab.indexer",
    "throttle": "opslib.lab.throttle",
}


def main() -> None:
    """Read the settings, tie this process to its parent, and be the role."""
    settings: dict[str, Any] = json.loads(_first_line())
    die_with_parent(settings["parent_pid"])
    importlib.import_module(ROLES[sys.argv[1]]).main(settings)


def _first_line() -> bytes:
    # Byte by byte and unbuffered: nothing after the line may be taken from the lifeline.
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(sys.stdin.fileno(), 1)
        if not byte:
            raise SystemExit(1)
        line += byte
    return bytes(line)


if __name__ == "__main__":
    main()
