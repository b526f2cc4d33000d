"""One SQLite connection shared by every thread of a process, under one lock.

``cached_statements=0``: a statement cache shared by threads gives wrong rows (cpython#118172). One connection per file:
two that write and checkpoint at the same moment can corrupt it (SQLite's WAL-reset bug, fixed in 3.51.3).

The lock knows its owner. A garbage collection or a signal may run a finalizer that ends a span while this very thread
holds the lock; waiting for it would be waiting for oneself for ever, so such a write is put aside and done when the
lock is given back.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

Durability: TypeAlias = Literal["NORMAL", "FULL"]
Row: TypeAlias = "tuple[Any, ...]"

WAL_CHECKPOINT_BYTES: Final = 4 * 1024 * 1024
MAX_MEMORY_PAGES: Final = 16_384
"""64 MiB of 4 KiB pages for a database in memory: it may not fill the application's."""


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
        self._lock = threading.Lock()
        self._owner = 0
        self._put_aside: list[tuple[str, Sequence[object]]] = []
        try:
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                isolation_level=None,
                cached_statements=0,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            self._prepare(durability, schema)
        except (sqlite3.Error, OutboxError) as error:
            self._connection.close()
            raise error if isinstance(error, OutboxError) else self._error(error) from error

    def write(self, statement: str, parameters: Sequence[object]) -> None:
        """One statement, one commit. Called from within itself, it is done as soon as the lock is free."""
        if self._owner == threading.get_ident():
            self._put_aside.append((statement, parameters))
            return
        with self:
            self._execute(statement, parameters)

    def read(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query."""
        with self:
            return self._execute(query, parameters).fetchall()

    def transaction(self) -> Transaction:
        """Several statements that happen all or not at all."""
        return Transaction(self)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file if it has grown. It may wait for a disk: not for a caller's thread."""
        if self.path is None:
            return
        try:
            log_bytes = self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return
        if log_bytes > WAL_CHECKPOINT_BYTES:
            self.read("PRAGMA wal_checkpoint(PASSIVE)")

    def synchronise(self) -> None:
        """Return when everything committed so far would survive a power failure."""
        self.read("PRAGMA wal_checkpoint(FULL)")

    def close(self) -> None:
        """Fold the log into the file and close it."""
        with self:
            self._connection.close()

    def __enter__(self) -> None:
        """Take the lock."""
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do what was put aside meanwhile, and give the lock back."""
        try:
            while self._put_aside and not self._connection.in_transaction:
                # Forgotten only when it is written: what a full disk refuses now is tried again after the next use.
                self._execute(*self._put_aside[0])
                self._put_aside.pop(0)
        finally:
            self._owner = 0
            self._lock.release()

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, parameters)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _prepare(self, durability: Durability, schema: Sequence[str]) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA synchronous = {durability}")
        # Checkpoints only from the delivery thread: an automatic one would run inside a caller's commit.
        execute("PRAGMA wal_autocheckpoint = 0")
        if self.path is None:
            execute(f"PRAGMA max_page_count = {MAX_MEMORY_PAGES}")
        version = int(execute("PRAGMA user_version").fetchone()[0])
        if version > len(schema):
            raise OutboxError(
                f"outbox {self.path} was written by a newer otel-polar (version {version}; this one knows"
                f" {len(schema)}): upgrade, or set another outbox_dir (OTEL_POLAR_OUTBOX_DIR)",
            )
        for number, statements in enumerate(schema[version:], start=version + 1):
            self._connection.executescript(f"BEGIN; {statements}; PRAGMA user_version = {number}; COMMIT")

    def _error(self, error: sqlite3.Error) -> OutboxError:
        # SQLite's word for a file that is not one of its own, or is malformed, is the base class itself.
        kind = OutboxDamagedError if type(error) is sqlite3.DatabaseError else OutboxError
        return kind(f"outbox {self.path or 'in memory'}: {error}")


class Transaction:
    """Statements between ``BEGIN`` and ``COMMIT``, under the database's lock; rolled back if anything is raised."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database._connection  # noqa: SLF001 - the two are one unit

    def run(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """One statement; how many rows it changed."""
        return self._connection.execute(statement, parameters).rowcount

    def run_many(self, statement: str, rows: Sequence[Sequence[object]]) -> int:
        """One statement for every row of parameters; how many rows were changed in all."""
        return self._connection.executemany(statement, rows).rowcount

    def __enter__(self) -> Self:
        """Take the lock and begin."""
        database = self._database
        database.__enter__()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            database.__exit__(None, None, None)
            raise database._error(error) from error  # noqa: SLF001 - the two are one unit
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or roll back, and give the lock back."""
        database = self._database
        try:
            self._connection.execute("ROLLBACK" if error is not None else "COMMIT")
        except sqlite3.Error as failure:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise database._error(failure) from failure  # noqa: SLF001 - the two are one unit
        finally:
            database.__exit__(None, None, None)
        if isinstance(error, sqlite3.Error):
            raise database._error(error) from error  # noqa: SLF001 - the two are one unit
