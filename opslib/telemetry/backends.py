"""Which backend answers for which signal: the `kind` of an environment's source chooses it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from opslib.core.clock import Clock, SystemClock
from opslib.core.errors import UsageError, near_names
from opslib.core.settings import Environment, SourceSettings
from opslib.telemetry.capture import Capture, open_capture
from opslib.telemetry.protocols import Sources

_CAPTURE_OPTIONS = {"path", "live"}
# signal -> kind -> the package here whose `connect` makes a source of it
SERVERS: dict[str, dict[str, str]] = {
    "traces": {"jaeger": "jaeger"},
    "logs": {"elasticsearch": "elasticsearch", "opensearch": "elasticsearch"},
    "metrics": {"prometheus": "prometheus"},
    "changes": {"kubernetes": "kubernetes"},
}


def connect(environment: Environment, clock: Clock | None = None) -> Sources:
    """Return the sources of an environment. Raises UsageError for what cannot be asked, CaptureError for no capture.

    `{kind = "capture", path = "DIR", live = true}`: a folder relative to the environment's file; a live one is still
    being written. Servers: `{kind = "jaeger", url = "https://...", auth = "env:NAME"}`, and so on.
    """
    captures: dict[tuple[Path, bool], Capture] = {}

    def source(signal: str, settings: SourceSettings | None) -> Any:
        if settings is None:
            return None
        where = f"environment {environment.name!r}, {signal}"
        if settings.kind != "capture":
            return _server(signal, settings, environment, where, clock or SystemClock())
        path, live = _capture_options(settings, where)
        folder = path if environment.origin is None else environment.origin.parent / path
        if (folder, live) not in captures:
            captures[folder, live] = open_capture(folder, live=live)
        return captures[folder, live]

    return Sources(
        source("traces", environment.traces),
        source("logs", environment.logs),
        source("metrics", environment.metrics),
        source("changes", environment.changes),
    )


def connect_capture(path: str | Path) -> Sources:
    """Return all four sources of one capture folder. Raises CaptureError."""
    capture = open_capture(Path(path))
    return Sources(capture, capture, capture, capture)


def _server(signal: str, settings: SourceSettings, environment: Environment, where: str, clock: Clock) -> Any:
    kinds = SERVERS[signal]
    if settings.kind not in kinds:
        raise UsageError(
            f"{where}: there is no kind {settings.kind!r}",
            hint=near_names(settings.kind, {"capture", *kinds}),
        )
    # loaded when asked: each brings a client that the others do not need
    module = importlib.import_module(f"opslib.telemetry.{kinds[settings.kind]}")
    return module.connect(settings, environment, where, clock)


def _capture_options(settings: SourceSettings, where: str) -> tuple[Path, bool]:
    unknown = set(settings.options) - _CAPTURE_OPTIONS
    if unknown:
        word = min(unknown)
        raise UsageError(f"{where} has no option {word!r}", hint=near_names(word, _CAPTURE_OPTIONS))
    path: Any = settings.options.get("path")
    live: Any = settings.options.get("live", False)
    if not isinstance(path, str) or not isinstance(live, bool):
        raise UsageError(f"{where} needs a `path`", hint='such as {kind = "capture", path = "incident-42"}')
    return Path(path), live
