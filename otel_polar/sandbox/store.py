"""Everything the sandbox remembers: events, customers, meters, the catalog, and the balances they make.

Deduplication is a unique column, as in Polar: ``external_id`` is unique in the whole organization and forever, the
first write wins, and null never collides. A batch is one transaction.

Sources: polarsource/polar, server/polar/models/event.py and server/polar/event/repository.py.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Self

from otel_polar.sandbox.balances import Balances
from otel_polar.sandbox.catalog import Catalog
from otel_polar.sandbox.database import Database
from otel_polar.sandbox.event_listing import EVENT_COLUMNS, EventListing, build_event
from otel_polar.sandbox.grants import Grants
from otel_polar.sandbox.records import Customer, Event, Meter, isoformat, to_unix_us
from otel_polar.sandbox.scalars import ServerFaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from otel_polar.sandbox.ingest import ParsedEvent

# A btree row of PostgreSQL holds about 2.7 kB; a longer key breaks the insert, and with it the whole batch.
_INDEX_ROW_BYTES: Final = 2_700

_INSERTED_COLUMNS: Final = f"{EVENT_COLUMNS}, is_listed"
_CUSTOMER_COLUMNS: Final = "id, external_id, email, name, kind, metadata, created_at_us, modified_at_us"
_METER_COLUMNS: Final = (
    "id, name, unit, custom_label, custom_multiplier, filter, aggregation, metadata,"
    " created_at_us, modified_at_us, archived_at_us"
)


class SandboxStore:
    """The memory of a sandbox, safe to use from any thread.

    Args:
        path: a file that outlives the process, or ``":memory:"``.
        now: the clock, in seconds since 1970.
        state_lag_s: how long after its arrival an event stays out of customers' balances.
    """

    def __init__(
        self, path: str | Path = ":memory:", *, now: Callable[[], float] = time.time, state_lag_s: float = 0.0
    ) -> None:
        self.now = now
        self.database = Database(path)
        self.catalog = Catalog(self.database)
        self.grants = Grants(self.catalog, self)
        self.listing = EventListing(self.database)
        self.balances = Balances(self.database, self.now_us, round(state_lag_s * 1_000_000))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self.database.close()

    @property
    def revision(self) -> int:
        """A number that grows with every write of this process, so that readers know what to recompute."""
        return self.database.revision

    def now_us(self) -> int:
        """Return the clock's time in whole microseconds since 1970."""
        return round(self.now() * 1_000_000)

    def insert_events(self, events: Iterable[ParsedEvent]) -> int:
        """Store a batch in one transaction and return how many were new.

        Raises:
            ServerFaultError: if an external_id is too long for PostgreSQL's index; nothing is stored.
        """
        return self.database.insert_events(_INSERTED_COLUMNS, [self._event_row(event) for event in events])

    def _event_row(self, event: ParsedEvent) -> tuple[Any, ...]:
        if event.external_id is not None and len(event.external_id.encode()) >= _INDEX_ROW_BYTES:
            raise ServerFaultError(f"an external_id of {_INDEX_ROW_BYTES} bytes or more does not fit the index")
        return (
            str(uuid.uuid4()),
            event.name,
            to_unix_us(event.timestamp),
            event.timestamp_given,
            self.now_us(),
            event.external_id,
            event.parent_id,
            event.customer_id,
            event.member_id,
            event.external_customer_id,
            event.external_member_id,
            json.dumps(event.metadata),
            "user",
            event.parent_id is None,
        )

    def insert_system_event(self, name: str, customer_id: str, metadata: Mapping[str, Any]) -> None:
        """Store an event that Polar itself writes about a customer."""
        now_us = self.now_us()
        row = (str(uuid.uuid4()), name, now_us, isoformat(now_us), now_us, None, None, customer_id, None, None, None)
        self.database.insert_events(_INSERTED_COLUMNS, [(*row, json.dumps(metadata), "system", True)])

    def events(self) -> list[Event]:
        """Return every ingested event in the order of arrival, also those that Polar would not list."""
        rows = self.database.rows(f"SELECT {EVENT_COLUMNS} FROM events WHERE source = 'user' ORDER BY sequence")  # noqa: S608 - constants
        return [build_event(row) for row in rows]

    def count_events(self) -> int:
        """Return how many events were ingested."""
        count = "SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM events WHERE source = 'system')"
        return int(self.database.rows(count)[0][0])

    def wait_for_events(self, count: int, *, timeout_s: float) -> bool:
        """Block until at least *count* events have arrived; return False when *timeout_s* runs out first."""
        with self.database.written:
            return self.database.written.wait_for(lambda: self.count_events() >= count, timeout_s)

    def insert_customer(
        self,
        *,
        external_id: str | None = None,
        email: str | None = None,
        name: str | None = None,
        kind: str = "individual",
        metadata: dict[str, Any] | None = None,
    ) -> Customer:
        """Create a customer.

        Raises:
            sqlite3.IntegrityError: if the email or the external_id is taken.
        """
        customer = Customer(str(uuid.uuid4()), external_id, email, name, kind, metadata or {}, self.now_us())
        self._put("customers", _CUSTOMER_COLUMNS, _customer_row(customer))
        return customer

    def update_customer(self, customer: Customer) -> None:
        """Keep what was changed about a customer.

        Raises:
            sqlite3.IntegrityError: if the email or the external_id is taken.
        """
        self._change("customers", _CUSTOMER_COLUMNS, _customer_row(customer))

    def customers(self) -> list[Customer]:
        """Return every customer in the order of creation."""
        return self.find_customers("1 ORDER BY rowid")

    def find_customers(self, condition: str, *parameters: Any) -> list[Customer]:
        """Return the customers for which a piece of SQL is true."""
        rows = self.database.rows(f"SELECT {_CUSTOMER_COLUMNS} FROM customers WHERE {condition}", parameters)  # noqa: S608 - our own SQL
        return [_customer(row) for row in rows]

    def customer_ids(self) -> frozenset[str]:
        """Return the ids of all customers."""
        return frozenset(row[0] for row in self.database.rows("SELECT id FROM customers"))

    def insert_member(self, customer_id: str) -> str:
        """Add a member to a customer and return its id, which an event's ``member_id`` may then name."""
        member_id = str(uuid.uuid4())
        self.database.write("INSERT INTO members (id, customer_id) VALUES (?, ?)", (member_id, customer_id))
        return member_id

    def member_ids(self) -> frozenset[str]:
        """Return the ids of all members of all customers."""
        return frozenset(row[0] for row in self.database.rows("SELECT id FROM members"))

    def insert_meter(self, fields: dict[str, Any]) -> Meter:
        """Create a meter from validated *fields*; events that arrived before count too, as in Polar."""
        meter = Meter(id=str(uuid.uuid4()), created_at_us=self.now_us(), **fields)
        self._put("meters", _METER_COLUMNS, _meter_row(meter))
        return meter

    def update_meter(self, meter: Meter) -> None:
        """Keep what was changed about a meter."""
        self._change("meters", _METER_COLUMNS, _meter_row(meter))

    def meters(self) -> list[Meter]:
        """Return every meter in the order of creation."""
        rows = self.database.rows(f"SELECT {_METER_COLUMNS} FROM meters ORDER BY rowid")  # noqa: S608 - constants
        return [_meter(row) for row in rows]

    def find_meter(self, meter_id: str) -> Meter | None:
        """Return the meter with this id."""
        return next((meter for meter in self.meters() if meter.id == meter_id), None)

    def _put(self, table: str, columns: str, row: tuple[Any, ...]) -> None:
        self.database.write(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - constants

    def _change(self, table: str, columns: str, row: tuple[Any, ...]) -> None:
        changes = ", ".join(f"{column.strip()} = ?" for column in columns.split(","))
        self.database.write(f"UPDATE {table} SET {changes} WHERE id = ?", (*row, row[0]))  # noqa: S608 - constants


def _customer_row(customer: Customer) -> tuple[Any, ...]:
    return (
        customer.id,
        customer.external_id,
        customer.email,
        customer.name,
        customer.kind,
        json.dumps(customer.metadata),
        customer.created_at_us,
        customer.modified_at_us,
    )


def _customer(row: tuple[Any, ...]) -> Customer:
    *columns, metadata, created_at_us, modified_at_us = row
    return Customer(*[*columns, json.loads(metadata), created_at_us, modified_at_us])


def _meter_row(meter: Meter) -> tuple[Any, ...]:
    return (
        meter.id,
        meter.name,
        meter.unit,
        meter.custom_label,
        meter.custom_multiplier,
        json.dumps(meter.filter),
        json.dumps(meter.aggregation),
        json.dumps(meter.metadata),
        meter.created_at_us,
        meter.modified_at_us,
        meter.archived_at_us,
    )


def _meter(row: tuple[Any, ...]) -> Meter:
    parsed = [json.loads(column) for column in row[5:8]]
    return Meter(*row[:5], *parsed, *row[8:])
