"""How far each stored file has been replayed, written down beside the outbox.

A file is known again by what is in it: its first bytes, and those before the place up to which it was read. So it may
be renamed when it is rotated, grow, be zipped, or come through a pipe. Its name proves nothing: the next file has it.

Reading goes on a little before that place: the span that tells that a call is already billed may have come just before
it, and the ledger only remembers what it sees again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.locks import try_lock
from otel_polar.service.stored.plain import TAIL_BYTES, StoredFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.service.stored.plain import Plain

FILE_NAME: Final = "replay.db"
HEAD_BYTES: Final = 4_096

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS positions (
        id INTEGER PRIMARY KEY,
        filters TEXT NOT NULL,
        head_bytes INTEGER NOT NULL,
        head TEXT NOT NULL,
        read_to INTEGER NOT NULL,
        before TEXT NOT NULL,
        resume_at INTEGER NOT NULL,
        line INTEGER NOT NULL,
        name TEXT NOT NULL,
        read_at REAL NOT NULL);
    CREATE INDEX IF NOT EXISTS heads ON positions (head, head_bytes);
    PRAGMA user_version = 1"""
_COLUMNS: Final = "id, filters, head_bytes, head, read_to, before, resume_at, line, name, read_at"
_SAVE: Final = f"INSERT OR REPLACE INTO positions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own names


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read with the same filters. Bytes count what is in it, unzipped.

    All before ``read_to`` is recorded; ``before`` is a digest of the last ``TAIL_BYTES`` before it. Reading goes on at
    ``resume_at``, where the line with that number begins.
    """

    id: int | None
    filters: str
    head_bytes: int
    head: str
    read_to: int
    before: str
    resume_at: int
    line: int
    name: str
    read_at: float


class Positions:
    """The positions in one outbox directory, while no other replay changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def of(cls, directory: Path) -> Iterator[Positions]:
        """Those of *directory*, which is made if it is not there.

        Raises:
            StoredFileError: if another replay has them, or they cannot be used.
            OSError: if the directory cannot be written.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / FILE_NAME
        lock = try_lock(path)
        if lock is None:
            raise StoredFileError(f"another replay is running with {directory}: wait until it has ended")
        try:
            # Before SQLite makes it, which would let others read it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, mode=0o600))
            connection = sqlite3.connect(path, isolation_level=None, cached_statements=0)
            try:
                connection.executescript(_SCHEMA)
                yield cls(connection)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoredFileError(
                f"{path} cannot be used ({error}). It says how far files have been replayed: without it they are read"
                " again, and each call is still billed once; so it may be deleted"
            ) from error
        finally:
            lock.release()

    def candidates(self, plain: Plain, filters: str) -> list[Position]:
        """Positions of files that begin as this one does, which is at its beginning; the furthest first."""
        lengths = self._connection.execute("SELECT DISTINCT head_bytes FROM positions").fetchall()
        found: list[Position] = []
        for (length,) in lengths:
            head = plain.peek(length)
            if len(head) == length:
                query = f"SELECT {_COLUMNS} FROM positions WHERE head = ? AND head_bytes = ? AND filters = ?"  # noqa: S608 - our own names
                found += [Position(*row) for row in self._connection.execute(query, (_digest(head), length, filters))]
        return sorted(found, key=lambda position: position.read_to, reverse=True)

    def save(self, position: Position) -> Position:
        """Write it down; the same with its number."""
        row = tuple(getattr(position, name) for name in _COLUMNS.split(", "))
        written = self._connection.execute(_SAVE, row).lastrowid
        return Position(written, *row[1:])


def head_of(plain: Plain) -> tuple[int, str]:
    """How a file is known again that is at its beginning: by so many bytes, and their digest."""
    head = plain.peek(HEAD_BYTES)
    return len(head), _digest(head)


def before_of(tail: bytes) -> str:
    """The digest of what is before a place; *tail* is at least that."""
    return _digest(tail[-TAIL_BYTES:])


def goes_on(plain: Plain, position: Position) -> bool | None:
    """Move a file from its beginning to where reading goes on; whether anything is behind what has been read.

    ``None`` if it is another file, which only begins like that one; it has to be opened anew then.
    """
    if not plain.skip_to(position.resume_at):
        return None
    known_bytes = position.read_to - position.resume_at
    ahead = plain.peek(known_bytes + 1)
    if len(ahead) < known_bytes or before_of(plain.tail + ahead[:known_bytes]) != position.before:
        return None
    return len(ahead) > known_bytes


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
