"""A change of the ledger's schema that drops the index of the look-up; taken back when this process is told to end."""

from __future__ import annotations

import signal
import sqlite3
import threading
from contextlib import closing
from typing import Any

from opslib.lab.shop.ledger import CREATE_INDEX, DROP_INDEX

_LOCK_S = 10.0


def main(settings: dict[str, Any]) -> None:
    """Drop the index, wait for SIGTERM, create it again."""
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with closing(sqlite3.connect(settings["ledger"], timeout=_LOCK_S, isolation_level=None)) as ledger:
        ledger.execute(DROP_INDEX)
        ending.wait()
        ledger.execute(CREATE_INDEX)
