"""Everything the sandbox remembers, in one SQLite database: events, customers, meters.

Deduplication is a unique column, as in Polar: ``external_id`` is unique in the whole organization and forever, the
first write wins, and null never collides. A batch is one transaction.

Sources: polarsource/polar, server/polar/models/event.py and server/polar/event/repository.py.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, Self

from otel_polar.sandbox.records import Customer, Event, Meter, to_unix_us
from otel_polar.sandbox.scalars import ServerFaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    from otel_polar.sandbox.ingest import ParsedEvent

# A btree row of PostgreSQL holds about 2.7 kB; a longer key breaks the insert, and with it the whole batch.
_INDEX_ROW_BYTES: Final = 2_700

_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS customers (
        id TEXT PRIMARY KEY, external_id TEXT UNIQUE, email TEXT UNIQUE, name TEXT, kind TEXT NOT NULL,
        metadata TEXT NOT NULL, created_at_us INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS members (id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers)",
    """CREATE TABLE IF NOT EXISTS meters (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, unit TEXT NOT NULL, custom_label TEXT, custom_multiplier INTEGER,
        filter TEXT NOT NULL, aggregation TEXT NOT NULL, metadata TEXT NOT NULL, created_at_us INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS events (
        sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, timestamp_us INTEGER NOT NULL,
        timestamp_given TEXT NOT NULL, ingested_at_us INTEGER NOT NULL, external_id TEXT UNIQUE, parent_reference TEXT,
        customer_id TEXT, member_id TEXT, external_customer_id TEXT, external_member_id TEXT,
        metadata TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS events_by_parent ON events (parent_reference)",
)
_CUSTOMER_COLUMNS: Final = "id, external_id, email, name, kind, metadata, created_at_us"
_METER_COLUMNS: Final = "id, name, unit, custom_label, custom_multiplier, filter, aggregation, metadata, created_at_us"
_EVENT_COLUMNS: Final = (
    "id, name, timestamp_us, timestamp_given, ingested_at_us, external_id, parent_reference,"
    " customer_id, member_id, external_customer_id, external_member_id, metadata"
)
# Walks down from the events without a parent. An event whose parent never came, that is its own parent, or that sits in
# a circle is never reached: Polar lists none of them, yet its meters count them.
_LISTED: Final = f"""
    WITH RECURSIVE listed (sequence, id, external_id) AS (
        SELECT sequence, id, external_id FROM events WHERE parent_reference IS NULL
        UNION
        SELECT child.sequence, child.id, child.external_id FROM listed
        JOIN events child ON child.parent_reference IN (listed.id, listed.external_id))
    SELECT {_EVENT_COLUMNS} FROM events WHERE sequence IN (SELECT sequence FROM listed) ORDER BY sequence
"""  # noqa: S608 - constants


class SandboxStore:
    """The memory of a sandbox: one connection, one lock, safe to use from any thread.

    Args:
        path: a file that outlives the process, or ``":memory:"``.
        now: the clock, in seconds since 1970.
    """

    def __init__(self, path: str | Path = ":memory:", *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._arrived = threading.Condition()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for statement in _TABLES:
            self._connection.execute(statement)
        self._revision = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        with self._arrived:
            self._connection.close()

    @property
    def revision(self) -> int:
        """A number that grows with every write of this process, so that readers know what to recompute."""
        with self._arrived:
            return self._revision

    def insert_events(self, events: Iterable[ParsedEvent]) -> int:
        """Store a batch in one transaction and return how many were new.

        Raises:
            ServerFaultError: if an external_id is too long for PostgreSQL's index; nothing is stored.
        """
        rows = [self._event_row(event) for event in events]
        with self._arrived:
            before = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                self._connection.executemany(
                    f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES ({', '.join('?' * 12)})"  # noqa: S608 - constants
                    " ON CONFLICT (external_id) DO NOTHING",
                    rows,
                )
            inserted = self._connection.total_changes - before
            self._revision += 1
            self._arrived.notify_all()
        return inserted

    def _event_row(self, event: ParsedEvent) -> tuple[Any, ...]:
        if event.external_id is not None and len(event.external_id.encode()) >= _INDEX_ROW_BYTES:
            raise ServerFaultError(f"an external_id of {_INDEX_ROW_BYTES} bytes or more does not fit the index")
        return (
            str(uuid.uuid4()),
            event.name,
            to_unix_us(event.timestamp),
            event.timestamp_given,
            self._now_us(),
            event.external_id,
            event.parent_id,
            event.customer_id,
            event.member_id,
            event.external_customer_id,
            event.external_member_id,
            json.dumps(event.metadata),
        )

    def events(self) -> list[Event]:
        """Return every event in the order of arrival, also those that Polar would not list."""
        return [_event(row) for row in self._rows(f"SELECT {_EVENT_COLUMNS} FROM events ORDER BY sequence")]  # noqa: S608 - constants

    def listed_events(self) -> list[Event]:
        """Return the events whose chain of parents is complete, in the order of arrival."""
        return [_event(row) for row in self._rows(_LISTED)]

    def count_events(self) -> int:
        """Return how many events arrived."""
        return int(self._rows("SELECT count(*) FROM events")[0][0])

    def wait_for_events(self, count: int, *, timeout_s: float) -> bool:
        """Block until at least *count* events have arrived; return False when *timeout_s* runs out first."""
        with self._arrived:
            return self._arrived.wait_for(lambda: self.count_events() >= count, timeout_s)

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
        customer = Customer(str(uuid.uuid4()), external_id, email, name, kind, metadata or {}, self._now_us())
        self._write(
            f"INSERT INTO customers ({_CUSTOMER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (
                customer.id,
                external_id,
                email,
                name,
                kind,
                json.dumps(customer.metadata),
                customer.created_at_us,
            ),
        )
        return customer

    def customers(self) -> list[Customer]:
        """Return every customer in the order of creation."""
        rows = self._rows(f"SELECT {_CUSTOMER_COLUMNS} FROM customers ORDER BY rowid")  # noqa: S608 - constants
        return [_customer(row) for row in rows]

    def insert_member(self, customer_id: str) -> str:
        """Add a member to a customer and return its id, which an event's ``member_id`` may then name."""
        member_id = str(uuid.uuid4())
        self._write("INSERT INTO members (id, customer_id) VALUES (?, ?)", (member_id, customer_id))
        return member_id

    def member_ids(self) -> frozenset[str]:
        """Return the ids of all members of all customers."""
        return frozenset(row[0] for row in self._rows("SELECT id FROM members"))

    def insert_meter(self, fields: dict[str, Any]) -> Meter:
        """Create a meter from validated *fields*; events that arrived before count too, as in Polar."""
        meter = Meter(id=str(uuid.uuid4()), created_at_us=self._now_us(), **fields)
        self._write(
            f"INSERT INTO meters ({_METER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (
                meter.id,
                meter.name,
                meter.unit,
                meter.custom_label,
                meter.custom_multiplier,
                json.dumps(meter.filter),
                json.dumps(meter.aggregation),
                json.dumps(meter.metadata),
                meter.created_at_us,
            ),
        )
        return meter

    def meters(self) -> list[Meter]:
        """Return every meter in the order of creation."""
        rows = self._rows(f"SELECT {_METER_COLUMNS} FROM meters ORDER BY rowid")  # noqa: S608 - constants
        return [_meter(row) for row in rows]

    def _now_us(self) -> int:
        return round(self.now() * 1_000_000)

    def _write(self, statement: str, parameters: tuple[Any, ...]) -> None:
        with self._arrived:
            self._connection.execute(statement, parameters)
            self._revision += 1

    def _rows(self, query: str) -> list[Any]:
        with self._arrived, closing(self._connection.execute(query)) as cursor:
            return cursor.fetchall()


def _event(row: tuple[Any, ...]) -> Event:
    *columns, metadata = row
    return Event(*[*columns, json.loads(metadata)])


def _customer(row: tuple[Any, ...]) -> Customer:
    *columns, metadata, created_at_us = row
    return Customer(*[*columns, json.loads(metadata), created_at_us])


def _meter(row: tuple[Any, ...]) -> Meter:
    *columns, event_filter, aggregation, metadata, created_at_us = row
    parsed = [json.loads(column) for column in (event_filter, aggregation, metadata)]
    return Meter(*[*columns, *parsed, created_at_us])
