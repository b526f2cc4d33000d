"""From the journal into the database: each call once, whatever is interrupted.

How far a segment has been read is written in the transaction in which its calls come into the intake.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.journal import SEGMENT_BYTES
from otel_polar.delivery.disk.lines import calls_of, count_calls, damage_in, read_lines
from otel_polar.delivery.disk.statements import CONSUMED, FORGET_SEGMENT, INSERT_INTAKE
from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_polar.delivery.disk.database import Database
    from otel_polar.delivery.disk.journal import Journal
    from otel_polar.delivery.disk.lines import Line

REST_S: Final = 60.0
"""A segment to which nothing has been appended for so long need not lie there: its calls are in the database."""

MAX_TAKEN_IN: Final = 4_000
"""Calls moved from the journal at once, about."""


class TakingIn:
    """For one outbox file and its journal."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        # Re-entrant: a signal handler may flush or shut down in the middle of what counts the calls that wait.
        self.lock = threading.RLock()
        """Held while calls are in neither or both of them."""
        self._consumed: dict[str, int] = {}
        # Where it cannot be read, the journal is read again as a whole; the damage shows when this is written.
        with suppress(OutboxDamagedError):
            self._consumed = dict(database.read("SELECT segment, consumed FROM journal"))

    def take_in(self) -> None:
        """Move calls from the journal to the intake, a few thousand at most."""
        with self.lock:
            taken_in = 0
            if self._journal.is_lost():
                self._journal.report_lost()
            for segment in self._journal.segments():
                is_growing = self._journal.is_current(segment)
                while taken_in < MAX_TAKEN_IN and (lines := self._unread(segment, is_growing=is_growing)):
                    self._take_in(segment, lines)
                    taken_in += len(lines)
                if taken_in >= MAX_TAKEN_IN:
                    return
                self._give_up(segment, is_growing=is_growing)

    def consumed(self, segment: Path) -> int:
        """How much of a segment of the journal has come into the intake, in bytes."""
        return self._consumed.get(segment.name, 0)

    def unread_from(self, segment: Path) -> int:
        """Where to read on: from the beginning if it has become shorter, for something may have been appended since.

        What is read twice is known again.
        """
        consumed = self.consumed(segment)
        with suppress(FileNotFoundError):
            size = segment.stat().st_size
            if size < consumed:
                self._journal.report(segment, f"it has {size} bytes, of which {consumed} had been read")
                consumed = self._consumed[segment.name] = 0
        return consumed

    def unread(self) -> int:
        """How many calls are in the journal only; to be asked with the lock."""
        return sum(count_calls(segment, self.consumed(segment)) for segment in self._journal.segments())

    def _unread(self, segment: Path, *, is_growing: bool) -> list[Line]:
        try:
            begin, size = self.unread_from(segment), segment.stat().st_size
        except OSError:
            return []
        if size == begin:
            return []
        try:
            lines = read_lines(segment, begin)
        except OutboxDamagedError as error:
            self._journal.put_aside(segment, error)
            return []
        if lines and lines[-1].is_cut and is_growing:
            # It is being written.
            lines.pop()
        return lines

    def _take_in(self, segment: Path, lines: Sequence[Line]) -> None:
        consumed = lines[-1].end
        with self._database.transaction() as transaction:
            transaction.run_many(INSERT_INTAKE, calls_of(lines))
            transaction.run(CONSUMED, (segment.name, consumed))
        self._consumed[segment.name] = consumed
        if damage := damage_in(lines):
            self._journal.report(segment, damage)

    def _give_up(self, segment: Path, *, is_growing: bool) -> None:
        consumed = self.consumed(segment)
        if is_growing and consumed < SEGMENT_BYTES and not _rests(segment):
            return
        try:
            if not self._journal.give_up(segment, consumed):
                return
        except OutboxError:
            # It stays, and so does the note that it has been read.
            return
        # Not before: without this it would be read again.
        self._consumed.pop(segment.name, None)
        with self._database.transaction() as transaction:
            transaction.run(FORGET_SEGMENT, (segment.name,))


def _rests(segment: Path) -> bool:
    try:
        return time.time() - segment.stat().st_mtime > REST_S
    except OSError:
        return False
