"""Events as Polar lists them. It never tells the ``external_id`` that an event was sent with.

What is listed is a few seconds behind what was ingested, and an event whose parent never came is not listed at all,
though the meters count it.

Sources: polarsource/polar, server/polar/event/{endpoints,schemas,repository}.py. Scopes: ``events:read`` or
``events:write``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_polar.polar_api import fields
from otel_polar.polar_api.listing import PAGE_ITEMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.polar_api.client import PolarApi

PATH: Final = "/v1/events/"
LISTED_LATE_S: Final = 600.0
"""Who asks for events of the last minutes may not get all of them: Polar lists them from another store."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PolarEvent:
    """An event on Polar.

    ``customer_id`` and ``external_customer_id`` are what is known of who pays, by either way of naming it: where Polar
    has that customer, both. ``source`` is ``user``, or ``system`` for Polar's own. ``at_unix_us`` is in microseconds.
    """

    id: str
    name: str
    source: str
    at_unix_us: int
    customer_id: str | None
    external_customer_id: str | None
    parent_id: str | None
    metadata: Mapping[str, Any]

    @property
    def customer(self) -> str | None:
        """Who pays, by your id if there is one."""
        return self.external_customer_id or self.customer_id


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events of a listing, and how many it has in all."""

    events: tuple[PolarEvent, ...]
    total: int
    pages: int


def read_page(api: PolarApi, since_unix_ms: int, until_unix_ms: int, whose: Mapping[str, str], page: int) -> EventPage:
    """A page of the users' events from one time until before another, the oldest first; perhaps with neighbours.

    Args:
        api: Polar.
        since_unix_ms: the first millisecond, since 1970.
        until_unix_ms: the first one that is not asked for.
        whose: ``external_customer_id`` or ``customer_id``; everybody's if empty.
        page: its number, from 1.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    parameters: dict[str, str | int] = {
        **whose,
        "source": "user",
        # Neither end of what Polar is asked for belongs to it, and it compares whole milliseconds.
        "start_timestamp": _iso(since_unix_ms - 1),
        "end_timestamp": _iso(until_unix_ms),
        "sorting": "timestamp",
        "page": page,
        "limit": PAGE_ITEMS,
    }
    answer = api.get(PATH, parameters)
    return EventPage(
        events=tuple(map(read_event, fields.mappings(answer, "items"))),
        total=fields.whole(answer, "pagination.total_count"),
        pages=fields.whole(answer, "pagination.max_page"),
    )


def read_event(item: Mapping[str, Any]) -> PolarEvent:
    """An item of a listing.

    Raises:
        PolarUnreachableError: if it is none of Polar's.
    """
    return PolarEvent(
        id=fields.text(item, "id"),
        name=fields.text(item, "name"),
        source=fields.text(item, "source"),
        at_unix_us=(fields.time_of(item, "timestamp") - _EPOCH) // _MICROSECOND,
        customer_id=fields.text_or_none(item, "customer_id") or fields.text_or_none(item, "customer.id"),
        external_customer_id=fields.text_or_none(item, "external_customer_id")
        or fields.text_or_none(item, "customer.external_id"),
        parent_id=fields.text_or_none(item, "parent_id"),
        metadata=fields.mapping(item, "metadata"),
    )


def _iso(unix_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat(timespec="milliseconds")
