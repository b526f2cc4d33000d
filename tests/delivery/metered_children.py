"""Child processes with a provider of metrics: one that forks, one that simply ends.

Run as ``python -m tests.delivery.metered_children <what> <base_url> <outbox_dir>``. Each prints its numbers as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from otel_polar import PolarSpanProcessor
from tests.delivery.children import make_calls, make_provider, say
from tests.delivery.metered_providers import Read, read, read_data, value
from tests.delivery.support import TOKEN


def fork(base_url: str, outbox_dir: str) -> None:
    """Three calls in the parent, two of them before the fork, and one in the child."""
    # Python 3.12 warns of forks beside threads, of which the SDK has some, too.
    warnings.simplefilter("ignore", DeprecationWarning)
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider(metric_readers=[reader], shutdown_on_exit=False))
    provider, processor = make_provider(base_url, outbox_dir)
    make_calls(provider, 2)
    processor.force_flush(20_000)
    from_child, to_parent = os.pipe()
    if os.fork() == 0:
        before = read(reader)
        make_calls(provider, 1)
        processor.force_flush(20_000)
        # What the SDK has added up by itself, it goes on from: only durations of requests.
        inherited = sorted(name for name, metric in before.items() if metric.points and metric.kind != "Histogram")
        told = {"inherited": inherited} if inherited else numbers(read(reader))
        os.write(to_parent, json.dumps(told).encode())
        os._exit(0)
    make_calls(provider, 1)
    processor.force_flush(20_000)
    child = json.loads(os.read(from_child, 10_000))
    os.wait()
    say(json.dumps({"child": child, "parent": numbers(read(reader))}))
    provider.shutdown()


class Printing(MetricExporter):
    """Prints what it is given last."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: object) -> MetricExportResult:  # noqa: ARG002 - the SDK's signature
        """Print it."""
        say(json.dumps(numbers(read_data(metrics_data))))
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is kept."""
        return True

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None:
        """Nothing is open."""


def exit(base_url: str, outbox_dir: str) -> None:  # noqa: A001 - what it does
    """As a script: providers that shut down at exit, two calls, and the end."""
    # The first to be shut down is the one that was made last.
    metrics.set_meter_provider(MeterProvider(metric_readers=[PeriodicExportingMetricReader(Printing())]))
    provider = TracerProvider()
    provider.add_span_processor(PolarSpanProcessor(access_token=TOKEN, base_url=base_url, outbox_dir=outbox_dir))
    trace.set_tracer_provider(provider)
    make_calls(provider, 2)


def numbers(found: dict[str, Read]) -> dict[str, int]:
    """Those that the test compares."""
    return {
        "sent": value(found, "otel_polar.calls", otel_polar__outcome="sent"),
        "kept": next(n for told, n in found["otel.sdk.processor.span.processed"].points if "error.type" not in told),
        "waiting": value(found, "otel.sdk.processor.span.queue.size"),
    }


if __name__ == "__main__":
    what, url, directory = sys.argv[1:]
    globals()[what](url, directory)
