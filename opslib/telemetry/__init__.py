"""Log, trace, metric and change queries: one protocol each, one module per backend.

The public names are imported when they are first used: an importer's processes need none of them, and no pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opslib.telemetry.backends import connect, connect_capture
    from opslib.telemetry.protocols import Blocks, Frame, Sources

_MODULE_OF = {
    "Blocks": "protocols",
    "Frame": "protocols",
    "Sources": "protocols",
    "connect": "backends",
    "connect_capture": "backends",
}

__all__ = ["Blocks", "Frame", "Sources", "connect", "connect_capture"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'opslib.telemetry' has no attribute {name!r}")
    return getattr(importlib.import_module(f"opslib.telemetry.{_MODULE_OF[name]}"), name)
