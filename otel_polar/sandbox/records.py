"""What the sandbox keeps: events, customers and meters, as they come out of the store.

Times are whole microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_unix_us(moment: datetime) -> int:
    """Whole microseconds since 1970, without a detour over floats."""
    return (moment - _EPOCH) // _MICROSECOND


def from_unix_us(unix_us: int) -> datetime:
    """Return the aware time of whole microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=unix_us)


def isoformat(unix_us: int) -> str:
    """Return a time as Polar's API writes it."""
    return from_unix_us(unix_us).isoformat().replace("+00:00", "Z")


def isoformat_or_none(unix_us: int | None) -> str | None:
    """Return a time as Polar's API writes it, or None where it has not come."""
    return None if unix_us is None else isoformat(unix_us)


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer of the sandbox's one organization."""

    id: str
    external_id: str | None
    email: str | None
    name: str | None
    kind: str
    metadata: dict[str, Any]
    created_at_us: int
    modified_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event; ``parent_reference`` is an event's id or external_id, maybe of an event that never came."""

    id: str
    name: str
    timestamp_us: int
    timestamp_given: str
    ingested_at_us: int
    external_id: str | None
    parent_reference: str | None
    customer_id: str | None
    member_id: str | None
    external_customer_id: str | None
    external_member_id: str | None
    metadata: dict[str, Any]
    source: str = "user"


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter: which events count, and how."""

    id: str
    name: str
    unit: str
    custom_label: str | None
    custom_multiplier: int | None
    filter: dict[str, Any]
    aggregation: dict[str, Any]
    metadata: dict[str, Any]
    created_at_us: int
    modified_at_us: int | None = None
    archived_at_us: int | None = None
