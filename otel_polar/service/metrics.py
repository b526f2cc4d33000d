"""The service's metrics for Prometheus: those of every pipeline, and what came in at its doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation, set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from otel_polar._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions

    from otel_polar.service.kafka.source import KafkaSource
    from otel_polar.service.receiver import Receiver

METER_NAME: Final = "otel_polar.service"
RESULT: Final = "otel_polar.result"

_KAFKA: Final = {
    "messages": "Messages read from Kafka",
    "unreadable": "Messages from Kafka that were no traces, and were skipped",
    "deleted": "Messages that Kafka deleted before they were read: calls in them are lost",
}


class Metrics:
    """Becomes this process's provider of metrics, so that the pipelines in it find somebody who asks."""

    def __init__(self, receiver: Receiver, kafka: KafkaSource | None, *, ready: Callable[[], bool]) -> None:
        """What is told is asked for at each scrape."""
        self._registry = CollectorRegistry()
        provider = MeterProvider(
            [PrometheusMetricReader(registry=self._registry)],
            # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
            resource=Resource({SERVICE_NAME: "otel-polar"}).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        set_meter_provider(provider)
        meter = provider.get_meter(METER_NAME, __version__)

        def requests(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(count, {RESULT: result}) for result, count in sorted(receiver.requests.items())]

        meter.create_observable_counter(
            f"{METER_NAME}.requests", [requests], "{request}", "What came in, by what became of it"
        )
        meter.create_observable_counter(
            f"{METER_NAME}.unreadable",
            [_asking(lambda: receiver.unreadable_spans + (0 if kafka is None else kafka.counts["unreadable_spans"]))],
            "{span}",
            "Spans without ids or times, not billed",
        )
        meter.create_observable_up_down_counter(
            f"{METER_NAME}.in_flight",
            [_asking(lambda: receiver.in_flight_bytes)],
            "By",
            "Requests that are being taken",
        )
        meter.create_observable_gauge(
            f"{METER_NAME}.ready", [_asking(lambda: int(ready()))], "1", "Whether calls can be recorded"
        )
        if kafka is None:
            return
        for name, description in _KAFKA.items():
            asked = _asking(lambda name=name: kafka.counts[name])  # type: ignore[misc]  # of a lambda with a default
            meter.create_observable_counter(f"{METER_NAME}.kafka.{name}", [asked], "{message}", description)
        meter.create_observable_up_down_counter(
            f"{METER_NAME}.kafka.partitions", [_asking(lambda: kafka.assigned)], "{partition}", "Read by this replica"
        )
        meter.create_observable_gauge(
            f"{METER_NAME}.kafka.lag", [_asking(lambda: kafka.lag)], "{message}", "Messages of those not on disk yet"
        )

    def exposition(self) -> tuple[bytes, str]:
        """All of them as Prometheus reads them, and the content type of that."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def _asking(value: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(value())]
