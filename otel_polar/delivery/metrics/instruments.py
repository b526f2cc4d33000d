"""The instruments of our own metrics: what they are called, and which number of a pipeline each of them reads.

All of them but one are asked: the provider's reader calls back, on a thread of its own, and is given plain numbers that
are there already. Nothing waits for a lock here, touches a file or raises, and an application without a provider of
metrics has no instruments at all. In a forked child they tell of its own pipelines; durations, which the SDK adds up by
itself, it goes on adding up from what the parent had.

Names, units and attributes are OpenTelemetry's where it has some (semantic conventions, model/otel/metrics.yaml). Where
it counts spans of a queue that is in memory, ours is on disk: *processed* is what was kept, *queue* what is still to be
sent, and a request that is tried again is another operation.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_polar._version import __version__
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

    from otel_polar.delivery.metrics.telemetry import Telemetry

METER_NAME: Final = "otel_polar"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"

COMPONENT_TYPE: Final = "otel.component.type"
COMPONENT_NAME: Final = "otel.component.name"
ERROR_TYPE: Final = "error.type"
OUTCOME: Final = "otel_polar.outcome"
REASON: Final = "otel_polar.reason"
STATE: Final = "otel_polar.state"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "otel_polar.model"

DURATION: Final = "otel.sdk.exporter.operation.duration"
DURATION_BOUNDARIES_S: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

MAX_DURATIONS: Final = 10_000
"""Kept until somebody collects: requests of an hour, and more."""

Point: TypeAlias = "tuple[float, Mapping[str, str]]"


class _Asked(NamedTuple):
    """An instrument that is asked. ``kind`` is what the meter calls it."""

    name: str
    kind: str
    unit: str
    description: str
    read: Callable[[Telemetry], Iterable[Point]]


def _processed(source: Telemetry) -> Iterable[Point]:
    tally = source.tally
    yield tally.recorded, source.processor
    # With a 0 before the first, or nobody could see that it became more.
    yield tally.lost, {**source.processor, ERROR_TYPE: "lost"}
    yield tally.failed, {**source.processor, ERROR_TYPE: "failed"}


def _queue_size(source: Telemetry) -> Iterable[Point]:
    sizes = source.sizes()
    if sizes:
        yield sizes[State.RECORDED] + sizes[State.READY], source.processor


def _exported(source: Telemetry) -> Iterable[Point]:
    ends = source.tally.ends()
    for state, attributes in ((State.SENT, {}), (State.REJECTED, {ERROR_TYPE: "rejected"})):
        yield sum(n for (end, _), n in ends.items() if end == state), {**source.exporter, **attributes}


def _in_flight(source: Telemetry) -> Iterable[Point]:
    yield source.tally.in_flight, source.exporter


def _outbox_size(source: Telemetry) -> Iterable[Point]:
    for state, count in source.sizes().items():
        yield count, {**source.processor, STATE: state.value}


def _outbox_bytes(source: Telemetry) -> Iterable[Point]:
    if source.backlog.last is not None:
        yield source.backlog.last.bytes_on_disk, source.processor


def _oldest_age(source: Telemetry) -> Iterable[Point]:
    age_s = source.oldest_age_s()
    if age_s is not None:
        yield age_s, source.processor


def _calls(source: Telemetry) -> Iterable[Point]:
    for (end, reason), count in source.tally.ends().items():
        told = {} if reason is None else {REASON: reason}
        yield count, {**source.processor, OUTCOME: end, **told}


def _unpriced(source: Telemetry) -> Iterable[Point]:
    for (provider, model), count in source.tally.unpriced().items():
        yield count, {**source.processor, PROVIDER: provider, MODEL: model}


# The descriptions are ours also where the names are not: the SDK may have instruments of the same names for its own
# processors, with other attributes, and its Prometheus exporter mixes up the labels of what differs in nothing else.
_ASKED: Final = (
    _Asked(
        "otel.sdk.processor.span.processed",
        "observable_counter",
        "{span}",
        "Calls that were kept, on disk if possible; with error.type those that could not be",
        _processed,
    ),
    _Asked(
        "otel.sdk.processor.span.queue.size",
        "observable_up_down_counter",
        "{span}",
        "Calls that are still to be sent to Polar",
        _queue_size,
    ),
    _Asked(
        "otel.sdk.exporter.span.exported",
        "observable_counter",
        "{span}",
        "Events that Polar has; with error.type those that it refused",
        _exported,
    ),
    _Asked(
        "otel.sdk.exporter.span.inflight",
        "observable_up_down_counter",
        "{span}",
        "Events in the request to Polar that is under way",
        _in_flight,
    ),
    _Asked(
        "otel_polar.outbox.size",
        "observable_up_down_counter",
        "{call}",
        "Calls in the outbox that are still to be sent or wait for a person, by state",
        _outbox_size,
    ),
    _Asked(
        "otel_polar.outbox.bytes",
        "observable_up_down_counter",
        "By",
        "Size of the files of the outbox",
        _outbox_bytes,
    ),
    _Asked(
        "otel_polar.outbox.oldest_age",
        "observable_gauge",
        "s",
        "How long the oldest call that is still to be sent has waited; 0 if none does",
        _oldest_age,
    ),
    _Asked(
        "otel_polar.calls",
        "observable_counter",
        "{call}",
        "What became of calls, by outcome and reason",
        _calls,
    ),
    _Asked(
        "otel_polar.calls.unpriced",
        "observable_counter",
        "{call}",
        "Model calls that were held because no price of theirs is known",
        _unpriced,
    ),
)

NAMES: Final = (*(asked.name for asked in _ASKED), DURATION)
"""Every metric there is."""


class _Process:
    """What there is once in a process."""

    # Taken by delivery threads only, and by each only while it holds what a fork waits for.
    making = threading.Lock()
    provider: MeterProvider | None = None
    duration: Histogram | None = None
    sources: tuple[Telemetry, ...] = ()


class _Taken(NamedTuple):
    """How long a request took, and who is to be told."""

    pid: int
    histogram: Histogram
    seconds: float
    attributes: Mapping[str, str | int]


# Recorded by whoever collects, in the same collection: the SDK's own locks, which a forked child may find taken for
# ever, are nothing to wait for on a delivery thread.
_durations: Final[deque[_Taken]] = deque(maxlen=MAX_DURATIONS)


def is_anybody_asking() -> bool:
    """Whether the application has a provider of metrics by now."""
    from opentelemetry.metrics import NoOpMeterProvider, get_meter_provider  # noqa: PLC0415 - not for the package
    from opentelemetry.metrics._internal import _ProxyMeterProvider  # noqa: PLC0415 - the API has no other word for it

    return not isinstance(get_meter_provider(), (NoOpMeterProvider, _ProxyMeterProvider))


def be_asked(source: Telemetry) -> None:
    """Have the instruments, which are made when there is none yet, read *source*, too."""
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - not for the import of the package

    provider = get_meter_provider()
    with _Process.making:
        # In a copy, because a reader may be in the middle of it.
        _Process.sources = (*_sources(), source)
        if _Process.provider is not provider:
            _Process.provider = provider
            _Process.duration = _make(provider.get_meter(METER_NAME, __version__, SCHEMA_URL))


def record_duration(seconds: float, attributes: Mapping[str, str | int]) -> None:
    """A request has been answered, or was given up."""
    if (histogram := _Process.duration) is not None:
        _durations.append(_Taken(os.getpid(), histogram, seconds, attributes))


def _record_durations() -> None:
    with suppress(IndexError):
        while True:
            taken = _durations.popleft()
            if taken.pid == os.getpid():
                with suppress(Exception):
                    taken.histogram.record(taken.seconds, taken.attributes)


def _make(meter: Meter) -> Histogram:
    for asked in _ASKED:
        create = getattr(meter, f"create_{asked.kind}")
        create(asked.name, callbacks=[_callback(asked)], unit=asked.unit, description=asked.description)
    return meter.create_histogram(
        DURATION,
        unit="s",
        description="How long requests to Polar took",
        explicit_bucket_boundaries_advisory=DURATION_BOUNDARIES_S,
    )


def _callback(asked: _Asked) -> Callable[[CallbackOptions], Sequence[Observation]]:
    from opentelemetry.metrics import Observation  # noqa: PLC0415 - not for the import of the package

    def observe(_options: CallbackOptions) -> Sequence[Observation]:
        _record_durations()
        observations: list[Observation] = []
        for source in _sources():
            try:
                observations += [Observation(value, dict(attributes)) for value, attributes in asked.read(source)]
            except Exception:  # noqa: BLE001, S112 - no metric is worth an error in the application
                continue
        return observations

    return observe


def _sources() -> list[Telemetry]:
    """Those of this process, and not of the one it was forked from, that have not ended long ago."""
    pid = os.getpid()
    return [source for source in _Process.sources if source.pid == pid and not source.is_over()]
