"""The capture: evidence in a folder of Parquet files, written while it happens, read back anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opslib.core.lazy import lazy_names

if TYPE_CHECKING:
    from opslib.telemetry.capture.contents import show
    from opslib.telemetry.capture.engine import ReadLimits
    from opslib.telemetry.capture.exporter import export
    from opslib.telemetry.capture.integrity import verify
    from opslib.telemetry.capture.manifest import CaptureMeta, FileEntry
    from opslib.telemetry.capture.reader import Capture, open_capture
    from opslib.telemetry.capture.writer import CaptureWriter

_MODULES = {
    "engine": ("ReadLimits",),
    "exporter": ("export",),
    "manifest": (
        "CaptureMeta",
        "FileEntry",
    ),
    "reader": (
        "Capture",
        "open_capture",
    ),
    "contents": ("show",),
    "integrity": ("verify",),
    "writer": ("CaptureWriter",),
}

__all__ = [
    "Capture",
    "CaptureMeta",
    "CaptureWriter",
    "FileEntry",
    "ReadLimits",
    "export",
    "open_capture",
    "show",
    "verify",
]

# An importer shares the manifest and needs no pandas.
__getattr__ = lazy_names(__name__, _MODULES)
