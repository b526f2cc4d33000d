"""Providers of metrics as an application has them, and what is read from them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import metrics
from opentelemetry.metrics import _internal as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.util._once import Once

from otel_polar.delivery.metrics.instruments import _Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader, MetricsData


CALL: Final[dict[str, str | int]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
}
"""The attributes of a call that can be billed."""


class Read(NamedTuple):
    """A metric of ours as a reader has it; ``points`` are attributes and value (of a histogram, the count)."""

    unit: str
    kind: str
    points: list[tuple[dict[str, Any], Any]]


@contextmanager
def no_provider() -> Iterator[None]:
    """The application has not set a provider of metrics, or not yet; what it sets is taken back in the end."""
    before = (api._METER_PROVIDER, api._METER_PROVIDER_SET_ONCE, api._PROXY_METER_PROVIDER)
    # Among them one that has not yet given meters to other tests: those would be told of the provider, too.
    api._METER_PROVIDER, api._METER_PROVIDER_SET_ONCE = None, Once()
    api._PROXY_METER_PROVIDER = api._ProxyMeterProvider()
    # Pipelines of earlier tests are told of for a while.
    _Process.sources = ()
    try:
        yield
    finally:
        api._METER_PROVIDER, api._METER_PROVIDER_SET_ONCE, api._PROXY_METER_PROVIDER = before


@contextmanager
def a_provider(reader: MetricReader) -> Iterator[MeterProvider]:
    """The application has set a provider with that reader."""
    with no_provider():
        provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
        metrics.set_meter_provider(provider)
        try:
            yield provider
        finally:
            provider.shutdown()


def read(reader: InMemoryMetricReader) -> dict[str, Read]:
    """Every metric of ours, by name."""
    return read_data(reader.get_metrics_data())


def read_data(data: MetricsData | None) -> dict[str, Read]:
    """The same of what an exporter is given."""
    found: dict[str, Read] = {}
    for resource in () if data is None else data.resource_metrics:
        for scope in resource.scope_metrics:
            if scope.scope.name != "otel_polar":
                continue
            for metric in scope.metrics:
                kind = type(metric.data).__name__ + (" up" if getattr(metric.data, "is_monotonic", False) else "")
                points = [
                    (dict(point.attributes or {}), getattr(point, "value", getattr(point, "count", None)))
                    for point in metric.data.data_points
                ]
                found[metric.name] = Read(metric.unit or "", kind, points)
    return found


def value(found: dict[str, Read], name: str, **attributes: str) -> Any:
    """The one point of a metric with (at least) these attributes, dots written as ``__``; ``None`` if there is none."""
    wanted = {key.replace("__", "."): attribute for key, attribute in attributes.items()}
    points = found[name].points if name in found else []
    values = [number for told, number in points if wanted.items() <= told.items()]
    assert len(values) <= 1, values
    return values[0] if values else None
