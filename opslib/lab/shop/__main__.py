"""`python -m opslib.lab.shop SERVICE`: one service of the shop in a container, configured by its environment."""

from __future__ import annotations

import importlib
import sys

from opslib.core.errors import OpslibError
from opslib.core.outcome import ExitCode
from opslib.core.settings import own_environ
from opslib.lab.shop.container import PEERS, settings


def main() -> int:
    """Be the service until SIGTERM and the end of what is in flight."""
    if len(sys.argv) != 2 or sys.argv[1] not in PEERS:
        sys.stderr.write(f"usage: python -m opslib.lab.shop {{{','.join(PEERS)}}}\n")
        return ExitCode.USAGE
    try:
        told = settings(sys.argv[1], own_environ())
        importlib.import_module(f"opslib.lab.shop.{sys.argv[1]}").main(told)
    except OpslibError as error:
        sys.stderr.write(f"{error} ({error.hint})\n")
        return ExitCode.USAGE
    return ExitCode.PASS


if __name__ == "__main__":
    sys.exit(main())
