"""What one outbox holds, carried over to another: frozen bodies, held calls and the ledger of what was sent.

Doing it twice adds nothing twice, because ``external_id`` is unique in the ledger. A process may die anywhere in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.delivery.database import writable_text
from otel_polar.delivery.outbox import INSERT_EVENT, INSERT_INTAKE
from otel_polar.errors import OutboxDamagedError

if TYPE_CHECKING:
    from otel_polar.delivery.database import Row
    from otel_polar.delivery.outbox import Outbox

PORTION: Final = 500
MAX_STRIDE: Final = 2**40
"""No table has so many rows: what cannot be read behind them cannot be read at all."""


class _Table(NamedTuple):
    query: str
    insert: str
    delete: str


# The ledger first: where a call is in both, what was decided about it counts.
_TABLES: Final = (
    _Table(
        "SELECT seq, external_id, state, reason, recorded_at, due_at, call, body, settled_at"
        " FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
        INSERT_EVENT,
        "DELETE FROM events WHERE seq = ?",
    ),
    _Table(
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
                rows = source.database.read(table.query, (seq, portion))
            except OutboxDamagedError as error:
                damage = error
                # Up to the damage row by row, and then on behind it: the pages of a file break one at a time.
                seq = seq if portion > 1 else _behind_damage(source, table, seq)
                portion = 1
                continue
            if not rows:
                break
            _insert(into, table, rows)
            # Not all at the end, when a caller's thread would wait for the disk.
            into.database.checkpoint()
            seq, portion = rows[-1][0], min(PORTION, portion * 2)
    into.database.synchronise()
    return damage


def _behind_damage(source: Outbox, table: _Table, seq: int) -> int | None:
    """The first row number after *seq* behind which rows can be read again; ``None`` if there is none."""

    def is_readable(after: int) -> bool:
        try:
            source.database.read(table.query, (after, 1))
        except OutboxDamagedError:
            return False
        return True

    stride = 1
    while not is_readable(seq + stride):
        stride *= 2
        if stride > MAX_STRIDE:
            return None
    unreadable, readable = seq + stride // 2, seq + stride
    while readable - unreadable > 1:
        middle = (unreadable + readable) // 2
        unreadable, readable = (unreadable, middle) if is_readable(middle) else (middle, readable)
    return readable


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
