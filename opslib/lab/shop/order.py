"""order: takes orders, has them paid, lists the latest."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

from opslib.lab.shop.server import Handler
from opslib.lab.shop.service import Parts, serve
from opslib.lab.shop.work import spend_cpu

_PLACE_CPU_S = 0.001


def routes(parts: Parts) -> Mapping[str, Handler]:
    """Return order's handlers."""
    latest: deque[dict[str, Any]] = deque(maxlen=20)

    def place(basket: dict[str, Any]) -> dict[str, Any]:
        order_id = order_of(basket.get("idempotency_key") or uuid.uuid4().hex)
        parts.telemetry.info("order accepted", {"order.id": order_id})
        spend_cpu(_PLACE_CPU_S, order_id.encode())
        paid = {**basket, "order_id": order_id}
        payment = parts.peers["payment"].call("POST", "/payments", paid, key=order_id)
        order = {"order_id": order_id, "status": payment["status"]}
        if order not in latest:
            latest.append(order)
        return order

    def listing(_: dict[str, Any]) -> dict[str, Any]:
        return {"orders": list(latest)}

    return {"POST /orders": place, "GET /orders": listing}


def order_of(key: str) -> str:
    """Return the order that a key stands for: the same in every process, however often it is asked for."""
    return uuid.uuid5(uuid.NAMESPACE_OID, key).hex


def main(settings: dict[str, Any]) -> None:
    """Be the order service."""
    serve(settings, routes)
