"""Everything that goes to servers beside the capture: spans, logs and metrics, the same records as it holds.

Nothing here waits for a server, and nothing that a server does reaches the capture or the senders.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslib.core.clock import Clock, SystemClock
from opslib.core.journal import write_atomic
from opslib.lab.collector.exposition import Exposition
from opslib.lab.collector.forwarding import Forwarder, requests_by_trace
from opslib.lab.collector.logfiles import LogFiles
from opslib.lab.collector.rows import Row
from opslib.lab.ports import LOOPBACK

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beside:
    """None for a signal that goes nowhere else; `target` is the file by which Prometheus finds the metrics."""

    spans: Forwarder | None = None
    logs: LogFiles | None = None
    metrics: Exposition | None = None
    target: Path | None = None

    @classmethod
    def of(cls, servers: Mapping[str, str], namespace: str, port: int, clock: Clock | None = None) -> Beside:
        """Return what the settings ask for, see `opslib.lab.servers.Servers`."""
        return cls(
            Forwarder(servers["otlp"]) if servers.get("otlp") else None,
            LogFiles(Path(servers["logs"]), namespace) if servers.get("logs") else None,
            Exposition(clock or SystemClock()) if servers.get("prometheus") else None,
            Path(servers["scrape"]) / f"opslib-lab-{port}.json" if servers.get("scrape") else None,
        )

    def start(self, port: int) -> None:
        """Begin to send, and let Prometheus know where the metrics are."""
        if self.spans is not None:
            self.spans.start()
        if self.target is not None:
            found = {"targets": [f"{LOOPBACK}:{port}"], "labels": {"job": "opslib-lab"}}
            try:
                write_atomic(self.target, json.dumps([found]))
            except OSError as error:
                _log.error("Prometheus cannot be told where the metrics are: %s", error)

    def take(self, file: str, request: Any, kept: Sequence[Row], *, whole: bool) -> None:
        """Take what the capture keeps of a request; `whole` where that is all of it."""
        if file == "logs" and self.logs is not None:
            self.logs.add(kept)
        elif file == "metrics" and self.metrics is not None:
            self.metrics.add(kept, request)
        elif file == "spans" and kept:
            self.forward(
                [request.SerializeToString()] if whole else self.apart(request, kept).values(), len(kept)
            )

    def apart(self, request: Any, kept: Sequence[Row]) -> dict[str, bytes]:
        """Return what forwards the spans that are kept, by trace; nothing where they are not forwarded."""
        return requests_by_trace(request, kept) if self.spans is not None else {}

    def forward(self, requests: Iterable[bytes], spans: int) -> None:
        """Send so many spans; one request after the other is one of them all, as protobuf has it."""
        if self.spans is not None:
            self.spans.put(b"".join(requests), spans)

    def flush(self) -> None:
        """Write what is written now and then."""
        if self.logs is not None:
            self.logs.flush()

    def counts(self) -> dict[str, Any]:
        """Return what became of each signal."""
        parts = {"spans": self.spans, "logs": self.logs, "metrics": self.metrics}
        return {name: part.counts() for name, part in parts.items() if part is not None}

    def close(self) -> None:
        """Send what is left, as far as that goes quickly."""
        self.flush()
        if self.target is not None:
            self.target.unlink(missing_ok=True)
        if self.spans is not None:
            self.spans.close()
