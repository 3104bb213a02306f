"""Operations runbooks as notebooks: find why a service is slow, change it safely, undo it.

The public names, by room; each is imported when it is first used, so `import opslib` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opslib.core.errors import OpslibError
    from opslib.core.model import Verdict
    from opslib.core.windows import Window
    from opslib.diagnosis import diagnose
    from opslib.investigate import Investigation, export_evidence, find_cause, preflight
    from opslib.telemetry import connect, connect_capture
    from opslib.ui import (
        budget_waterfall,
        call_graph,
        candidates,
        conclude,
        distribution,
        evidence,
        latency_over_time,
        panel,
        preflight_table,
        progress,
        trace_comparison,
    )

_ROOMS = {
    "opslib.core.errors": ("OpslibError",),
    "opslib.core.model": ("Verdict",),
    "opslib.core.windows": ("Window",),
    "opslib.diagnosis": ("diagnose",),
    "opslib.investigate": ("Investigation", "export_evidence", "find_cause", "preflight"),
    "opslib.telemetry": ("connect", "connect_capture"),
    "opslib.ui": (
        "budget_waterfall",
        "call_graph",
        "candidates",
        "conclude",
        "distribution",
        "evidence",
        "latency_over_time",
        "panel",
        "preflight_table",
        "progress",
        "trace_comparison",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Investigation",
    "OpslibError",
    "Verdict",
    "Window",
    "budget_waterfall",
    "call_graph",
    "candidates",
    "conclude",
    "connect",
    "connect_capture",
    "diagnose",
    "distribution",
    "evidence",
    "export_evidence",
    "find_cause",
    "latency_over_time",
    "panel",
    "preflight",
    "preflight_table",
    "progress",
    "trace_comparison",
]


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'opslib' has no attribute {name!r}")
    return getattr(importlib.import_module(room), name)


def __dir__() -> list[str]:
    return __all__


if "IPython" in sys.modules:  # in a kernel: errors of ours show as a box with what to do next
    importlib.import_module("opslib.ui.errors").install()
