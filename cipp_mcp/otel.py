"""Spans and metrics to an OpenTelemetry collector; imported only where one is configured (extra ``otel``).

The providers are this server's own and not the process-wide ones: the MCP library writes names and messages that come
from a host into its spans, and those must not leave. A trace that a host began is continued nevertheless.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from cipp_mcp import __version__
from cipp_mcp.telemetry import Metric, Told

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_DURATIONS: dict[Metric, str] = {
    "cipp.call.duration": "Calls by hosts, by endpoint and outcome",
    "cipp.request.duration": "HTTP requests to CIPP, by endpoint and status",
    "cipp.queue.duration": "Waits for a place among the calls to CIPP",
    "cipp.token.duration": "Requests for an access token",
}
_PATIENCE = 0.8
_FAULTS = ("failed", "unknown")


class OtelSink:
    """A `telemetry.Sink` over OpenTelemetry's SDK."""

    def __init__(self, processors: Sequence[SpanProcessor], readers: Sequence[MetricReader]) -> None:
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "cipp-mcp"}))
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        for processor in processors:
            self._tracers.add_span_processor(processor)
        self._meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self._tracer = self._tracers.get_tracer("cipp_mcp", __version__) if processors else None
        meter = self._meters.get_meter("cipp_mcp", __version__)
        self._durations = {
            name: meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=_SECONDS)
            for name, text in _DURATIONS.items()
        }
        self._lookups = meter.create_counter("cipp.cache.lookups", "{lookup}", "Searches for a recent identical read")

    @classmethod
    def exporting(cls, signals: Sequence[str]) -> OtelSink:
        """A sink that exports `signals` (``traces``, ``metrics``) by OTLP, as OTEL_EXPORTER_OTLP_* say."""
        processors: list[SpanProcessor] = []
        readers: list[MetricReader] = []
        if "traces" in signals:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            processors.append(BatchSpanProcessor(OTLPSpanExporter()))
        if "metrics" in signals:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        return cls(processors, readers)

    @contextmanager
    def span(self, name: str, *, outgoing: bool) -> Iterator[Callable[[Told], None]]:
        if self._tracer is None:
            yield lambda _: None
            return
        # Exceptions and their messages may carry tenants' data: only what is told goes out.
        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT if outgoing else SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def tell(told: Told) -> None:
                span.set_attributes(told)
                status = told.get("http.response.status_code", 0)
                if "error.type" in told or told.get("cipp.outcome") in _FAULTS or int(status) >= 400:
                    span.set_status(StatusCode.ERROR)

            yield tell

    def record(self, metric: Metric, value: float, told: Told) -> None:
        if metric == "cipp.cache.lookups":
            self._lookups.add(value, told)
        else:
            self._durations[metric].record(value, told)

    def context(self) -> Told:
        context = get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace": f"{context.trace_id:032x}", "span": f"{context.span_id:016x}"}

    def close(self) -> None:
        # A collector that does not answer would hold the end of the process for half a minute.
        threads = [
            threading.Thread(target=provider.shutdown, name="cipp-telemetry", daemon=True)
            for provider in (self._tracers, self._meters)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
