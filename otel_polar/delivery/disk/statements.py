"""The tables of an outbox, one version after the other, and what is asked of them."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = (
    """CREATE TABLE intake (seq INTEGER PRIMARY KEY, recorded_at REAL NOT NULL, call TEXT NOT NULL);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        external_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        reason TEXT,
        recorded_at REAL NOT NULL,
        due_at REAL NOT NULL,
        call TEXT,
        body TEXT,
        settled_at REAL);
    CREATE INDEX ready ON events (due_at) WHERE state = 'ready';
    CREATE INDEX held ON events (state, seq) WHERE state NOT IN ('ready', 'sent', 'duplicate');
    CREATE INDEX recalled ON events (seq) WHERE state = 'sent' AND call IS NOT NULL""",
    """CREATE TABLE journal (segment TEXT PRIMARY KEY, consumed INTEGER NOT NULL);
    UPDATE events SET settled_at = NULL WHERE state = 'rejected'""",
    """DROP INDEX held;
    DROP INDEX recalled;
    CREATE INDEX held ON events (state, seq) WHERE state NOT IN ('ready', 'sent', 'duplicate', 'discarded');
    CREATE INDEX recalled ON events (seq) WHERE state IN ('sent', 'discarded') AND call IS NOT NULL""",
)

# Below, the conditions are written as in the partial indexes, or SQLite would go through the whole ledger.

CONSUMED: Final = """
    INSERT INTO journal (segment, consumed) VALUES (?, ?)
    ON CONFLICT (segment) DO UPDATE SET consumed = excluded.consumed"""
FORGET_SEGMENT: Final = "DELETE FROM journal WHERE segment = ?"

INSERT_DUPLICATE: Final = """
    INSERT INTO events (external_id, state, reason, recorded_at, due_at) VALUES (?, 'duplicate', ?, ?, ?)
    ON CONFLICT (external_id) DO NOTHING"""
# The call it was held for has become part of another one, under another id.
MAKE_DUPLICATE: Final = """
    UPDATE events SET state = 'duplicate', reason = ?, call = NULL, body = NULL
    WHERE external_id = ? AND state LIKE 'held:%'"""
FORGET_CALLS: Final = """
    UPDATE events SET call = NULL WHERE seq IN (
        SELECT seq FROM (
            SELECT seq, recorded_at FROM events WHERE state IN ('sent', 'discarded') AND call IS NOT NULL
            ORDER BY seq LIMIT ?)
        WHERE recorded_at < ? OR recorded_at > ?)"""

INSERT_INTAKE: Final = "INSERT INTO intake (recorded_at, call) VALUES (?, ?)"

_PUT_EVENT: Final = """
    INSERT INTO events (external_id, state, reason, recorded_at, due_at, call, body, settled_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (external_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
        recorded_at = excluded.recorded_at, due_at = excluded.due_at, call = excluded.call, body = excluded.body,
        settled_at = excluded.settled_at"""
# What is held is decided anew with what another span knows; nothing else changes once it is decided.
DECIDE_EVENT: Final = f"{_PUT_EVENT} WHERE events.state LIKE 'held:%'"


def is_assigned(call: str) -> str:
    """Whether the recorded call in this column says that a person has decided who pays: 1 or 0."""
    return f"(CASE WHEN json_valid({call}) THEN json_extract({call}, '$.is_assigned') IS 1 ELSE 0 END)"


# From another outbox: what is held here and is not there has gone on; so has what is rejected here, where a person has
# had it tried again there, or has discarded it; and what a person has given to somebody there. What Polar has is sent,
# whatever is said here. Two spans may each be another one of the other, once here and once there: the one that can be
# sent is, or the call would have vanished.
INSERT_EVENT: Final = f"""{_PUT_EVENT}
    WHERE (events.state LIKE 'held:%' AND excluded.state NOT LIKE 'held:%')
    OR (events.state LIKE 'held:%' AND {is_assigned("excluded.call")} AND NOT {is_assigned("events.call")})
    OR (events.state = 'rejected' AND (
        excluded.state IN ('sent', 'discarded') OR (excluded.state = 'ready' AND excluded.body IS events.body)))
    OR (events.state IN ('duplicate', 'discarded') AND excluded.state = 'sent')
    OR (events.state = 'duplicate' AND excluded.state = 'ready' AND EXISTS (
        SELECT 1 FROM events AS other WHERE other.external_id = substr(events.reason, length('another span of ') + 1)
        AND (other.state LIKE 'held:%'
            OR (other.state = 'duplicate' AND other.reason = 'another span of ' || events.external_id))))"""  # noqa: S608 - our own names
# Two queries in one, because each by itself is one look into the index.
DUE_FROM_TO: Final = """
    SELECT CAST(min(due_at) AS REAL),
        (SELECT CAST(max(due_at) AS REAL) FROM events WHERE state = 'ready')
    FROM events WHERE state = 'ready'"""
COUNT_HELD: Final = (
    "SELECT state, count(*) FROM events WHERE state NOT IN ('ready', 'sent', 'duplicate', 'discarded') GROUP BY state"
)
COUNT_REASONS: Final = """
    SELECT coalesce(reason, 'no reason'), count(*) FROM events
    WHERE state NOT IN ('ready', 'sent', 'duplicate', 'discarded') AND state = ?
    GROUP BY reason ORDER BY count(*) DESC"""

HELD_FOR_WANT: Final = """
    SELECT seq FROM events WHERE state NOT IN ('ready', 'sent', 'duplicate', 'discarded') AND state IN (?, ?)
    ORDER BY seq LIMIT ?"""
# Of what was discarded only the ledger knows: it is kept as long from the day on which that was decided.
PURGE: Final = """
    DELETE FROM events WHERE seq > ? AND seq <= ? AND state IN ('sent', 'duplicate', 'discarded')
    AND CASE state WHEN 'discarded' THEN max(recorded_at, due_at) ELSE recorded_at END < ?"""
BEGIN_TO_AGE: Final = """
    UPDATE events SET settled_at = ?
    WHERE settled_at IS NULL AND state NOT IN ('ready', 'sent', 'duplicate', 'discarded')
    AND state IN ('rejected', 'held: unattributed', 'held: unmetered')"""
FORGET_UNSENT: Final = """
    DELETE FROM events WHERE settled_at < ? AND state NOT IN ('ready', 'sent', 'duplicate', 'discarded')
    AND state IN ('rejected', 'held: unattributed', 'held: unmetered')"""

# What an order names, and what it makes of it: only in the state in which it was found a moment before.
NAMED: Final = """
    SELECT seq, external_id, state, reason, CAST(recorded_at AS REAL), CAST(due_at AS REAL), call, body
    FROM events WHERE external_id IN (SELECT value FROM json_each(?)) ORDER BY seq"""
CHANGE: Final = """
    UPDATE events SET state = ?, reason = ?, due_at = ?, call = ?, body = ?, settled_at = NULL
    WHERE seq = ? AND external_id = ? AND state = ?"""

# A damaged row must not stop the good ones beside it: whoever reads it finds out what it is.
RECORDED: Final = """
    SELECT seq, coalesce(CAST(recorded_at AS REAL), 0.0), coalesce(CAST(call AS TEXT), '')
    FROM intake WHERE seq > ? ORDER BY seq LIMIT ?"""
RECALLED: Final = "SELECT external_id, state, call, CAST(recorded_at AS REAL) FROM events ORDER BY seq DESC LIMIT ?"
KNOWN: Final = "SELECT external_id, state, call FROM events WHERE external_id IN (SELECT value FROM json_each(?))"
