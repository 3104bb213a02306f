"""storefront: what a customer's browser talks to, and so the root of every trace."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from typing import Any

from opslib.lab.shop.server import Handler
from opslib.lab.shop.service import Parts, serve
from opslib.lab.shop.work import spend_cpu

_PAGE_CPU_S = 0.0005


def routes(parts: Parts) -> Mapping[str, Handler]:
    """Return the storefront's handlers. Knob `banner_fail_share` of the pages lack their banner, which is logged."""

    def browse(_: dict[str, Any]) -> dict[str, Any]:
        if random.random() < parts.knobs.get("banner_fail_share", 0.0):
            parts.telemetry.error("banner could not be loaded: advertisement exchange refused the connection")
        return {"page": spend_cpu(_PAGE_CPU_S, b"page")}

    def orders(_: dict[str, Any]) -> dict[str, Any]:
        return parts.peers["order"].call("GET", "/orders")

    def checkout(basket: dict[str, Any]) -> dict[str, Any]:
        key = basket.get("idempotency_key") or uuid.uuid4().hex
        order = parts.peers["order"].call("POST", "/orders", basket, key=key)
        parts.telemetry.info("checkout completed", {"order.id": order["order_id"]})
        return order

    return {"GET /": browse, "GET /orders": orders, "POST /checkout": checkout}


def main(settings: dict[str, Any]) -> None:
    """Be the storefront."""
    serve(settings, routes)
