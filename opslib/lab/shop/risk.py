"""risk: scores a payment; the score is bought with processor time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opslib.lab.shop.server import Handler
from opslib.lab.shop.service import Parts, serve
from opslib.lab.shop.work import spend_cpu

_SCORE_CPU_MS = 3.0


def routes(parts: Parts) -> Mapping[str, Handler]:
    """Return risk's handlers. Knob `score_cpu_ms`: processor time of one score."""

    def score(payment: dict[str, Any]) -> dict[str, Any]:
        digest = spend_cpu(parts.knobs.get("score_cpu_ms", _SCORE_CPU_MS) / 1e3, str(payment).encode())
        points = int(digest[:2], 16)
        parts.telemetry.info("payment scored", {"risk.points": points})
        return {"decision": "accept", "points": points}

    return {"POST /score": score}


def main(settings: dict[str, Any]) -> None:
    """Be the risk service."""
    serve(settings, routes)
