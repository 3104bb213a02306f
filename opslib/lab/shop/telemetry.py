"""What a service tells about itself: spans, logs and metrics by the OpenTelemetry SDK, sent as OTLP over HTTP.

Providers are objects handed around, never the process-wide ones. Nothing comes from OTEL_* or proxy variables: the
supervisor starts its children without them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil
from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer, get_current_span

from opslib.lab.shop.knobs import Knobs
from opslib.lab.shop.outlet import Outlet, clock_offset_ns

# The advice of the semantic conventions for http.server.request.duration, in seconds.
DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
EXPORT_EVERY_MS = 500
METRICS_EVERY_MS = 2000
_SCOPE = "shop"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One service's tracer, meter and logger, and what ends them."""

    tracer: Tracer
    meter: Meter
    logger: Logger
    _providers: tuple[TracerProvider, MeterProvider, LoggerProvider]
    knobs: Knobs = field(default_factory=Knobs)

    @classmethod
    def start(cls, about: Mapping[str, str], collector_url: str, knobs: Knobs) -> Telemetry:
        """Start exporting to the collector ("": to nobody); every provider batches on a thread of its own.

        `about` is the resource.
        """
        resource = Resource({**about, "service.namespace": _SCOPE})
        tracers, loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
        if not collector_url:
            return cls._of(tracers, MeterProvider(resource=resource), loggers, knobs)
        sending = BatchSpanProcessor(
            OTLPSpanExporter(f"{collector_url}/v1/traces", timeout=5), schedule_delay_millis=EXPORT_EVERY_MS
        )
        tracers.add_span_processor(Outlet(sending, knobs))
        loggers.add_log_record_processor(
            BatchLogRecordProcessor(
                OTLPLogExporter(f"{collector_url}/v1/logs", timeout=5),
                schedule_delay_millis=EXPORT_EVERY_MS,
            )
        )
        exporter = OTLPMetricExporter(f"{collector_url}/v1/metrics", timeout=5)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=METRICS_EVERY_MS)
        meters = MeterProvider([reader], resource=resource)
        _observe_process(meters.get_meter(_SCOPE))
        return cls._of(tracers, meters, loggers, knobs)

    @classmethod
    def _of(
        cls, tracers: TracerProvider, meters: MeterProvider, loggers: LoggerProvider, knobs: Knobs
    ) -> Telemetry:
        providers = (tracers, meters, loggers)
        return cls(
            tracers.get_tracer(_SCOPE), meters.get_meter(_SCOPE), loggers.get_logger(_SCOPE), providers, knobs
        )

    def info(self, body: str, attributes: Mapping[str, str | int]) -> None:
        self._emit(SeverityNumber.INFO, body, attributes)

    def warn(self, body: str) -> None:
        self._emit(SeverityNumber.WARN, body)

    def error(self, body: str, exception: BaseException | None = None) -> None:
        self._emit(SeverityNumber.ERROR, body, exception=exception)

    def _emit(
        self,
        severity: SeverityNumber,
        body: str,
        attributes: Mapping[str, str | int] | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Send a record, and write it as a line of JSON for whoever reads the container's log."""
        now_ns, level = self._now_ns(), severity.name
        self.logger.emit(
            timestamp=now_ns,
            severity_number=severity,
            severity_text=level,
            body=body,
            attributes=attributes,
            exception=exception,
        )
        context = get_current_span().get_span_context()
        time_text = datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        line = {"time": time_text, "level": level, "message": body, **(attributes or {})}
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def _now_ns(self) -> int:
        return time.time_ns() + clock_offset_ns(self.knobs)

    def duration_histogram(self, name: str, description: str) -> Histogram:
        """Return a histogram of seconds with the conventions' buckets."""
        return self.meter.create_histogram(
            name,
            unit="s",
            description=description,
            explicit_bucket_boundaries_advisory=list(DURATION_BOUNDS_S),
        )

    def close(self) -> None:
        """Send what is left and stop the threads."""
        for provider in self._providers:
            provider.shutdown()


def _observe_process(meter: Meter) -> None:
    process = psutil.Process()
    process.cpu_percent()  # the first call opens the interval

    def cpu(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(process.cpu_percent() / 100)

    def memory(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(process.memory_info().rss)

    meter.create_observable_gauge(
        "process.cpu.utilization", [cpu], unit="1", description="Share of one core used since the last export"
    )
    meter.create_observable_up_down_counter(
        "process.memory.usage", [memory], unit="By", description="Physical memory in use"
    )
