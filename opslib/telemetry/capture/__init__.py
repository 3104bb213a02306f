"""The capture: evidence in a folder of Parquet files, written while it happens, read back anywhere."""

from opslib.telemetry.capture.engine import ReadLimits
from opslib.telemetry.capture.export import export
from opslib.telemetry.capture.manifest import CaptureMeta, FileEntry
from opslib.telemetry.capture.reader import Capture, open_capture
from opslib.telemetry.capture.show import show
from opslib.telemetry.capture.verify import verify
from opslib.telemetry.capture.writer import CaptureWriter

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
