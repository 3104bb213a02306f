"""A process that holds the ledger's write lock in bursts, as a batch job beside the service would."""

from __future__ import annotations

import random
import sqlite3
import time
from typing import Any


def main(settings: dict[str, Any]) -> None:
    """Hold and release the lock until killed; lengths are drawn from [min, max] milliseconds each."""
    draw = random.Random(settings["seed"])
    connection = sqlite3.connect(settings["ledger"], timeout=30, isolation_level=None)
    while True:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(draw.uniform(*settings["hold_ms"]) / 1e3)
        connection.execute("ROLLBACK")
        time.sleep(draw.uniform(*settings["gap_ms"]) / 1e3)
