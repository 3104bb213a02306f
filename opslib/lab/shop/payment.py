"""payment: has each payment scored by risk, looks up what the account has spent, and books it in the ledger."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from opslib.lab.shop.ledger import Ledger
from opslib.lab.shop.server import Handler
from opslib.lab.shop.service import Parts, serve
from opslib.lab.shop.work import spend_cpu

_DAY_NS = 86_400 * 1_000_000_000
_SIGN_CPU_S = 0.002
_LIMIT_CENTS = 10**12


class SettlementError(Exception):
    """A payment that cannot be settled."""


def routes(parts: Parts) -> Mapping[str, Handler]:
    """Return payment's handlers. Knob `fail_share`: share of payments that end in an exception."""
    ledger = Ledger(parts.ledger, parts.telemetry)

    def pay(order: dict[str, Any]) -> dict[str, Any]:
        order_id, account, cents = str(order["order_id"]), str(order["account"]), int(order["amount_cents"])
        score = parts.peers["risk"].call("POST", "/score", {"account": account, "amount_cents": cents})
        spend_cpu(_SIGN_CPU_S, order_id.encode())
        spent = ledger.spent_cents(account, time.time_ns() - _DAY_NS)
        if random.random() < parts.knobs.get("fail_share", 0.0):
            raise SettlementError("no exchange rate for settlement currency")
        if score["decision"] != "accept" or spent + cents > _LIMIT_CENTS:
            parts.telemetry.info("payment declined", {"order.id": order_id})
            return {"status": "declined"}
        ledger.book(order_id, account, cents)
        parts.telemetry.info("payment authorised", {"order.id": order_id, "amount.cents": cents})
        return {"status": "authorised"}

    return {"POST /payments": pay}


def main(settings: dict[str, Any]) -> None:
    """Be the payment service."""
    serve(settings, routes)
