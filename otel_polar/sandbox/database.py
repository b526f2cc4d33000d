"""One SQLite connection behind one lock: what is kept, in which tables, and how it is read.

An event is *listed* once its chain of parents is complete. That is decided when it arrives, not when somebody looks:
every page of a listing would otherwise walk the whole tree again. An event whose parent never came, that is its own
parent, or that sits in a circle is never reached: Polar lists none of them, yet its meters count them.

Events of the source ``system`` are those that Polar itself writes about customers, subscriptions and credits.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from otel_polar.sandbox import sql_functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
    # Products, benefits, subscriptions: each a JSON object, looked up by id, of which there are few.
    """CREATE TABLE IF NOT EXISTS catalog (
        sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)""",
)
# Columns that came later: a file written by an older sandbox gets them when it is opened.
_LATER_COLUMNS: Final = (
    ("customers", "modified_at_us", "INTEGER"),
    ("meters", "modified_at_us", "INTEGER"),
    ("meters", "archived_at_us", "INTEGER"),
    ("events", "source", "TEXT NOT NULL DEFAULT 'user'"),
    ("events", "is_listed", "INTEGER NOT NULL DEFAULT 0"),
)
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS events_by_parent ON events (parent_reference)",
    "CREATE INDEX IF NOT EXISTS events_by_time ON events (timestamp_us DESC)",
    "CREATE INDEX IF NOT EXISTS events_by_customer ON events (customer_id, timestamp_us)",
    "CREATE INDEX IF NOT EXISTS events_by_external_customer ON events (external_customer_id, timestamp_us)",
    "CREATE INDEX IF NOT EXISTS system_events ON events (customer_id, name) WHERE source = 'system'",
    "CREATE INDEX IF NOT EXISTS unlisted_events ON events (sequence) WHERE is_listed = 0",
)
# Lists the events after :newest whose parent is listed or absent, and whatever hung below them unlisted.
_LIST_NEW: Final = """
    WITH RECURSIVE reached (sequence, id, external_id) AS (
        SELECT sequence, id, external_id FROM events
        WHERE sequence > :newest AND (parent_reference IS NULL
            OR EXISTS (SELECT 1 FROM events parent WHERE parent.id = events.parent_reference AND parent.is_listed)
            OR EXISTS (SELECT 1 FROM events parent
                       WHERE parent.external_id = events.parent_reference AND parent.is_listed))
        UNION
        SELECT child.sequence, child.id, child.external_id FROM reached
        JOIN events child ON child.parent_reference IN (reached.id, reached.external_id))
    UPDATE events SET is_listed = 1 WHERE is_listed = 0 AND sequence IN (SELECT sequence FROM reached)
"""


class Database:
    """The connection of one sandbox, safe to use from any thread.

    Args:
        path: a file that outlives the process, or ``":memory:"``.
    """

    def __init__(self, path: str | Path) -> None:
        self.written = threading.Condition()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        sql_functions.install(self._connection)
        for statement in _TABLES:
            self._connection.execute(statement)
        is_older = False
        for table, column, kind in _LATER_COLUMNS:
            if column not in {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}:
                self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
                is_older = True
        for statement in _INDEXES:
            self._connection.execute(statement)
        if is_older:
            self._connection.execute(_LIST_NEW, {"newest": 0})
        self._revision = 0

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        with self.written:
            self._connection.close()

    @property
    def revision(self) -> int:
        """A number that grows with every write of this process, so that readers know what to recompute."""
        with self.written:
            return self._revision

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; whoever waits for something to arrive is woken after it."""
        with self.written:
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self._connection
            self._revision += 1
            self.written.notify_all()

    def insert_events(self, columns: str, rows: Sequence[Sequence[Any]]) -> int:
        """Store events in one transaction, list what became complete, and return how many were new."""
        places = ", ".join("?" * len(columns.split(",")))
        with self.writing() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()
            connection.executemany(
                f"INSERT INTO events ({columns}) VALUES ({places}) ON CONFLICT (external_id) DO NOTHING",  # noqa: S608 - constants
                rows,
            )
            (inserted,) = connection.execute("SELECT count(*) FROM events WHERE sequence > ?", (newest,)).fetchone()
            connection.execute(_LIST_NEW, {"newest": newest})
        return int(inserted)

    def write(self, statement: str, parameters: Sequence[Any]) -> None:
        """Run one statement in a transaction of its own."""
        with self.writing() as connection:
            connection.execute(statement, parameters)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self.written, closing(self._connection.execute(query, parameters)) as cursor:
            return cursor.fetchall()
