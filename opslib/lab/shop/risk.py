"""risk: scores a payment; the score is bought with processor time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from opslib.lab.shop.server import Handler
from opslib.lab.shop.service import Parts, serve
from opslib.lab.shop.work import spend_cpu

_SCORE_CPU_MS = 3.0


class ModelError(Exception):
    """The model cannot score a payment."""


def routes(parts: Parts) -> Mapping[str, Handler]:
    """Return risk's handlers.

    Knobs: `score_cpu_ms` of processor time for one score, `score_cpu_ms.TENANT` for one of that tenant, `fail_share`
    of the scores end in an exception.
    """

    def score(payment: dict[str, Any]) -> dict[str, Any]:
        usual_ms = parts.knobs.get("score_cpu_ms", _SCORE_CPU_MS)
        cpu_ms = parts.knobs.get(f"score_cpu_ms.{payment.get('tenant', '')}", usual_ms)
        asked = {name: value for name, value in payment.items() if name != "idempotency_key"}
        digest = spend_cpu(cpu_ms / 1e3, str(asked).encode())
        if random.random() < parts.knobs.get("fail_share", 0.0):
            raise ModelError("no answer from the model store")
        points = int(digest[:2], 16)
        parts.telemetry.info("payment scored", {"risk.points": points})
        return {"decision": "accept", "points": points}

    return {"POST /score": score}


def main(settings: dict[str, Any]) -> None:
    """Be the risk service."""
    serve(settings, routes)
