"""``credits.db``: what the processes of a machine share about credits, in the outbox directory.

::

    readings       what Polar said last of each customer and meter: one process asks, all of them know
    reservations   promised to calls that are being made; a released one still counts until the outbox has its call
    requests       when Polar was asked in the last minute: the budget is one for the whole machine

Nothing in it is missed after a restart of the machine, so it does not wait for the disk (``synchronous=OFF``); what a
process leaves half done when it dies is undone by SQLite's journal. No write-ahead log: several processes write, and
its index can be reset under one of them (SQLite's WAL-reset bug, fixed in 3.51.3).

A lock is waited for for half a second at most. Whatever cannot be done is an ``OutboxError``, and the caller goes on as
it was told to.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.billing.money import EXACT
from otel_polar.credits.figures import ZERO, Reading
from otel_polar.credits.process import is_gone
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE_NAME: Final = "credits.db"
MAX_LOCK_WAIT_S: Final = 0.5
MAX_READINGS: Final = 10_000
"""Customers remembered; of more, those asked for longest ago are forgotten."""

MINUTE_S: Final = 60.0
CLOCK_STEP_S: Final = 5.0
"""What is from further in the future was written before the clock was set back."""

_VERSION: Final = 1
_SCHEMA: Final = f"""
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS readings (
        customer TEXT NOT NULL, meter TEXT NOT NULL, asked_at REAL NOT NULL, is_known INTEGER NOT NULL, polar_id TEXT,
        credited TEXT NOT NULL, consumed TEXT NOT NULL, counted_at REAL, quantity TEXT, "offset" TEXT,
        PRIMARY KEY (customer, meter)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS reservations (
        id INTEGER PRIMARY KEY AUTOINCREMENT, customer TEXT NOT NULL, meter TEXT NOT NULL, amount TEXT NOT NULL,
        made_at REAL NOT NULL, released_at REAL, process TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS reserved ON reservations (customer, meter);
    CREATE TABLE IF NOT EXISTS requests (at REAL NOT NULL);
    CREATE TABLE IF NOT EXISTS pause (id INTEGER PRIMARY KEY CHECK (id = 1), until REAL NOT NULL);
    PRAGMA user_version = {_VERSION};
    COMMIT"""

_READING: Final = """
    SELECT asked_at, is_known, polar_id, credited, consumed, counted_at, quantity, "offset" FROM readings
    WHERE customer = ? AND meter = ?"""
_KEEP: Final = "INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET: Final = """
    DELETE FROM readings WHERE (customer, meter) IN (
        SELECT customer, meter FROM readings ORDER BY asked_at DESC LIMIT -1 OFFSET ?)"""
_RESERVED: Final = """
    SELECT amount FROM reservations WHERE customer = ? AND meter = ? AND made_at > ?
    AND (released_at IS NULL OR released_at > ?)"""
_REDATE: Final = """
    UPDATE reservations SET made_at = min(made_at, :now), released_at = min(released_at, :now)
    WHERE made_at > :latest OR released_at > :latest"""
_PROCESSES: Final = """
    SELECT DISTINCT process FROM reservations WHERE customer = ? AND meter = ? AND released_at IS NULL"""


class Account(NamedTuple):
    """What is known of a customer and a meter at one moment."""

    reading: Reading | None
    reserved: Decimal


class Store:
    """The file, for all threads of one process. Made anew in a forked child."""

    def __init__(self, directory: Path, *, reservation_s: float) -> None:
        """Open the file when it is first needed; *reservation_s* is how long a reservation counts, in seconds."""
        self.path = directory / FILE_NAME
        self.lock = threading.RLock()
        """Held while the file is used. Whoever forks takes it first."""
        self._reservation_s = reservation_s
        self._connection: sqlite3.Connection | None = None

    def account(self, customer: str, meter: str, *, now: float, seen_until: float) -> Account:
        """What is known, and reserved. Errors as for :meth:`reserve`."""
        with self._transaction("BEGIN") as connection:
            return self._account(connection, customer, meter, now, seen_until)

    def reserve(
        self,
        customer: str,
        meter: str,
        amount: Decimal,
        *,
        is_covered: Callable[[Account], bool],
        process: str,
        now: float,
        seen_until: float,
    ) -> tuple[Account, int | None]:
        """Reserve *amount* if it is covered by what there is then; what there was, and the reservation's number.

        Reservations that were released by *seen_until* (Unix seconds) no longer count: their calls have been seen.

        Raises:
            OutboxError: if the file cannot be used, or others have it for too long.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            account = self._account(connection, customer, meter, now, seen_until)
            if not is_covered(account) and self._drop_dead(connection, customer, meter):
                account = self._account(connection, customer, meter, now, seen_until)
            if not is_covered(account):
                return account, None
            cursor = connection.execute(
                "INSERT INTO reservations (customer, meter, amount, made_at, process) VALUES (?, ?, ?, ?, ?)",
                (customer, meter, str(amount), now, process),
            )
            return account, cursor.lastrowid

    def release(self, number: int, *, actual: Decimal | None, now: float) -> None:
        """The call has been made, and used *actual*, if that is known. Errors as above."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute(
                "UPDATE reservations SET released_at = ?, amount = coalesce(?, amount) WHERE id = ?",
                (now, None if actual is None else str(actual), number),
            )

    def rename(self, meter: str, known_as: str) -> None:
        """What was reserved with *meter* is with *known_as*. Errors as above."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("UPDATE reservations SET meter = ? WHERE meter = ?", (known_as, meter))

    def keep(self, customer: str, meter: str, reading: Reading) -> Reading:
        """Remember what Polar said, with what is known from before; what is known now. Errors as above."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            previous = _reading(connection, customer, meter)
            if previous is not None and reading.asked_at < previous.asked_at < reading.asked_at + CLOCK_STEP_S:
                return previous
            known = reading.following(previous)
            asked_at, is_known, polar_id, credited, consumed, counted_at, quantity, offset = known
            amounts = (str(credited), str(consumed), counted_at, _text(quantity), _text(offset))
            connection.execute(_KEEP, (customer, meter, asked_at, is_known, polar_id, *amounts))
            return known

    def may_ask(self, requests: int, *, per_minute: float, now: float) -> bool:
        """Whether so many requests are within the budget now; if so, they are counted. Errors as above."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("DELETE FROM requests WHERE at <= ? OR at > ?", (now - MINUTE_S, now + CLOCK_STEP_S))
            (made,) = connection.execute("SELECT count(*) FROM requests").fetchone()
            pause = connection.execute("SELECT until FROM pause WHERE until > ?", (now,)).fetchone()
            if pause is not None or made + requests > per_minute:
                return False
            connection.executemany("INSERT INTO requests VALUES (?)", [(now,)] * requests)
            return True

    def pause(self, until: float) -> None:
        """Polar has asked for it: nobody asks before that time (Unix seconds). Errors as above."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("INSERT OR REPLACE INTO pause VALUES (1, ?)", (until,))

    def tidy_up(self, *, now: float, seen_for_s: float) -> None:
        """Forget reservations that count no more, and readings of more customers than are remembered. Errors as above.

        What was released *seen_for_s* seconds ago has been seen by every process.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute(_REDATE, {"now": now, "latest": now + CLOCK_STEP_S})
            connection.execute(
                "DELETE FROM reservations WHERE made_at <= ? OR released_at <= ?",
                (now - self._reservation_s, now - seen_for_s),
            )
            for (process,) in connection.execute("SELECT DISTINCT process FROM reservations").fetchall():
                if is_gone(process):
                    _drop(connection, process)
            connection.execute(_FORGET, (MAX_READINGS,))

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _account(
        self, connection: sqlite3.Connection, customer: str, meter: str, now: float, seen_until: float
    ) -> Account:
        # One of the future counts, too: the clock has been set back since, and its call may still be made.
        bounds = (now - self._reservation_s, seen_until)
        rows = connection.execute(_RESERVED, (customer, meter, *bounds)).fetchall()
        with localcontext(EXACT):
            reserved = sum((Decimal(amount) for (amount,) in rows), ZERO)
        return Account(_reading(connection, customer, meter), reserved)

    @staticmethod
    def _drop_dead(connection: sqlite3.Connection, customer: str, meter: str) -> bool:
        """Drop what processes reserved that have ended since; whether there was any."""
        found = connection.execute(_PROCESSES, (customer, meter)).fetchall()
        gone = [process for (process,) in found if is_gone(process)]
        for process in gone:
            _drop(connection, process)
        return bool(gone)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if not self.lock.acquire(timeout=MAX_LOCK_WAIT_S):
            raise OutboxError(f"{self.path} is in use by other threads for too long")
        try:
            connection = self._open()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError, ArithmeticError, ValueError) as error:
            self._give_up()
            raise OutboxError(f"{self.path} cannot be used: {error}") from error
        finally:
            self.lock.release()

    def _give_up(self) -> None:
        """Open it anew the next time: it may have been removed, or mended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made here, not by SQLite, for its mode; SQLite gives the same one to its journal. One that is there is not
        # opened: to close it would take every lock on it from this process, also from another guard in the middle of a
        # transaction (https://sqlite.org/howtocorrupt.html, 2.2).
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600))
        connection = sqlite3.connect(
            self.path, isolation_level=None, cached_statements=0, check_same_thread=False, timeout=MAX_LOCK_WAIT_S
        )
        try:
            for statement in ("PRAGMA synchronous = OFF", "PRAGMA journal_mode = PERSIST"):
                connection.execute(statement)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < _VERSION:
                connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _reading(connection: sqlite3.Connection, customer: str, meter: str) -> Reading | None:
    row = connection.execute(_READING, (customer, meter)).fetchone()
    if row is None:
        return None
    asked_at, is_known, polar_id, credited, consumed, counted_at, quantity, offset = row
    amounts = (Decimal(credited), Decimal(consumed), counted_at, _decimal(quantity), _decimal(offset))
    return Reading(asked_at, bool(is_known), polar_id, *amounts)


def _drop(connection: sqlite3.Connection, process: str) -> None:
    connection.execute("DELETE FROM reservations WHERE process = ? AND released_at IS NULL", (process,))


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _decimal(text: Any) -> Decimal | None:
    return None if text is None else Decimal(text)
