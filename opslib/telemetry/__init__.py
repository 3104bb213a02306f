"""Log, trace, metric and change queries: one protocol each, one module per backend.

The public names are imported when they are first used: an importer's processes need none of them, and no pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.lazy import lazy_names

if TYPE_CHECKING:
    from opslib.telemetry.backends import connect, connect_capture
    from opslib.telemetry.protocols import Blocks, Frame, Sources

_MODULES = {"backends": ("connect", "connect_capture"), "protocols": ("Blocks", "Frame", "Sources")}

__all__ = ["Blocks", "Frame", "Sources", "connect", "connect_capture"]

__getattr__ = lazy_names(__name__, _MODULES)
