"""payment: has each payment scored by risk, looks up what the account has spent, and books it in the ledger."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from opslib.lab.shop.client import Peer, Split, UpstreamError
from opslib.lab.shop.ledger import Ledger, PoolTimeoutError
from opslib.lab.shop.server import Handler
from opslib.lab.shop.service import Parts, serve
from opslib.lab.shop.work import spend_cpu

_DAY_NS = 86_400 * 1_000_000_000
_SIGN_CPU_MS = 4.0
_ATTEMPTS = 4
_FIRST_PAUSE_S = (
    0.025  # before the second attempt; doubled for each further one, up to half of it more by chance
)
_IDLE_S = 0.2
_LIMIT_CENTS = 10**12


class SettlementError(Exception):
    """A payment that cannot be settled."""


def routes(parts: Parts) -> Mapping[str, Handler]:
    """Return payment's handlers.

    Knobs: `fail_share` of payments end in an exception, `sign_cpu_ms` of processor time for each, `score_share` are
    scored at all; `pool_hold_ms` the books are closed with every connection, again after `pool_gap_ms`.
    """
    ledger = Ledger(parts.ledger, parts.telemetry, history_rows=parts.history_rows)
    threading.Thread(target=_close_books, args=(ledger, parts), name="books", daemon=True).start()

    def pay(order: dict[str, Any]) -> dict[str, Any]:
        order_id, account, cents = str(order["order_id"]), str(order["account"]), int(order["amount_cents"])
        accepted = random.random() >= parts.knobs.get("score_share", 1.0) or _scored(parts, order)
        spend_cpu(parts.knobs.get("sign_cpu_ms", _SIGN_CPU_MS) / 1e3, order_id.encode())
        spent = ledger.spent_cents(account, time.time_ns() - _DAY_NS)
        if random.random() < parts.knobs.get("fail_share", 0.0):
            raise SettlementError("no exchange rate for settlement currency")
        if not accepted or spent + cents > _LIMIT_CENTS:
            parts.telemetry.info("payment declined", {"order.id": order_id})
            return {"status": "declined"}
        ledger.book(order_id, account, cents)
        parts.telemetry.info("payment authorised", {"order.id": order_id, "amount.cents": cents})
        return {"status": "authorised"}

    return {"POST /payments": pay}


def _scored(parts: Parts, order: Mapping[str, Any]) -> bool:
    """Ask risk, again with growing pauses when it fails; return whether it accepts. Raises UpstreamError at last."""
    asked = {"account": str(order["account"]), "amount_cents": int(order["amount_cents"])}
    if "tenant" in order:
        asked["tenant"] = str(order["tenant"])
    return bool(_persistent(parts, asked, str(order["order_id"]))["decision"] == "accept")


def _persistent(parts: Parts, asked: dict[str, Any], key: str) -> dict[str, Any]:
    risk: Peer | Split = parts.peers["risk"]
    for attempt in range(1, _ATTEMPTS):
        try:
            return risk.call("POST", "/score", asked, key=key)
        except UpstreamError as error:
            parts.telemetry.warn(f"attempt {attempt} of {_ATTEMPTS} failed, trying again: {error}")
        time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(1, 1.5))
    return risk.call("POST", "/score", asked, key=key)


def _close_books(ledger: Ledger, parts: Parts) -> None:
    """Close the books whenever the knob says so, for as long as the process lives."""
    while True:
        hold_ms = parts.knobs.get("pool_hold_ms", 0.0)
        if hold_ms:
            with suppress(PoolTimeoutError):
                ledger.hold_all(hold_ms * random.uniform(0.8, 1.2) / 1e3)
            time.sleep(parts.knobs.get("pool_gap_ms", 0.0) * random.uniform(0.8, 1.2) / 1e3)
        else:
            time.sleep(_IDLE_S)


def main(settings: dict[str, Any]) -> None:
    """Be the payment service."""
    serve(settings, routes)
