"""What was seen in outbox files, each call once, in a temporary file of our own until it has been told.

A look at an outbox file has to be short, and whoever asked may read for hours, or be a pager that nobody closes. And a
call may be seen twice: in a file and in the one that adopts it, or in the journal of one process and the ledger of
another to which it was delivered again. Of two the one that is further on its way counts.

SQLite makes the file when there is more than fits in a few MiB, without a name, readable for nobody else.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from otel_polar.delivery.disk.in_use import opening
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.seen import SeenRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_RANKS: Final = {State.SENT: 0, State.READY: 1, State.RECORDED: 4}
_RANK_OF_SETTLED: Final = 2
_RANK_OF_HELD: Final = 3
_ROWS_AT_ONCE: Final = 500

_TABLE: Final = """
    CREATE TABLE seen (place INTEGER PRIMARY KEY, rank INTEGER, file TEXT, external_id TEXT UNIQUE, state TEXT,
        reason TEXT, recorded_at REAL, settled_at REAL, call TEXT, body TEXT)"""
_PUT: Final = """
    INSERT INTO seen (rank, file, external_id, state, reason, recorded_at, settled_at, call, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (external_id) DO UPDATE SET rank = excluded.rank, file = excluded.file, state = excluded.state,
        reason = excluded.reason, recorded_at = excluded.recorded_at, settled_at = excluded.settled_at,
        call = excluded.call, body = excluded.body
    WHERE excluded.rank < seen.rank"""
_IN_ORDER: Final = """
    SELECT place, file, external_id, state, reason, recorded_at, settled_at, call, body FROM seen
    WHERE place > ? ORDER BY place LIMIT ?"""
_UNSETTLED: Final = "SELECT place, external_id FROM seen WHERE place > ? AND rank > 0 ORDER BY place LIMIT ?"


class Spool:
    """For one look at all files."""

    def __init__(self) -> None:
        # In no transaction, and never to be read again: what SQLite does to survive a crash would be for nothing.
        self._lock = threading.RLock()
        with opening(self._lock):
            self._connection = sqlite3.connect("", isolation_level=None)
            self._connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -16000; {_TABLE}")

    def put(self, rows: Iterable[SeenRow]) -> None:
        """Keep these, unless they are known to be further on their way."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                self._connection.executemany(_PUT, ((_rank(State(row.state)), *row) for row in rows))
            finally:
                self._connection.execute("COMMIT")

    def rows(self) -> Iterator[SeenRow]:
        """All of them, as they were put."""
        place = 0
        while rows := self._fetch(_IN_ORDER, place):
            yield from (SeenRow(*row[1:]) for row in rows)
            place = rows[-1][0]

    def unsettled(self) -> Iterator[list[str]]:
        """The external ids, some hundreds at a time, of what may be further on its way than was seen."""
        place = 0
        while rows := self._fetch(_UNSETTLED, place):
            yield [row[1] for row in rows]
            place = rows[-1][0]

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._connection.close()

    def _fetch(self, query: str, after: int) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, (after, _ROWS_AT_ONCE)).fetchall()


def _rank(state: State) -> int:
    return _RANKS.get(state, _RANK_OF_HELD if state.is_held else _RANK_OF_SETTLED)
