"""One SQLite connection shared by every thread of a process, under one lock.

``cached_statements=0``: a statement cache shared by threads gives wrong rows (cpython#118172). One connection per file:
two that write and checkpoint at the same moment can corrupt it (SQLite's WAL-reset bug, fixed in 3.51.3).

A signal, or a finalizer in a garbage collection, may end a span in the middle of whatever this thread does here. The
lock is therefore re-entrant; a write that finds its own thread in the middle of something is put aside and done when
that is over, because inside another's transaction it could be rolled back with it. And the lock is only ever taken by
a ``with`` on the lock itself, which CPython does not interrupt half way: a handler that raises cannot leave it taken.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_polar.delivery.disk.in_use import opening
from otel_polar.delivery.disk.inherited import make_own, note_open
from otel_polar.delivery.giving_way import give_way
from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Durability: TypeAlias = Literal["NORMAL", "FULL"]
Row: TypeAlias = "tuple[Any, ...]"

WAL_CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
CHANGES_PER_CHECKPOINT: Final = 10_000
"""Rows changed, a few for each event. A page that is changed again and again is copied once."""

MAX_MEMORY_PAGES: Final = 16_384
"""64 MiB of 4 KiB pages for a database in memory: it may not fill the application's."""

BUSY_TIMEOUT_S: Final = 0.25
"""Nobody else writes to our file. Where somebody does hold it, that must not hold up the other files."""

# A damaged row must not make the good ones beside it unreadable.
_read_text: Final = partial(str, encoding="utf-8", errors="surrogateescape")


