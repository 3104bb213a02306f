"""A running lab for the tests that need one, and telemetry that stays in memory for those that do not."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from opslib import lab
from opslib.lab.shop.telemetry import Telemetry

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state folder of a lab that runs for the whole session."""
    state = tmp_path_factory.mktemp("lab") / "state"
    lab.up(state)
    yield state
    lab.down(state)


class Started(SpanProcessor):
    """The names of spans, as they start."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_start(self, span, parent_context=None) -> None:
        self.names.append(span.name)


class Recorded:
    """A service's telemetry and what it has told."""

    def __init__(self) -> None:
        self._spans, self._logs, self._reader = (
            InMemorySpanExporter(),
            InMemoryLogRecordExporter(),
            InMemoryMetricReader(),
        )
        tracers, loggers, meters = TracerProvider(), LoggerProvider(), MeterProvider([self._reader])
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.started = Started()
        tracers.add_span_processor(self.started)
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.telemetry = Telemetry(
            tracers.get_tracer("t"),
            meters.get_meter("t"),
            loggers.get_logger("t"),
            (tracers, meters, loggers),
        )

    def spans(self) -> dict:
        return {span.name: span for span in self._spans.get_finished_spans()}

    def span(self, name: str, kind: SpanKind = SpanKind.SERVER) -> ReadableSpan:
        """A span of this name and kind; a server's ends shortly after its client has the answer."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for span in self._spans.get_finished_spans():
                if (span.name, span.kind) == (name, kind):
                    return span
        raise AssertionError(f"no {kind} span {name}")

    def logs(self) -> list:
        return [data.log_record for data in self._logs.get_finished_logs()]

    def points(self, name: str) -> list:
        data = self._reader.get_metrics_data()
        metrics = [
            m for r in (data.resource_metrics if data else []) for s in r.scope_metrics for m in s.metrics
        ]
        return [point for m in metrics if m.name == name for point in m.data.data_points]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    told = Recorded()
    yield told
    told.telemetry.close()
