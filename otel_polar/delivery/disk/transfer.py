"""What one outbox holds, carried over to another: frozen bodies, held calls and the ledger of what was sent.

Doing it twice adds nothing twice, because ``external_id`` is unique in the ledger. A process may die anywhere in it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.delivery.disk.database import writable_text
from otel_polar.delivery.disk.lines import calls_of, damage_in, read_lines
from otel_polar.delivery.disk.outbox import are_rising
from otel_polar.delivery.disk.statements import INSERT_EVENT, INSERT_INTAKE
from otel_polar.errors import OutboxDamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.delivery.disk.database import Row
    from otel_polar.delivery.disk.journal import Journal
    from otel_polar.delivery.disk.lines import Line
    from otel_polar.delivery.disk.outbox import Outbox

PORTION: Final = 500
MAX_PROBES: Final = 1_000
MAX_STRIDE: Final = 2**40
"""No table has so many rows: what cannot be read behind them cannot be read at all."""


class _Table(NamedTuple):
    needed: tuple[int, ...]
    """The columns without which a row is none."""

    query: str
    insert: str
    delete: str


# The ledger first: where a call is in both, what was decided about it counts.
_TABLES: Final = (
    _Table(
        (1, 2, 4, 5),
        "SELECT seq, external_id, state, reason, recorded_at, due_at, call, body, settled_at"
        " FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
        INSERT_EVENT,
        "DELETE FROM events WHERE seq = ?",
    ),
    _Table(
        (1, 2),
        "SELECT seq, recorded_at, call FROM intake WHERE seq > ? ORDER BY seq LIMIT ?",
        INSERT_INTAKE,
        "DELETE FROM intake WHERE seq = ?",
    ),
)


def copy_outbox(source: Outbox, into: Outbox) -> OutboxDamagedError | None:
    """Copy every call that can be read; what is damaged in the source, if anything is.

    What was copied is safe from a power failure when this returns.

    Raises:
        OutboxError: if the source cannot be read at all, or the other not be written.
    """
    damage: OutboxDamagedError | None = None
    for table in _TABLES:
        seq: int | None = 0
        portion = PORTION
        while seq is not None:
            try:
                rows = _read(source, table, seq, portion)
            except OutboxDamagedError as error:
                damage = error
                # Up to the damage row by row, and then on behind it: the pages of a file break one at a time.
                seq = seq if portion > 1 else _behind_damage(source, table, seq)
                portion = 1
                continue
            if not rows:
                break
            whole = [row for row in rows if all(row[column] is not None for column in table.needed)]
            if len(whole) < len(rows):
                # Where a page was lost in part, SQLite still finds rows, without anything in them.
                damage = OutboxDamagedError(f"outbox {source.path}: rows have lost what was in them")
            _insert(into, table, whole)
            # Not all at the end: the log would grow with everything that is copied.
            into.database.checkpoint()
            seq, portion = rows[-1][0], min(PORTION, portion * 2)
    _copy_journal(source, into)
    into.database.synchronise()
    return damage


def _copy_journal(source: Outbox, into: Outbox) -> None:
    """Copy what has not come into the source's own intake; nothing is appended there any more."""
    if source.journal is None or source.taking_in is None:
        return
    source.journal.close()
    for segment in source.journal.segments():
        begin = source.taking_in.unread_from(segment)
        while lines := _read_journal(source.journal, segment, begin):
            with into.database.transaction() as transaction:
                transaction.run_many(INSERT_INTAKE, calls_of(lines))
            begin = lines[-1].end
            if damage := damage_in(lines):
                source.journal.report(segment, damage)


def _read_journal(journal: Journal, segment: Path, begin: int) -> list[Line]:
    try:
        return read_lines(segment, begin)
    except OutboxDamagedError as error:
        journal.put_aside(segment, error)
        return []


def _read(source: Outbox, table: _Table, after_seq: int, limit: int) -> list[Row]:
    try:
        # One more, which tells whether the number of the last one has become another.
        rows = source.database.read(table.query, (after_seq, limit + 1))
    except OutboxDamagedError:
        if limit > 1:
            raise
        rows = source.database.read(table.query, (after_seq, 1))
    if not are_rising([after_seq, *(row[0] for row in rows)]):
        # A page that is there twice, or lost in part, leads SQLite back to rows it has given already.
        raise OutboxDamagedError(f"outbox {source.path}: rows are out of order")
    return rows[:limit]


def _behind_damage(source: Outbox, table: _Table, seq: int) -> int | None:
    """The first row number after *seq* behind which rows can be read again; ``None`` if there is none."""
    stride = 1
    while stride < MAX_STRIDE:
        with suppress(OutboxDamagedError):
            _read(source, table, seq + stride, 1)
            return seq + stride
        # One by one, or what can be read between two damaged pages would be jumped over; but not for ever.
        stride += 1 if stride < MAX_PROBES else stride
    return None


def move_outbox(source: Outbox, into: Outbox) -> int:
    """Copy every call and delete it from the source, portion by portion; how many.

    For a source that is still being written to: what comes meanwhile is moved, too, or stays where it is.

    Raises:
        OutboxError: if one of them cannot be used.
    """
    moved = 0
    for table in _TABLES:
        while rows := source.database.read(table.query, (0, PORTION)):
            _insert(into, table, rows)
            # Not after: whoever has read these rows must not take others, that get their numbers, for them.
            source.arrivals += 1
            with source.database.transaction() as transaction:
                transaction.run_many(table.delete, [(row[0],) for row in rows])
            moved += len(rows)
    return moved


def _insert(into: Outbox, table: _Table, rows: list[Row]) -> None:
    into.arrivals += 1
    with into.database.transaction() as transaction:
        transaction.run_many(
            table.insert,
            [[writable_text(value) if isinstance(value, str) else value for value in row[1:]] for row in rows],
        )
