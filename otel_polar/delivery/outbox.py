"""A durable queue and ledger of usage events: one SQLite file, two tables.

A finished call is appended to ``intake``, a table without any index, because that happens on the caller's thread: one
commit, and the call survives the death of the process. Everything else happens later, on the delivery thread::

    intake ──price, build──▶ events: ready ──Polar──▶ sent
                                       └─────Polar──▶ rejected
                             events: held: unpriced | unattributed | unmetered | unbuildable
                             events: duplicate

``events`` is the ledger. ``external_id`` is unique in it, so a call that was recorded twice is one event. The body of
an event is written there before its first attempt, so no retry, restart or new price list can change an amount that
Polar may already have. Another span of a call in it is there too, as a duplicate, so that it is known again when it is
delivered a second time by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.database import Database, Durability, writable_text
from otel_polar.delivery.rows import Decided, Duplicate, Entry, Known, LedgerRow, Purged, Recorded, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SCHEMA: Final = (
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
)

_INSERT_DUPLICATE: Final = """
    INSERT INTO events (external_id, state, reason, recorded_at, due_at) VALUES (?, 'duplicate', ?, ?, ?)
    ON CONFLICT (external_id) DO NOTHING"""
# The call it was held for has become part of another one, under another id.
_MAKE_DUPLICATE: Final = """
    UPDATE events SET state = 'duplicate', reason = ?, call = NULL, body = NULL
    WHERE external_id = ? AND state LIKE 'held:%'"""
_FORGET_CALLS: Final = """
    UPDATE events SET call = NULL WHERE seq IN (
        SELECT seq FROM events WHERE state = 'sent' AND call IS NOT NULL AND recorded_at < ? ORDER BY seq LIMIT ?)"""

INSERT_INTAKE: Final = "INSERT INTO intake (recorded_at, call) VALUES (?, ?)"

# What is held is decided anew with what another span knows; nothing else changes once it is decided.
_DECIDE_EVENT: Final = """
    INSERT INTO events (external_id, state, reason, recorded_at, due_at, call, body, settled_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (external_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
        recorded_at = excluded.recorded_at, due_at = excluded.due_at, call = excluded.call, body = excluded.body,
        settled_at = excluded.settled_at
    WHERE events.state LIKE 'held:%'"""
# From another outbox: what is held here and is not there has gone on.
INSERT_EVENT: Final = f"{_DECIDE_EVENT} AND excluded.state NOT LIKE 'held:%'"
# Two queries in one, because each by itself is one look into the index.
_DUE_FROM_TO: Final = """
    SELECT CAST(min(due_at) AS REAL),
        (SELECT CAST(max(due_at) AS REAL) FROM events WHERE state = 'ready')
    FROM events WHERE state = 'ready'"""
# The condition is written as in the partial index, or SQLite would go through the whole ledger.
_COUNT_HELD: Final = (
    "SELECT state, count(*) FROM events WHERE state NOT IN ('ready', 'sent', 'duplicate') GROUP BY state"
)
_TRIED_AGAIN: Final = """
    SELECT seq FROM events WHERE state NOT IN ('ready', 'sent', 'duplicate') AND state IN (?, ?) ORDER BY seq LIMIT ?"""
_FORGOTTEN_UNSENT: Final = "('rejected', 'held: unattributed', 'held: unmetered')"

_RECALLED: Final = "SELECT external_id, state, call, CAST(recorded_at AS REAL) FROM events ORDER BY seq DESC LIMIT ?"
_KNOWN: Final = "SELECT external_id, state, call FROM events WHERE external_id IN (SELECT value FROM json_each(?))"

TRIED_AGAIN: Final = (State.UNPRICED, State.UNBUILDABLE)
"""Held for what may have been mended meanwhile."""

MAX_WAIT_S: Final = 3_600.0
"""No event is ever postponed further: one that is due later was written before the clock was set back."""


class Outbox:
    """One open file, or one in memory. Any method raises :class:`~otel_polar.errors.OutboxError` if SQLite fails."""

    def __init__(self, path: Path | None, *, durability: Durability = "NORMAL") -> None:
        """Open or create the file at *path*; ``None`` keeps everything in memory."""
        self.path = path
        self.arrivals = 0
        """How often rows were carried over from another outbox; whoever remembers what is in this one looks again."""
        self.database = Database(path, durability=durability, schema=_SCHEMA)

    def record(self, call: str, now: float) -> None:
        """Append a call. When this returns, killing the process does not lose it."""
        self.database.write(INSERT_INTAKE, (now, call))

    def recorded(self, *, limit: int, after_seq: int = 0) -> list[Recorded]:
        """The oldest calls that are not decided yet."""
        query = "SELECT seq, CAST(recorded_at AS REAL), call FROM intake WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Recorded(*row) for row in self.database.read(query, (after_seq, limit))]

    def recalled(self, *, since: float, limit: int) -> list[Known]:
        """What was decided last, recorded *since* that time (Unix seconds), as far as the call is still kept."""
        rows = reversed(self.database.read(_RECALLED, (limit,)))
        return [Known(key, state, call) for key, state, call, at in rows if call is not None and at >= since]

    def known(self, external_ids: Sequence[str]) -> list[Known]:
        """What is in the ledger of these."""
        return [Known(*row) for row in self.database.read(_KNOWN, (json.dumps(external_ids),))]

    def forget_calls(self, *, before: float, limit: int) -> int:
        """Forget the recorded call of sent events recorded *before* that time (Unix seconds); of how many."""
        with self.database.transaction() as transaction:
            return transaction.run(_FORGET_CALLS, (before, limit))

    def decide(
        self,
        decided: Sequence[Decided],
        duplicates: Sequence[Duplicate] = (),
        *,
        dropped: Sequence[int] = (),
        now: float,
    ) -> int:
        """Move calls from the intake to the ledger, in one transaction; how many were known already.

        What is *dropped* (by its place in the intake) is forgotten.
        """
        rows = [
            (
                d.external_id,
                d.state.value,
                None if d.reason is None else writable_text(d.reason),
                d.recorded.recorded_at,
                now,
                writable_text(d.recorded.call),
                d.body,
                None,
            )
            for d in decided
        ]
        others = [(d.external_id, f"another span of {d.of}", d.recorded_at, now) for d in duplicates]
        earlier = [(f"another span of {d.of}", d.external_id) for d in duplicates if d.seq is None]
        seqs = [(d.recorded.seq,) for d in decided] + [(d.seq,) for d in duplicates if d.seq is not None]
        seqs += [(seq,) for seq in dropped]
        with self.database.transaction() as transaction:
            changed = transaction.run_many(_DECIDE_EVENT, rows)
            transaction.run_many(_MAKE_DUPLICATE, earlier)
            transaction.run_many(_INSERT_DUPLICATE, others)
            transaction.run_many("DELETE FROM intake WHERE seq = ?", seqs)
        return len(decided) - changed

    def due(self, now: float, *, limit: int, max_bytes: int) -> list[Entry]:
        """Events that may be sent now, oldest first: at most *limit*, and *max_bytes* of bodies (but at least one)."""
        rows = self.database.read(
            "SELECT seq, CAST(due_at AS REAL), body FROM events WHERE state = 'ready' AND (due_at <= ? OR due_at > ?)"
            " ORDER BY due_at, seq LIMIT ?",
            (now, now + MAX_WAIT_S, limit),
        )
        entries: list[Entry] = []
        size_bytes = 0
        for row in rows:
            entry = Entry(*row)
            size_bytes += len(str(entry.body))  # bodies are ASCII; a damaged one may even be a number
            if entries and size_bytes > max_bytes:
                break
            entries.append(entry)
        return entries

    def next_due_at(self, now: float) -> float | None:
        """When the next event is due, in Unix seconds; ``None`` if none waits."""
        earliest, latest = self.database.read(_DUE_FROM_TO)[0]
        if earliest is None:
            return None
        return now if latest > now + MAX_WAIT_S else float(earliest)

    def settle(self, seqs: Sequence[int], *, now: float) -> None:
        """Polar has these events. In memory they are forgotten at once: there is no ledger to keep."""
        if self.path is None:
            with self.database.transaction() as transaction:
                transaction.run_many("DELETE FROM events WHERE seq = ?", [(seq,) for seq in seqs])
            return
        with self.database.transaction() as transaction:
            transaction.run_many(
                "UPDATE events SET state = 'sent', reason = NULL, settled_at = ? WHERE seq = ?",
                [(now, seq) for seq in seqs],
            )

    def reject(self, reasons: Mapping[int, str], *, now: float) -> None:
        """Polar will not take these events (by seq), each for its reason."""
        with self.database.transaction() as transaction:
            transaction.run_many(
                "UPDATE events SET state = 'rejected', reason = ?, settled_at = ? WHERE seq = ?",
                [(writable_text(reason), now, seq) for seq, reason in reasons.items()],
            )

    def postpone(self, seqs: Sequence[int], *, due_at: float, reason: str) -> None:
        """Try these events again, but not before *due_at* (Unix seconds)."""
        with self.database.transaction() as transaction:
            transaction.run_many(
                "UPDATE events SET due_at = ?, reason = ? WHERE seq = ?",
                [(due_at, writable_text(reason), seq) for seq in seqs],
            )

    def reconsider(self, *, limit: int, states: Sequence[State] = TRIED_AGAIN) -> int:
        """Put calls held for want of a price or a working user function back into the intake, the oldest first.

        How many, at most *limit*: in portions, because a caller's thread may be waiting for the lock. What is held
        again comes behind the others, so whoever tries all of them counts how many there were.
        """
        parameters = (states[0].value, states[-1].value, limit)
        seqs = self.database.read(_TRIED_AGAIN, parameters)
        with self.database.transaction() as transaction:
            transaction.run_many(
                "INSERT INTO intake (recorded_at, call) SELECT recorded_at, call FROM events WHERE seq = ?",
                seqs,
            )
            transaction.run_many("DELETE FROM events WHERE seq = ?", seqs)
        return len(seqs)

    def waiting(self) -> int:
        """How many calls are still to be sent: recorded or ready."""
        query = "SELECT (SELECT count(*) FROM intake) + (SELECT count(*) FROM events WHERE state = 'ready')"
        return int(self.database.read(query)[0][0])

    def reasons(self, state: State) -> dict[str, int]:
        """Why calls are in a state that a person should look at, and how many for each reason."""
        query = (
            "SELECT coalesce(reason, 'no reason'), count(*) FROM events"
            " WHERE state NOT IN ('ready', 'sent', 'duplicate') AND state = ? GROUP BY reason ORDER BY count(*) DESC"
        )
        return dict(self.database.read(query, (state.value,)))

    def held_counts(self) -> dict[State, int]:
        """How many calls are in each state that a person should look at; states with none are left out."""
        rows = self.database.read(_COUNT_HELD)
        return {State(state): count for state, count in rows}

    def counts(self) -> dict[State, int]:
        """How many calls are in each state; states with none are left out."""
        rows = self.database.read(
            "SELECT 'recorded', count(*) FROM intake UNION ALL SELECT state, count(*) FROM events GROUP BY state",
        )
        return {State(state): count for state, count in rows if count}

    def ledger(self) -> list[LedgerRow]:
        """Every event there is, oldest first."""
        rows = self.database.read("SELECT external_id, state, reason, body FROM events ORDER BY seq")
        return [LedgerRow(external_id, State(state), reason, body) for external_id, state, reason, body in rows]

    def purge(self, *, before: float, after_seq: int, limit: int) -> Purged:
        """Forget settled events recorded *before* that time (Unix seconds), looking at *limit* rows after *after_seq*.

        In portions, because a caller's thread may be waiting for the lock. What can still be sent (ready, unpriced,
        unbuildable) is never forgotten.
        """
        query = "SELECT seq, CAST(recorded_at AS REAL) FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = self.database.read(query, (after_seq, limit))
        if not rows or rows[0][1] >= before:
            return Purged(last_seq=None, unsent=0)
        last_seq = int(rows[-1][0])
        old = "FROM events WHERE seq > ? AND seq <= ? AND recorded_at < ? AND state"
        parameters = (after_seq, last_seq, before)
        unsent = self.database.read(f"SELECT count(*) {old} IN {_FORGOTTEN_UNSENT}", parameters)[0][0]
        with self.database.transaction() as transaction:
            transaction.run(f"DELETE {old} IN {_FORGOTTEN_UNSENT}", parameters)
            transaction.run(f"DELETE {old} IN ('sent', 'duplicate')", parameters)
        return Purged(last_seq=last_seq, unsent=unsent)

    def close(self) -> None:
        """Close the file."""
        self.database.close()
