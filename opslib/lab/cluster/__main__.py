import asyncio
import logging
import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from opslib.core.clock import SystemClock
from opslib.core.errors import OpslibError
from opslib.lab.cluster.server import Cluster, Options, serve
from opslib.lab.lifeline import die_with_parent


def main() -> int:
    """Be a practice cluster until a signal ends it."""
    parser = ArgumentParser(
        prog="python -m opslib.lab.cluster", description="A Kubernetes cluster to practise on."
    )
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where all of it is kept")
    parser.add_argument(
        "--port", type=int, default=0, help="port on loopback (default: the one before, else a free one)"
    )
    parser.add_argument(
        "--backoff-scale",
        type=float,
        default=1.0,
        help="scale of restart and pull back-offs (0.1: ten times faster)",
    )
    parser.add_argument("--lifeline", action="store_true", help="end with the process that holds stdin")
    given = parser.parse_args()
    if given.lifeline:
        die_with_parent(os.getppid())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve(Options(given.state, given.port, given.backoff_scale), SystemClock(), _ready))
    except OpslibError as error:
        print(f"{error}{f' ({error.hint})' if error.hint else ''}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    return 0


def _ready(cluster: Cluster) -> None:
    print(f"ready: {cluster.url}, KUBECONFIG={cluster.kubeconfig}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
