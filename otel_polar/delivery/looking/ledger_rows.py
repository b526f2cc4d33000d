"""The rows of an outbox file's tables, on a connection of :mod:`otel_polar.delivery.disk.glance`.

All that can be read is read: behind a damaged page the search goes on, as it does when the file is adopted.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from otel_polar.delivery.disk.outbox import are_rising
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import MAX_PROBES, MAX_STRIDE
from otel_polar.delivery.looking.seen import SeenRow, id_of_recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_polar.delivery.looking.finding import Wanted

_FETCHED_AT_ONCE: Final = 500
_EVERY: Final = -1
_NOT_IN_INDEX: Final = frozenset({"ready", "sent", "duplicate", "discarded"})
"""States that the index of what a person should look at leaves out, in files of one version or another."""

# As in the partial index of either version, or SQLite would go through the whole ledger.
_IN_INDEX: Final = """
    AND state NOT IN ('ready', 'sent', 'duplicate') AND state NOT IN ('ready', 'sent', 'duplicate', 'discarded')"""

_AS_IT_IS: Final = """
    SELECT seq, CAST(external_id AS TEXT), CAST(state AS TEXT), CAST(reason AS TEXT),
        coalesce(CAST(recorded_at AS REAL), 0.0), CAST(settled_at AS REAL), CAST(call AS TEXT), CAST(body AS TEXT)
    FROM events WHERE seq > ? AND external_id IS NOT NULL AND state IS NOT NULL"""
_IS_ID: Final = " AND external_id IN (SELECT value FROM json_each(?))"
_KNOWN: Final = _AS_IT_IS + _IS_ID
# Of millions that Polar has, only what they cost is asked for; SQLite reads that five times as fast.
_FOR_SUMS: Final = """
    SELECT seq, CAST(external_id AS TEXT), CAST(state AS TEXT), CAST(reason AS TEXT),
        coalesce(CAST(recorded_at AS REAL), 0.0), NULL, CASE WHEN state NOT IN ('sent', 'duplicate') THEN
        CAST(call AS TEXT) END, CASE WHEN state <> 'sent' THEN CAST(body AS TEXT) WHEN typeof(body) = 'text' AND
        json_valid(body) THEN '{"metadata":{"cost_nanos":' || coalesce(json_extract(body, '$.metadata.cost_nanos'),
        'null') || '}}' END
    FROM events WHERE seq > ? AND external_id IS NOT NULL AND state IS NOT NULL"""
_IS_STATE: Final = " AND state IN (SELECT value FROM json_each(?))"
_IS_STATE_OR_DAMAGED: Final = """
    AND (state IN (SELECT value FROM json_each(?)) OR state NOT IN (SELECT value FROM json_each(?)))"""
_INTAKE: Final = """
    SELECT seq, coalesce(CAST(recorded_at AS REAL), 0.0), coalesce(CAST(call AS TEXT), '')
    FROM intake WHERE seq > ? ORDER BY seq LIMIT ?"""
_TABLES: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'journal'"


def is_narrow(wanted: Wanted) -> bool:
    """Whether :func:`ledger_rows` leaves rows out that are not wanted."""
    return bool(wanted.states or wanted.external_ids) or wanted.since is not None or wanted.until is not None


def ledger_rows(
    connection: sqlite3.Connection, file: str, wanted: Wanted, *, for_sums: bool, say: Callable[[str], None]
) -> Iterator[list[SeenRow]]:
    """Rows of the ledger, oldest first, some hundreds at a time: all that are *wanted*, and perhaps others.

    Args:
        connection: in a transaction.
        file: the file's name.
        wanted: what is asked for; customer, model and reason are not looked at.
        for_sums: of what Polar has, only what it cost.
        say: is told what is damaged.
    """
    conditions, parameters = _conditions(wanted)
    query = f"{_FOR_SUMS if for_sums else _AS_IT_IS}{conditions} ORDER BY seq LIMIT ?"
    for rows in _all_rows(connection, query, parameters, say):
        yield [SeenRow(file, *row[1:]) for row in rows]


def known_rows(connection: sqlite3.Connection, file: str, external_ids: Sequence[str]) -> list[SeenRow]:
    """What the ledger has of these."""
    rows = connection.execute(_KNOWN, (_EVERY, json.dumps(external_ids))).fetchall()
    return [SeenRow(file, *row[1:]) for row in rows]


def intake_rows(connection: sqlite3.Connection, file: str, say: Callable[[str], None]) -> Iterator[list[SeenRow]]:
    """What is recorded and not decided, some hundreds at a time."""
    for rows in _all_rows(connection, _INTAKE, (), say):
        yield [recorded_row(file, recorded_at, call) for _, recorded_at, call in rows]


def recorded_row(file: str, recorded_at: float, call: str) -> SeenRow:
    """A call of the intake or the journal."""
    return SeenRow(file, id_of_recorded(call), State.RECORDED.value, None, recorded_at, None, call, None)


def consumed_of(connection: sqlite3.Connection) -> dict[str, int]:
    """How many bytes of each segment of the journal have come into the intake; absent ones are not known."""
    if not connection.execute(_TABLES).fetchone()[0]:
        return {}
    rows = connection.execute("SELECT CAST(segment AS TEXT), CAST(consumed AS INTEGER) FROM journal").fetchall()
    return dict(rows)


def _conditions(wanted: Wanted) -> tuple[str, list[Any]]:
    conditions, parameters = "", list[Any]()
    if wanted.states:
        if not wanted.states & _NOT_IN_INDEX:
            conditions += _IN_INDEX
        parameters.append(json.dumps(sorted(wanted.states)))
        # As unbuildable a damaged word is read, too.
        is_any = State.UNBUILDABLE in wanted.states
        conditions += _IS_STATE_OR_DAMAGED if is_any else _IS_STATE
        parameters += [json.dumps(sorted(State))] if is_any else []
    if wanted.external_ids:
        conditions += _IS_ID
        parameters.append(json.dumps(sorted(wanted.external_ids)))
    if wanted.since is not None:
        conditions += " AND coalesce(CAST(recorded_at AS REAL), 0.0) >= ?"
        parameters.append(wanted.since)
    if wanted.until is not None:
        conditions += " AND coalesce(CAST(recorded_at AS REAL), 0.0) < ?"
        parameters.append(wanted.until)
    return conditions, parameters


def _all_rows(
    connection: sqlite3.Connection, query: str, parameters: Sequence[Any], say: Callable[[str], None]
) -> Iterator[list[Any]]:
    seq, limit, stride = 0, _EVERY, 1
    while stride < MAX_STRIDE:
        is_damaged, count = False, 0
        try:
            cursor = connection.execute(query, (seq, *parameters, limit))
            while rows := cursor.fetchmany(_FETCHED_AT_ONCE):
                if not are_rising([seq, *(row[0] for row in rows)]):
                    # A page that is there twice, or lost in part, leads SQLite back to rows it has given already.
                    raise sqlite3.DatabaseError("rows are out of order")  # noqa: TRY301 - as SQLite says it of others
                yield rows
                seq, stride, count = rows[-1][0], 1, count + len(rows)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            say(str(error))
            is_damaged = True
        if not is_damaged and count != limit:
            return
        if is_damaged and limit == 1:
            # One by one, or what can be read between two damaged pages would be jumped over; but not for ever.
            seq += stride
            stride += 1 if stride < MAX_PROBES else stride
        # Up to the damage row by row, and behind it portion by portion.
        limit = 1 if is_damaged else min(_FETCHED_AT_ONCE, limit * 2)
