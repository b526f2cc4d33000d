"""A durable queue and ledger of usage events: a journal that is appended to, and one SQLite file with two tables.

A finished call is written down in the journal (see ``journal``), because that happens on the caller's thread. All else
happens later, on the delivery thread::

    journal ──▶ intake ──price, build──▶ events: ready ──Polar──▶ sent
                                                   └─────Polar──▶ rejected
                                         events: held: unpriced | unattributed | unmetered | unbuildable
                                         events: duplicate, discarded

How far the journal has been read is written in the transaction in which its calls come into the intake. An outbox in
memory has no journal. A person may give back to delivery what is held or rejected, or discard it: see ``carrying_out``.

``events`` is the ledger. ``external_id`` is unique in it, so a call that was recorded twice is one event. The body of
an event is written there before its first attempt, so no retry, restart or new price list can change an amount that
Polar may already have. Another span of a call in it is there too, as a duplicate, so that it is known again when it is
delivered a second time by itself.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.database import Database, Durability, writable_text
from otel_polar.delivery.disk.journal import Journal
from otel_polar.delivery.disk.rows import Decided, Duplicate, Entry, Known, LedgerRow, Recorded, State
from otel_polar.delivery.disk.statements import (
    BEGIN_TO_AGE,
    COUNT_HELD,
    COUNT_REASONS,
    DECIDE_EVENT,
    DUE_FROM_TO,
    FORGET_CALLS,
    FORGET_UNSENT,
    HELD_FOR_WANT,
    INSERT_DUPLICATE,
    INSERT_INTAKE,
    KNOWN,
    MAKE_DUPLICATE,
    PURGE,
    RECALLED,
    RECORDED,
    SCHEMA,
)
from otel_polar.delivery.disk.taking_in import TakingIn
from otel_polar.errors import OutboxDamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
        """How often rows were carried over from or to another one; whoever remembers what is in it looks again."""
        self.database = Database(path, durability=durability, schema=SCHEMA)
        self.journal = None if path is None else Journal(path, is_synchronous=durability == "FULL")
        self.taking_in = None if self.journal is None else TakingIn(self.database, self.journal)

    def record(self, call: str, now: float) -> None:
        """Write down a call, which is one line. When this returns, killing the process does not lose it."""
        if self.journal is None:
            self.database.write(INSERT_INTAKE, (now, call))
        else:
            self.journal.append(call, now)

    def record_all(self, calls: Sequence[str], now: float) -> None:
        """Write down several calls, all of them or none."""
        if self.journal is None:
            with self.database.transaction() as transaction:
                transaction.run_many(INSERT_INTAKE, [(now, call) for call in calls])
        else:
            self.journal.append_all(calls, now)

    def take_in(self) -> None:
        """Move calls from the journal to the intake, a few thousand at most."""
        if self.taking_in is not None:
            self.taking_in.take_in()

    def recorded(self, *, limit: int, after_seq: int = 0) -> list[Recorded]:
        """The oldest calls that are not decided yet."""
        self.take_in()
        rows = self.database.read(RECORDED, (after_seq, limit))
        if not are_rising([row[0] for row in rows]):
            raise OutboxDamagedError(f"outbox {self.path}: rows are out of order")
        return [Recorded(*row) for row in rows]

    def recalled(self, *, since: float, limit: int) -> list[Known]:
        """What was decided last, recorded *since* that time (Unix seconds), as far as the call is still kept."""
        rows = reversed(self.database.read(RECALLED, (limit,)))
        return [Known(key, state, call) for key, state, call, at in rows if call is not None and at >= since]

    def known(self, external_ids: Sequence[str]) -> list[Known]:
        """What is in the ledger of these."""
        return [Known(*row) for row in self.database.read(KNOWN, (json.dumps(external_ids),))]

    def forget_calls(self, *, before: float, now: float, limit: int) -> int:
        """Forget the recorded call of sent events recorded *before* that time (Unix seconds); of how many.

        Looks at the first *limit* that are still kept, which are the oldest. What was recorded after *now*, before the
        clock was set back, is forgotten too: younger ones may lie behind it.
        """
        with self.database.transaction() as transaction:
            return transaction.run(FORGET_CALLS, (limit, before, now))

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
            changed = transaction.run_many(DECIDE_EVENT, rows)
            transaction.run_many(MAKE_DUPLICATE, earlier)
            transaction.run_many(INSERT_DUPLICATE, others)
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
        earliest, latest = self.database.read(DUE_FROM_TO)[0]
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

    def reject(self, reasons: Mapping[int, str]) -> None:
        """Polar will not take these events (by seq), each for its reason."""
        with self.database.transaction() as transaction:
            transaction.run_many(
                "UPDATE events SET state = 'rejected', reason = ? WHERE seq = ?",
                [(writable_text(reason), seq) for seq, reason in reasons.items()],
            )

    def postpone(self, seqs: Sequence[int], *, due_at: float, reason: str) -> None:
        """Try these events again, but not before *due_at* (Unix seconds)."""
        with self.database.transaction() as transaction:
            transaction.run_many(
                "UPDATE events SET due_at = ?, reason = ? WHERE seq = ?",
                [(due_at, writable_text(reason), seq) for seq in seqs],
            )

    def redate(self, bodies: Mapping[int, str]) -> None:
        """Give these events (by seq) another body, that differs in nothing but a time that Polar has refused."""
        with self.database.transaction() as transaction:
            transaction.run_many(
                "UPDATE events SET body = ? WHERE seq = ? AND state = 'ready'",
                [(body, seq) for seq, body in bodies.items()],
            )

    def reconsider(self, *, limit: int, states: Sequence[State] = TRIED_AGAIN) -> int:
        """Put calls held for want of a price or a working user function back into the intake, the oldest first.

        How many, at most *limit*: in portions, because new calls have their turn between two of them. What is held
        again comes behind the others, so whoever tries all of them counts how many there were.
        """
        parameters = (states[0].value, states[-1].value, limit)
        seqs = self.database.read(HELD_FOR_WANT, parameters)
        with self.database.transaction() as transaction:
            transaction.run_many(
                "INSERT INTO intake (recorded_at, call) SELECT recorded_at, call FROM events WHERE seq = ?",
                seqs,
            )
            transaction.run_many("DELETE FROM events WHERE seq = ?", seqs)
        return len(seqs)

    def undecided(self) -> int:
        """How many calls are recorded, and nothing else yet."""
        with nullcontext() if self.taking_in is None else self.taking_in.lock:
            unread = 0 if self.taking_in is None else self.taking_in.unread()
            taken_in: int = self.database.read("SELECT count(*) FROM intake")[0][0]
            return unread + taken_in

    def waiting(self) -> int:
        """How many calls are still to be sent: recorded or ready."""
        # In this order: one that is decided meanwhile is counted twice, and not left out.
        undecided = self.undecided()
        ready: int = self.database.read("SELECT count(*) FROM events WHERE state = 'ready'")[0][0]
        return undecided + ready

    def reasons(self, state: State) -> dict[str, int]:
        """Why calls are in a state that a person should look at, and how many for each reason."""
        return dict(self.database.read(COUNT_REASONS, (state.value,)))

    def held_counts(self) -> dict[State, int]:
        """How many calls are in each state that a person should look at; states with none are left out."""
        rows = self.database.read(COUNT_HELD)
        return {State(state): count for state, count in rows}

    def counts(self) -> dict[State, int]:
        """How many calls are in each state; states with none are left out."""
        recorded = self.undecided()
        rows = self.database.read("SELECT state, count(*) FROM events GROUP BY state")
        return {State(state): count for state, count in [(State.RECORDED, recorded), *rows] if count}

    def ledger(self) -> list[LedgerRow]:
        """Every event there is, oldest first."""
        rows = self.database.read("SELECT external_id, state, reason, body FROM events ORDER BY seq")
        return [LedgerRow(external_id, State(state), reason, body) for external_id, state, reason, body in rows]

    def purge(self, *, before: float, after_seq: int, limit: int) -> int | None:
        """Forget what Polar has of the events recorded *before* that time (Unix seconds), by our clock.

        In portions: it looks at *limit* rows after *after_seq*. The last one of them, to go on from; ``None`` when the
        rest is younger.
        """
        query = "SELECT seq, CAST(recorded_at AS REAL) FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = self.database.read(query, (after_seq, limit))
        # Not only the first: it may be from a time when the clock was wrong.
        if not rows or min(recorded_at for _, recorded_at in rows) >= before:
            return None
        last_seq = int(rows[-1][0])
        with self.database.transaction() as transaction:
            transaction.run(PURGE, (after_seq, last_seq, before))
        return last_seq

    def forget_unsent(self, *, now: float, retention_s: float) -> int:
        """Forget calls that cannot be sent, and have been known as such for that long; how many.

        Their age counts from the first time this was asked, and *now* (Unix seconds) has to be certain, because nobody
        was billed for them: when they were recorded, the clock may have been wrong. What can still be sent (ready,
        unpriced, unbuildable) is never forgotten.
        """
        with self.database.transaction() as transaction:
            transaction.run(BEGIN_TO_AGE, (now,))
            return transaction.run(FORGET_UNSENT, (now - retention_s,))

    def close(self) -> None:
        """Close the files."""
        if self.journal is not None:
            self.journal.close()
        self.database.close()


def are_rising(numbers: Sequence[int]) -> bool:
    """Whether each is larger than the one before it; of a damaged table they are not, and would be read for ever."""
    return all(earlier < later for earlier, later in pairwise(numbers))
