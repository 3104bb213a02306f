"""The ledger: a SQLite file that payment opens itself, through a small pool, with a client span per statement.

In write-ahead mode readers never wait, and one writer at a time holds the write lock: an INSERT waits for it inside
its client span, up to `_BUSY_TIMEOUT_S`. The wait for a connection lies before the client span.

The table has a past: without its index every look-up reads all of it.
"""

from __future__ import annotations

import queue
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind

from opslib.lab.shop.telemetry import Telemetry

POOL_SIZE = 8
_BUSY_TIMEOUT_S = 5.0
_POOL_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
  order_id TEXT PRIMARY KEY, account TEXT NOT NULL, amount_cents INTEGER NOT NULL, created_ns INTEGER NOT NULL
);
"""
CREATE_INDEX = "CREATE INDEX IF NOT EXISTS payments_by_account ON payments (account, created_ns)"
DROP_INDEX = "DROP INDEX IF EXISTS payments_by_account"
_HISTORY = """
WITH RECURSIVE past(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM past WHERE n < :rows)
INSERT INTO payments
SELECT printf('past-%08d', n), printf('acct-%04d', n % 500), 500 + n % 19500, :until_ns - n * 1000000000 FROM past
WHERE NOT EXISTS (SELECT 1 FROM payments LIMIT 1)
"""
_WEEK_NS = 7 * 86_400 * 1_000_000_000  # the past ends before what a look-up of today adds up


class PoolTimeoutError(Exception):
    """No connection became free in time."""


class Ledger:
    """Payments booked so far; safe to use from many threads."""

    def __init__(
        self,
        path: Path,
        telemetry: Telemetry,
        *,
        pool_size: int = POOL_SIZE,
        pool_timeout_s: float = _POOL_TIMEOUT_S,
        history_rows: int = 0,
    ) -> None:
        self._tracer = telemetry.tracer
        self._pool_size, self._pool_timeout_s = pool_size, pool_timeout_s
        self._free: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(pool_size):
            self._free.put(_open(path))
        with self._connection() as connection:
            connection.executescript(_SCHEMA)
            if history_rows:
                past = {"rows": history_rows, "until_ns": time.time_ns() - _WEEK_NS}
                connection.execute(_HISTORY, past)
            connection.execute(CREATE_INDEX)
        self._wait = telemetry.duration_histogram(
            "db.client.connection.wait_time", "Time it took to get a connection from the pool"
        )
        telemetry.meter.create_observable_up_down_counter(
            "db.client.connection.count",
            [self._observe],
            unit="{connection}",
            description="Connections of the pool by state",
        )

    def close(self) -> None:
        """Close the connections that are in the pool."""
        while not self._free.empty():
            self._free.get().close()

    def spent_cents(self, account: str, since_ns: int) -> int:
        """Return what an account has paid since an instant."""
        rows = self._execute(
            "SELECT",
            "SELECT coalesce(sum(amount_cents), 0) FROM payments WHERE account = ? AND created_ns >= ?",
            (account, since_ns),
        )
        return int(rows[0][0])

    def book(self, order_id: str, account: str, amount_cents: int) -> None:
        """Write one payment; an order that is booked already stays as it is."""
        self._execute(
            "INSERT",
            "INSERT OR IGNORE INTO payments VALUES (?, ?, ?, ?)",
            (order_id, account, amount_cents, time.time_ns()),
        )

    def hold_all(self, seconds: float) -> None:
        """Keep every connection of the pool for a time, as a job does that gives none back before it is done."""
        with ExitStack() as held:
            for _ in range(self._pool_size):
                held.enter_context(self._connection())
            time.sleep(seconds)

    def _execute(self, operation: str, statement: str, values: tuple[Any, ...]) -> list[Any]:
        begin = time.perf_counter()
        with self._connection() as connection:
            self._wait.record(time.perf_counter() - begin, {"db.client.connection.pool.name": "ledger"})
            with self._tracer.start_as_current_span(
                f"{operation} payments",
                kind=SpanKind.CLIENT,
                attributes={
                    "db.system.name": "sqlite",
                    "db.namespace": "ledger",
                    "db.operation.name": operation,
                    "db.collection.name": "payments",
                    "db.query.text": statement,
                },
            ):
                return connection.execute(statement, values).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._free.get(timeout=self._pool_timeout_s)
        except queue.Empty:
            raise PoolTimeoutError(f"no connection to the ledger within {self._pool_timeout_s:g} s") from None
        try:
            yield connection
        finally:
            self._free.put(connection)

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        idle = self._free.qsize()
        name = "db.client.connection.state"
        pool = {"db.client.connection.pool.name": "ledger"}
        yield Observation(self._pool_size - idle, {name: "used", **pool})
        yield Observation(idle, {name: "idle", **pool})


def _open(path: Path) -> sqlite3.Connection:
    # Autocommit: a statement is a transaction, so its commit lies inside its span too.
    connection = sqlite3.connect(path, _BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