class Database:
    """A connection in autocommit mode. What SQLite refuses is raised as :class:`OutboxError`, with the file's name."""

    def __init__(self, path: Path | None, *, durability: Durability, schema: Sequence[str]) -> None:
        """Open or create the file at *path* (``None``: in memory) and give a new one its *schema*.

        Args:
            path: the file.
            durability: ``NORMAL`` survives the death of the process, ``FULL`` a power failure too.
            schema: the statements of each version after the other; their number is the version.

        Raises:
            OutboxError: if the file cannot be opened or was written by a newer version.
        """
        self.path = path
        self._pid = os.getpid()
        self.lock = threading.RLock()
        """Held whenever the connection is in use. Whoever forks takes it first."""
        self._is_busy = False
        self._changes_at_checkpoint = 0
        self._log_bytes_at_checkpoint = 0
        self._put_aside: list[tuple[str, Sequence[object]]] = []
        if path is None:
            # Nobody waits here for a file that others open.
            self._open(path, durability, schema)
            return
        with opening(self.lock):
            try:
                make_own(path)
            except OSError as error:
                raise OutboxError(f"outbox {path}: {error.strerror}") from error
            self._open(path, durability, schema)
            # SQLite may have made the file only now.
            note_open(self, self._connection, path)

    def _open(self, path: Path | None, durability: Durability, schema: Sequence[str]) -> None:
        try:
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                isolation_level=None,
                cached_statements=0,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT_S,
            )
            self._connection.text_factory = _read_text
        except sqlite3.Error as error:
            raise self._error(error) from error
        note_open(self, self._connection, path)
        try:
            self._prepare(durability, schema)
        except (sqlite3.Error, OutboxError) as error:
            self._connection.close()
            raise error if isinstance(error, OutboxError) else self._error(error) from error

    def write(self, statement: str, parameters: Sequence[object]) -> None:
        """One statement, one commit. Where it interrupts another use of the connection, it is done right after that."""
        with self.lock:
            if self._is_busy:
                self._put_aside.append((statement, parameters))
                return
            self._is_busy = True
            try:
                self._execute(statement, parameters)
                self._catch_up()
            finally:
                self._is_busy = False

    def read(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        with self.lock:
            if self._is_busy:
                return self._fetch(query, parameters)
            self._is_busy = True
            try:
                rows = self._fetch(query, parameters)
                self._catch_up()
            finally:
                self._is_busy = False
            return rows

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Several statements that happen all or not at all: committed at the end, rolled back if anything is raised."""
        with self.lock:
            self._is_busy = True
            try:
                self._execute("BEGIN IMMEDIATE")
                try:
                    yield Transaction(self._connection)
                    self._execute("COMMIT")
                except BaseException as error:
                    with suppress(sqlite3.Error):
                        self._connection.rollback()
                    if isinstance(error, sqlite3.Error):
                        raise self._error(error) from error
                    raise
                finally:
                    self._catch_up()
            finally:
                self._is_busy = False

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file if it has grown. It may wait for a disk."""
        if self.path is None:
            return
        try:
            log_bytes = self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return
        if log_bytes <= WAL_CHECKPOINT_BYTES:
            return
        # The log keeps its size when it is begun anew, so that alone would ask for a checkpoint after every step.
        changes = self._connection.total_changes
        has_grown = log_bytes > self._log_bytes_at_checkpoint
        if has_grown or changes - self._changes_at_checkpoint >= CHANGES_PER_CHECKPOINT:
            self._log_bytes_at_checkpoint, self._changes_at_checkpoint = log_bytes, changes
            self.read("PRAGMA wal_checkpoint(PASSIVE)")

    def synchronise(self) -> None:
        """Return when everything committed so far would survive a power failure."""
        self.read("PRAGMA wal_checkpoint(FULL)")

    def close(self) -> None:
        """Fold the log into the file and close it."""
        with self.lock:
            try:
                self._connection.close()
            except sqlite3.Error as error:
                raise self._error(error) from error

    def __del__(self) -> None:
        """Close what nobody closed, as after the last calls of a process; but only in the process that opened it."""
        if os.getpid() == self._pid:
            with suppress(Exception):
                self._connection.close()

    def _catch_up(self) -> None:
        while self._put_aside and not self._connection.in_transaction:
            try:
                self._execute(*self._put_aside[0])
            except OutboxError:
                # What a full disk refuses now is tried again after the next use.
                return
            self._put_aside.pop(0)

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        try:
            self._connection.execute(statement, parameters)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _fetch(self, query: str, parameters: Sequence[object]) -> list[Row]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _prepare(self, durability: Durability, schema: Sequence[str]) -> None:
        execute = self._connection.execute
        # Before anything is changed.
        version = int(execute("PRAGMA user_version").fetchone()[0])
        if version > len(schema):
            raise OutboxError(
                f"outbox {self.path} was written by a newer otel-polar (version {version}; this one knows"
                f" {len(schema)}): upgrade, or set another outbox_dir (OTEL_POLAR_OUTBOX_DIR)",
            )
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {durability}")
        # Only when enough has changed: an automatic one would run inside a commit.
        execute("PRAGMA wal_autocheckpoint = 0")
        if self.path is None:
            execute(f"PRAGMA max_page_count = {MAX_MEMORY_PAGES}")
        else:
            # If this process looks at it just now (see ``glance``), it would be for reading only as long as it is open.
            execute("BEGIN IMMEDIATE")
            execute("ROLLBACK")
        for number, statements in enumerate(schema[version:], start=version + 1):
            self._connection.executescript(f"BEGIN; {statements}; PRAGMA user_version = {number}; COMMIT")

    def _error(self, error: sqlite3.Error) -> OutboxError:
        # SQLite's word for a file that is not one of its own, or is malformed, is the base class itself.
        kind = OutboxDamagedError if type(error) is sqlite3.DatabaseError else OutboxError
        return kind(f"outbox {self.path or 'in memory'}: {error}")


ROWS_AT_ONCE: Final = 32
"""Changed before others may run: SQLite holds the interpreter as any other code does."""


class Transaction:
    """Statements between ``BEGIN`` and ``COMMIT``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """One statement; how many rows it changed."""
        return self._connection.execute(statement, parameters).rowcount

    def run_many(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        """One statement for every row of parameters; how many rows were changed in all."""
        changed = 0
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            changed += max(0, self._connection.executemany(statement, rows[begin : begin + ROWS_AT_ONCE]).rowcount)
            give_way()
        return changed


def writable_text(text: str) -> str:
    """Text without lone surrogates, which SQLite refuses: an exception's words or a damaged row may have them."""
    return text.encode(errors="backslashreplace").decode()
