"""``PolarSpanExporter``: for pipelines that are built by hand; the second choice.

An exporter comes late: a ``BatchSpanProcessor`` keeps spans in memory until it is its turn, drops the oldest when there
are too many, hands on none that is not sampled, and calls the exporter in a thread of its own, without the context of
the call. So what crashes is lost, and who pays must stand on the span: in an attribute of its own, or stamped there
from baggage, as opentelemetry-processor-baggage does. ``PolarSpanProcessor`` has none of these limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import get_tracer_provider

from otel_polar.billing.customer import NOBODY
from otel_polar.billing.measurement import may_match, read_measurements
from otel_polar.billing.semconv import EVENT_NAME, MODEL_CALL_MARKERS
from otel_polar.billing.span import attributes_of, read_span
from otel_polar.capture.identity import NO_IDENTITY, tags_of, who_pays
from otel_polar.capture.instrumentor import PolarInstrumentor
from otel_polar.delivery.notices import describe, logger
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_polar.delivery.pipeline import Pipeline
    from otel_polar.options import Options


class PolarSpanExporter(SpanExporter):
    """Bills every model call among the spans it is given, by what stands on them.

    Takes the options of :class:`~otel_polar.settings.Settings` as keyword arguments; those left out come from the
    environment. Without an access token it says so once and does nothing.

    Raises:
        ConfigError: if an option or variable has a value that cannot be used.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        settings = Settings.load(**options)
        self._keys = settings.customer_keys
        self._tag_keys = tuple(settings.tags)
        self._span_rules = tuple(settings.span_rules)
        if settings.agent_event_name is not None:
            logger.warning(
                "agent_event_name (OTEL_POLAR_AGENT_EVENT_NAME) needs a processor: an exporter sees spans that ended"
            )
        self._pipeline: Pipeline | None = None
        if settings.access_token is None:
            logger.warning("no access token (POLAR_ACCESS_TOKEN): model calls are not recorded and nobody is billed")
            return
        from otel_polar.delivery.pipeline import Pipeline  # noqa: PLC0415 - not without a token

        self._pipeline = Pipeline(settings)

    @property
    def pipeline(self) -> Pipeline | None:
        """The engine behind it; ``None`` without an access token."""
        return self._pipeline

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Record the model calls among *spans*; they are on disk when this returns."""
        for span in spans:
            if self._pipeline is not None:
                self._take(self._pipeline, span)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Send what can be sent within ``shutdown_timeout_s``; the rest stays on disk."""
        if self._pipeline is not None:
            self._pipeline.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send everything now; whether nothing is left to send. What is left stays on disk."""
        return self._pipeline is None or self._pipeline.force_flush(timeout_millis / 1_000)

    def _take(self, pipeline: Pipeline, span: ReadableSpan) -> None:
        try:
            attributes = attributes_of(span)
            is_call = not MODEL_CALL_MARKERS.isdisjoint(attributes)
            scope = "" if span.instrumentation_scope is None else span.instrumentation_scope.name
            if not is_call and EVENT_NAME not in attributes and not may_match(self._span_rules, scope, span.name):
                return
            record = read_span(span, process=pipeline.process)
            customer = who_pays(NO_IDENTITY, record, self._keys)
            if customer == NOBODY:
                pipeline.notices.warn(
                    "exporter:nobody",
                    "a span names nobody: an exporter sees neither bill_to nor baggage, only attributes of the span"
                    " itself and of the resource; stamp them there, or use PolarSpanProcessor",
                )
            tags = tags_of(NO_IDENTITY, record.attributes, self._tag_keys)
            for measurement in read_measurements(record, self._span_rules, customer, tags):
                pipeline.take_measurement(measurement)
            if is_call:
                pipeline.take(record, customer, tags)
        except Exception as error:  # noqa: BLE001 - one span must not cost the others
            pipeline.counts["failed"] += 1
            pipeline.notices.error(
                f"exporter:{type(error).__name__}",
                "a span could not be looked at (%s); the application is not affected",
                describe(error),
            )


class ZeroCodeExporter(PolarSpanExporter):
    """The exporter named ``polar`` of ``OTEL_TRACES_EXPORTER`` and of declarative configuration.

    Where there is a provider already, as ``OTEL_TRACES_EXPORTER`` has it, the instrumentor is put in place instead,
    which sees what an exporter cannot, and the exporter itself does nothing. It does nothing either once anybody else
    has put the instrumentor in place.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        provider = get_tracer_provider()
        if isinstance(provider, TracerProvider):
            PolarInstrumentor().instrument(tracer_provider=provider, skip_dep_check=True, **options)
            self._pipeline = None
            return
        super().__init__(**options)
        if self._pipeline is not None:
            logger.warning(
                "an exporter alone sees no baggage, no span that is not sampled, and nothing that was in memory when"
                " the process crashed: use PolarInstrumentor, which opentelemetry-instrument finds by itself",
            )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Record the model calls, unless a processor does."""
        return SpanExportResult.SUCCESS if PolarInstrumentor().is_active else super().export(spans)
