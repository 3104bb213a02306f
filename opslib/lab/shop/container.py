"""A service of the shop as containers are configured, by its environment: what that says, as a service's settings.

PORT and POD_IP (or POD_LISTEN_PORT, where pods share an address): where to listen · ORDER_URL, PAYMENT_URL, RISK_URL:
whom to call · HTTP_PROXY: who resolves these names · OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_RESOURCE_ATTRIBUTES · LEDGER,
HISTORY_ROWS: payment's database file, below POD_ROOT where that is set · KNOBS: JSON, what a release does differently ·
CONTROL_PORT, CONTROL_TOKEN: where knobs are set at run time, nowhere without · DRAIN_S: the longest that ending takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from opslib.core.errors import UsageError

PEERS: Mapping[str, tuple[str, ...]] = {
    "storefront": ("order",),
    "order": ("payment",),
    "payment": ("risk",),
    "risk": (),
}
ATTEMPTS = (
    9  # of a call that breaks off; with their pauses some 5 s, in which an endpoint that is gone is noticed
)
_DRAIN_S = 20.0


def settings(service: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a service. Raises UsageError for a variable that is missing or no number."""
    try:
        port = int(env["PORT"])
        host, actual = _listen(env, port)
        told: dict[str, Any] = {
            "host": host,
            "port": actual,
            "resource": {"service.name": service, **_attributes(env.get("OTEL_RESOURCE_ATTRIBUTES", ""))},
            "collector_url": env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/"),
            "peers": {peer: env[f"{peer.upper()}_URL"] for peer in PEERS[service]},
            "canaries": {
                p: env[f"{p.upper()}_CANARY_URL"]
                for p in PEERS[service]
                if env.get(f"{p.upper()}_CANARY_URL")
            },
            "proxy": env.get("HTTP_PROXY") or None,
            "attempts": ATTEMPTS,
            "ledger": env.get("POD_ROOT", "") + env.get("LEDGER", "/data/ledger.db"),
            "history_rows": int(env.get("HISTORY_ROWS") or 0) if service == "payment" else 0,
            "knobs": dict(json.loads(env.get("KNOBS") or "{}")),
            "drain_s": float(env.get("DRAIN_S") or _DRAIN_S),
        }
        if env.get("CONTROL_TOKEN"):
            _, told["control_port"] = _listen(env, int(env["CONTROL_PORT"]))
            told["token"] = env["CONTROL_TOKEN"]
    except KeyError as error:
        raise UsageError(f"{service} needs the variable {error.args[0]}", hint=f"see {__name__}") from error
    except ValueError as error:
        raise UsageError(f"{service} cannot use a variable: {error}", hint=f"see {__name__}") from error
    return told


def _listen(env: Mapping[str, str], port: int) -> tuple[str, int]:
    placed = env.get(f"POD_LISTEN_{port}", "")
    host, _, actual = placed.rpartition(":")
    return (host, int(actual)) if placed else (env.get("POD_IP") or "0.0.0.0", port)  # noqa: S104 - a pod's own


def _attributes(text: str) -> dict[str, str]:
    """Read OTEL_RESOURCE_ATTRIBUTES: `key=value,key=value`, values percent-encoded."""
    pairs = (entry.partition("=") for entry in text.split(",") if "=" in entry)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}
