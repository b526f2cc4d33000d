"""Events page by page: the whole answer is put in order once, then cut.

A listing of many pages asks the same question a thousand times. The order of its answer, a row number for each event,
is kept until something is written; a page then costs what its hundred events cost. Events of one time come in the order
of arrival; Polar promises no order among them.
"""

from __future__ import annotations

import json
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.sandbox.conditions import LISTED_EVENTS, Condition, all_of
from otel_polar.sandbox.records import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_polar.sandbox.database import Database

EVENT_COLUMNS: Final = (
    "id, name, timestamp_us, timestamp_given, ingested_at_us, external_id, parent_reference,"
    " customer_id, member_id, external_customer_id, external_member_id, metadata, source"
)
_KEPT: Final = 8
# Whoever is meant by its own id comes before whoever has that text as external_id.
_PARENT: Final = (
    "coalesce((SELECT parent.id FROM events parent WHERE parent.id = events.parent_reference),"
    " (SELECT parent.id FROM events parent WHERE parent.external_id = events.parent_reference))"
)
_CHILDREN: Final = "SELECT count(*) FROM events child WHERE child.parent_reference IN (events.id, events.external_id)"


class ListedEvent(NamedTuple):
    """An event with what surrounds it."""

    event: Event
    parent_id: str | None
    child_count: int


def build_event(row: Sequence[Any]) -> Event:
    """Build an event from a row of `EVENT_COLUMNS`."""
    *columns, metadata, source = row
    return Event(*[*columns, json.loads(metadata), source])


class EventListing:
    """Answers listings of one database."""

    __slots__ = ("_database", "_orders")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._orders: OrderedDict[tuple[Any, ...], array[int]] = OrderedDict()

    def find(self, condition: Condition, *, newest_first: bool) -> array[int]:
        """Return the row numbers of the listed events that fit, in order of time."""
        wanted = all_of((LISTED_EVENTS, condition))
        revision = self._database.revision
        key = (revision, newest_first, wanted)
        with self._database.written:
            if key in self._orders:
                self._orders.move_to_end(key)
                return self._orders[key]
        direction = "DESC" if newest_first else "ASC"
        rows = self._database.rows(
            f"SELECT sequence FROM events WHERE {wanted.sql} ORDER BY timestamp_us {direction}, sequence",  # noqa: S608 - the values are parameters
            wanted.parameters,
        )
        order = array("q", [row[0] for row in rows])
        with self._database.written:
            for stale in [one for one in self._orders if one[0] != revision]:
                del self._orders[stale]
            self._orders[key] = order
            while len(self._orders) > _KEPT:
                self._orders.popitem(last=False)
        return order

    def read(self, sequences: Iterable[int]) -> list[ListedEvent]:
        """Return the events with these row numbers, in this order."""
        wanted = list(sequences)
        rows = self._database.rows(
            f"SELECT sequence, ({_PARENT}), ({_CHILDREN}), {EVENT_COLUMNS} FROM events"  # noqa: S608 - constants
            f" WHERE sequence IN ({', '.join('?' * len(wanted))})",
            wanted,
        )
        found = {
            sequence: ListedEvent(build_event(row), parent_id, child_count)
            for sequence, parent_id, child_count, *row in rows
        }
        return [found[sequence] for sequence in wanted]

    def get(self, event_id: str) -> ListedEvent | None:
        """Return one event, listed or not."""
        rows = self._database.rows("SELECT sequence FROM events WHERE id = ?", (event_id,))
        return self.read([rows[0][0]])[0] if rows else None
