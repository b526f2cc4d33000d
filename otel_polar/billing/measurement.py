"""``Measurement``: usage that is no call to a model. Time, bytes, pages, whatever a span can tell.

Either the span itself says which event it is (``otel_polar.metered`` and whatever else sets ``otel_polar.event.name``),
or a :class:`SpanRule` of the user's says it of spans that exist anyway. The event has the numbers that were named, how
long the span took, and where it was: never anything else of the span.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from otel_polar.billing import semconv
from otel_polar.billing.customer import Unattributed
from otel_polar.billing.event import UsageEvent, event_timestamp, is_event_name
from otel_polar.billing.metadata import (
    MAX_INTEGER_BITS,
    MAX_VALUE_CHARACTERS,
    add_tags,
    sanitise_metadata,
    sanitise_text,
)
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.customer import Customer
    from otel_polar.billing.metadata import MetadataValue
    from otel_polar.billing.span import SpanRecord

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpanRule:
    """Spans that are usage of their own.

    ::

        SpanRule(
            event_name="report",
            span_name="render *",
            scope="my_app.reports",
            attributes={"report.kind": "pdf"},
            metadata={"pages": "report.page_count"},
        )

    Args:
        event_name: the name of the events, of 1 to 128 characters.
        span_name: the span's name; ``*`` stands for any text, here and below.
        scope: its instrumentation scope.
        attributes: attributes that it must have, and their values.
        metadata: a key of the event's metadata, and the attribute whose number it is. Where one is missing or is no
            number of at least 0, the event is held as unmetered.
        labels: a key of the metadata, and the attribute whose text it is, where the span has it.
        failed: what becomes of spans with status ERROR: they are held as unmetered, billed, or passed over.

    Raises:
        ConfigError: if a name cannot be used.
    """

    event_name: str
    span_name: str = "*"
    scope: str = "*"
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    failed: Literal["hold", "bill", "skip"] = "hold"

    def __post_init__(self) -> None:
        if not isinstance(self.event_name, str) or not is_event_name(self.event_name):
            raise ConfigError(f"SpanRule: event_name is {self.event_name!r}: it must be text of 1 to 128 characters")
        if self.failed not in {"hold", "bill", "skip"}:
            raise ConfigError(f"SpanRule: failed is {self.failed!r}: it must be 'hold', 'bill' or 'skip'")
        named = {**self.metadata, **self.labels}
        if unusable := [key for key in named if sanitise_metadata({key: 1}).keys() != {key}]:
            raise ConfigError(f"SpanRule: {unusable[0]!r} is no key of metadata: at most 40 characters, without dots")

    def matches(self, span: SpanRecord) -> bool:
        """Whether a span is one of those that are meant."""
        told = span.attributes
        return (
            fnmatchcase(span.name, self.span_name)
            and fnmatchcase(span.scope_name, self.scope)
            and all(name in told and fnmatchcase(str(told[name]), pattern) for name, pattern in self.attributes.items())
        )


class Measurement(NamedTuple):
    """One event's worth of usage. ``why_held`` is what is wrong with its numbers, ``None`` if nothing is.

    Without an end it is an event of the moment it began, and has no duration.
    """

    event_name: str
    values: Mapping[str, TagValue]
    trace_id: str
    span_id: str
    start_time_unix_nano: int
    end_time_unix_nano: int | None
    customer: Customer | Unattributed
    tags: Mapping[str, TagValue] = _NOTHING
    service_name: str | None = None
    why_held: str | None = None
    parent_event_id: str | None = None

    @property
    def external_id(self) -> str:
        """As of a call without an answer's id, and by the event's name: a span may be several events."""
        return measurement_id(self.event_name, self.trace_id, self.span_id, self.start_time_unix_nano)


def measurement_id(event_name: str, trace_id: str, span_id: str, start_time_unix_nano: int) -> str:
    """The key by which Polar knows the event again, the same on every retry and redelivery."""
    name = sha256(event_name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{trace_id}-{span_id}-{start_time_unix_nano:x}-{name}"


def read_measurements(
    span: SpanRecord,
    rules: tuple[SpanRule, ...],
    customer: Customer | Unattributed,
    tags: Mapping[str, TagValue],
) -> list[Measurement]:
    """What a span is by its own word and by the rules; for each event name the first that says so."""
    found: dict[str, Measurement] = {}
    service = span.resource_attributes.get(semconv.SERVICE_NAME)
    for name, values, why_held in (*_own(span), *_by_rules(span, rules)):
        found.setdefault(
            name,
            Measurement(
                event_name=name,
                values=values,
                trace_id=span.trace_id,
                span_id=span.span_id,
                start_time_unix_nano=span.start_time_unix_nano,
                end_time_unix_nano=span.end_time_unix_nano,
                customer=customer,
                tags=tags,
                service_name=service[:MAX_VALUE_CHARACTERS] if isinstance(service, str) else None,
                why_held=why_held,
            ),
        )
    return list(found.values())


@lru_cache(maxsize=1024)
def may_match(rules: tuple[SpanRule, ...], scope_name: str, span_name: str) -> bool:
    """Whether any rule is about spans of this name; asked for every span of the application."""
    return any(fnmatchcase(span_name, rule.span_name) and fnmatchcase(scope_name, rule.scope) for rule in rules)


def build_measured_event(measurement: Measurement, *, now: float, parent_id: str | None = None) -> UsageEvent:
    """The event of a measurement with a customer and no reason to hold it.

    Raises:
        ValueError: if it is held, or has no customer.
    """
    if measurement.why_held is not None:
        raise ValueError(measurement.why_held)
    if isinstance(measurement.customer, Unattributed):
        raise ValueError(measurement.customer.reason)  # noqa: TRY004 - the type is right, it is not billable
    begin, end = measurement.start_time_unix_nano, measurement.end_time_unix_nano
    service = sanitise_text(measurement.service_name or "", MAX_VALUE_CHARACTERS)
    contract: dict[str, MetadataValue] = {
        **sanitise_metadata(measurement.values, max_keys=_MAX_VALUES),
        **_duration(begin, end),
        **({"service_name": service} if service else {}),
        "trace_id": measurement.trace_id,
        "span_id": measurement.span_id,
    }
    return UsageEvent(
        name=measurement.event_name,
        customer=measurement.customer,
        external_id=measurement.external_id,
        timestamp=event_timestamp(begin if end is None else end, now),
        metadata=add_tags(contract, measurement.tags),
        parent_id=parent_id,
    )


def _duration(begin_unix_nano: int, end_unix_nano: int | None) -> dict[str, MetadataValue]:
    if end_unix_nano is None:
        return {}
    nanoseconds = max(0, end_unix_nano - begin_unix_nano)
    # Many short ones would be nothing in milliseconds.
    return {"duration_ms": nanoseconds // 1_000_000, "duration_us": nanoseconds // 1_000}


_MAX_VALUES: Final = 40
_Told: TypeAlias = "tuple[str, dict[str, TagValue], str | None]"


def _own(span: SpanRecord) -> Iterator[_Told]:
    name = span.attributes.get(semconv.EVENT_NAME)
    if name is None:
        return
    limit = span.attribute_length_limit
    if isinstance(name, str) and limit is not None and len(name) >= limit:
        yield "unusable", {}, f"{semconv.EVENT_NAME} may have been cut: raise OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        return
    if not isinstance(name, str) or not is_event_name(name):
        yield "unusable", {}, f"{semconv.EVENT_NAME} is no text of 1 to 128 characters"
        return
    told = {
        key.removeprefix(semconv.EVENT_METADATA_PREFIX): value
        for key, value in span.attributes.items()
        if key.startswith(semconv.EVENT_METADATA_PREFIX)
    }
    told_why = span.attributes.get(semconv.EVENT_WHY_HELD)
    why_held = str(told_why) if told_why else None
    if span.failed:
        why_held = "the metered block failed"
    if span.dropped_attributes:
        why_held = "numbers may have been dropped: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
    values: dict[str, TagValue] = {}
    for key, value in told.items():
        wrong = None if isinstance(value, (str, bool)) else _why_no_number(key, value)
        if wrong is None and isinstance(value, (str, int, float)):
            values[key] = value
        why_held = why_held or wrong
    yield name, values, why_held


def _by_rules(span: SpanRecord, rules: tuple[SpanRule, ...]) -> Iterator[_Told]:
    for rule in rules:
        if not rule.matches(span) or (span.failed and rule.failed == "skip"):
            continue
        values: dict[str, TagValue] = {}
        why_held = "the span failed" if span.failed and rule.failed == "hold" else None
        for key, name in rule.metadata.items():
            value = span.attributes.get(name)
            wrong = _why_no_number(name, value)
            if wrong is None and isinstance(value, (int, float)):
                values[key] = value
            why_held = why_held or wrong
        for key, name in rule.labels.items():
            text = span.attributes.get(name)
            if isinstance(text, str):
                values[key] = text[:MAX_VALUE_CHARACTERS]
        yield rule.event_name, values, why_held


def _why_no_number(name: str, value: object) -> str | None:
    if value is None:
        return f"{name} is missing"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{name} is of type {type(value).__name__}, not a number"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} is not a finite number"
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        return f"{name} is too large"
    return f"{name} is negative" if value < 0 else None
