"""All events of both sides in a temporary file, paired there: a hundred thousand on each side in a few MiB of memory.

SQLite makes the file when there is more than fits in a few MiB, without a name, readable for nobody else.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from enum import IntEnum, StrEnum
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from otel_polar.billing import trial_event
from otel_polar.reconciliation.fact import Fact
from otel_polar.reconciliation.pairing import Event, Pairs, pair_close, pair_loose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType


class Standing(IntEnum):
    """What the ledger says of an event of ours."""

    SENT = 0
    JUST_SENT = 1
    """Within the minutes that Polar's listing may be late by."""
    WAITING = 2
    REJECTED = 3


class Verdict(StrEnum):
    """What became of an event in the comparison."""

    EQUAL = "equal"
    DIFFERING = "differing"
    MISSING_THERE = "missing there"
    MISSING_HERE = "missing here"
    DOUBLED_THERE = "doubled there"
    UNEXPECTED_THERE = "unexpected there"
    """Polar has it, and the ledger says that Polar rejected it."""
    TRIAL = "trial"
    """A test event of ``otel-polar doctor --send-test`` on Polar: no call, so in no ledger."""
    NOT_EXPECTED = "not expected"
    """Ours, not there, and need not be: it waits, was rejected, or was sent just now."""


class Place(StrEnum):
    """Where an event is, as far as meters are concerned."""

    LISTED = "listed"
    """On Polar, whoever sent it, as Polar has it."""
    OURS_LISTED = "ours listed"
    """The same of ours, as the ledger has it."""
    OURS_SENT = "ours sent"
    """Polar has taken it, and does not list it."""
    OURS_COMING = "ours coming"
    """It was sent just now, or is about to be."""


class Ours(NamedTuple):
    """An event of a ledger; ``parent_id`` as it was sent, ``file`` where it is written down."""

    external_id: str
    standing: Standing
    fact: Fact
    parent_id: str | None
    file: str


class Theirs(NamedTuple):
    """An event on Polar, by Polar's id."""

    id: str
    fact: Fact


class Finding(NamedTuple):
    """Something that is not equal: one event or two."""

    verdict: Verdict
    ours: Ours | None
    theirs: Theirs | None

    @property
    def fact(self) -> Fact:
        """The event, as the ledger has it if it does."""
        event = self.ours or self.theirs
        if event is None:
            raise ValueError("a difference is about one event at least")
        return event.fact


class Sums(NamedTuple):
    """Of some events with one verdict: how many, and their money in billionths of a dollar."""

    events: int
    cost_nanos: int
    charge_nanos: int


_TABLES: Final = """
    CREATE TABLE here (number INTEGER PRIMARY KEY, external_id TEXT UNIQUE, standing INTEGER, parent_id TEXT, file TEXT,
        close BLOB, loose BLOB, content BLOB, is_traced INTEGER, customer TEXT, at INTEGER, name TEXT, metadata TEXT,
        cost TEXT, charge TEXT, verdict TEXT, partner INTEGER);
    CREATE TABLE there (number INTEGER PRIMARY KEY, id TEXT UNIQUE,
        close BLOB, loose BLOB, content BLOB, is_traced INTEGER, customer TEXT, at INTEGER, name TEXT, metadata TEXT,
        cost TEXT, charge TEXT, verdict TEXT, partner INTEGER)"""
# The same call in two ledgers counts once, and what is further on its way is believed.
_PUT_HERE: Final = """
    INSERT INTO here (external_id, standing, parent_id, file, close, loose, content, is_traced, customer, at, name,
        metadata, cost, charge) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (external_id) DO UPDATE SET standing = excluded.standing, parent_id = excluded.parent_id,
        file = excluded.file, close = excluded.close, loose = excluded.loose, content = excluded.content,
        is_traced = excluded.is_traced, customer = excluded.customer, at = excluded.at, name = excluded.name,
        metadata = excluded.metadata, cost = excluded.cost, charge = excluded.charge
    WHERE excluded.standing < here.standing"""
_PUT_THERE: Final = """
    INSERT OR IGNORE INTO there (id, close, loose, content, is_traced, customer, at, name, metadata, cost, charge)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
# Of two of ours that are alike, Polar has the one of which the ledger says so: by standing first.
_BY_CLOSE: Final = """
    SELECT close, 0, number, content, customer, is_traced, standing FROM here UNION ALL
    SELECT close, 1, number, content, customer, is_traced, 0 FROM there WHERE verdict IS NULL ORDER BY 1, 2, 7, 3"""
_BY_LOOSE: Final = """
    SELECT loose, 0, number, content, customer, is_traced, standing FROM here WHERE verdict IS NULL UNION ALL
    SELECT loose, 1, number, content, customer, is_traced, 0 FROM there WHERE verdict IS NULL ORDER BY 1, 2, 7, 3"""
_UNEXPECTED: Final = (
    """UPDATE there SET verdict = ? WHERE partner IN (SELECT number FROM here WHERE standing = ?)""",
    """UPDATE here SET verdict = ? WHERE partner IS NOT NULL AND standing = ?""",
)
_FACT: Final = "at, name, customer, metadata"
_OURS: Final = f"external_id, standing, parent_id, file, {_FACT}"
_THEIRS: Final = f"id, {_FACT}"
_FACTS_THERE: Final = f"SELECT '{Place.LISTED}', {_FACT} FROM there"  # noqa: S608 - constants
_FACTS_HERE: Final = f"""
    SELECT CASE WHEN partner IS NOT NULL THEN '{Place.OURS_LISTED}'
        WHEN standing = {int(Standing.SENT)} THEN '{Place.OURS_SENT}' ELSE '{Place.OURS_COMING}' END, {_FACT}
    FROM here WHERE partner IS NOT NULL OR standing <> {int(Standing.REJECTED)}"""  # noqa: S608 - constants
_GROUPS_AT_ONCE: Final = 2_000
_write: Final = json.JSONEncoder(separators=(",", ":")).encode


class Meeting:
    """For one comparison. First both sides are put, then paired, then read."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        # Never to be read again: what SQLite does to survive a crash would be for nothing.
        self._connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA cache_size = -8000; {_TABLES}")
        self._connection.create_aggregate("exact_sum", 1, _ExactSum)  # type: ignore[arg-type]  # it answers text
        self._known_as: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def know(self, customer_id: str | None, external_customer_id: str | None) -> None:
        """Both are ids of one customer."""
        if customer_id and external_customer_id:
            self._known_as[customer_id] = external_customer_id

    def customer(self, name: str | None) -> str | None:
        """A customer by your id, where that is known."""
        return None if name is None else self._known_as.get(name, name)

    def put_here(self, events: Iterable[Ours]) -> None:
        """Events of a ledger."""
        rows = (
            (_text(each.external_id), int(each.standing), each.parent_id, each.file, *_columns(each.fact))
            for each in events
        )
        self._many(_PUT_HERE, rows)

    def put_there(self, events: Iterable[Theirs]) -> None:
        """Events on Polar; the same one twice counts once."""
        self._many(_PUT_THERE, ((each.id, *_columns(each.fact)) for each in events))

    def pair(self) -> None:
        """Give every event its verdict; once more, after more events were put."""
        for side in ("here", "there"):
            self._connection.execute(f"UPDATE {side} SET verdict = NULL, partner = NULL WHERE verdict IS NOT NULL")  # noqa: S608 - constants
        self._connection.execute(
            "UPDATE there SET verdict = ? WHERE name = ? AND instr(metadata, ?)",
            (Verdict.TRIAL, trial_event.NAME, f'"{trial_event.TRIAL_KEY}":'),
        )
        self._pair(_BY_CLOSE, is_close=True)
        self._pair(_BY_LOOSE, is_close=False)
        self._connection.execute(
            "UPDATE here SET verdict = iif(standing = ?, ?, ?) WHERE verdict IS NULL",
            (int(Standing.SENT), Verdict.MISSING_THERE, Verdict.NOT_EXPECTED),
        )
        self._connection.execute("UPDATE there SET verdict = ? WHERE verdict IS NULL", (Verdict.MISSING_HERE,))
        # Whichever way the two are compared: Polar was not to have it.
        for statement in _UNEXPECTED:
            self._connection.execute(statement, (Verdict.UNEXPECTED_THERE, int(Standing.REJECTED)))

    @property
    def has_strangers(self) -> bool:
        """Whether Polar has events that are in no ledger."""
        query = "SELECT 1 FROM there WHERE verdict = ? LIMIT 1"
        return self._connection.execute(query, (Verdict.MISSING_HERE,)).fetchone() is not None

    def sums(self, side: str) -> dict[tuple[str | None, Verdict], Sums]:
        """By customer and verdict, of the side ``here`` or ``there``."""
        found: defaultdict[tuple[str | None, Verdict], list[int]] = defaultdict(lambda: [0, 0, 0])
        rows = self._connection.execute(
            f"SELECT customer, verdict, count(*), exact_sum(cost), exact_sum(charge) FROM {side} GROUP BY 1, 2"  # noqa: S608 - a constant
        )
        for customer, verdict, *amounts in rows:
            sums = found[self.customer(customer), Verdict(verdict)]
            sums[:] = [one + int(other) for one, other in zip(sums, amounts, strict=True)]
        return {key: Sums(*amounts) for key, amounts in found.items()}

    def findings(self) -> Iterator[Finding]:
        """What is not equal, by time."""
        rows = self._connection.execute(
            """SELECT 0, number, partner, verdict, at FROM here WHERE verdict NOT IN (?, ?)
            UNION ALL SELECT 1, number, partner, verdict, at FROM there WHERE verdict IN (?, ?)
            ORDER BY 5, 1, 2""",
            (Verdict.EQUAL, Verdict.NOT_EXPECTED, Verdict.MISSING_HERE, Verdict.DOUBLED_THERE),
        )
        for side, number, partner, verdict, _ in rows:
            ours, theirs = (partner, number) if side else (number, partner)
            yield Finding(Verdict(verdict), self._ours(ours), self._theirs(theirs))

    def facts(self) -> Iterator[tuple[Place, Fact]]:
        """Every event of both sides that Polar has, by our word or its own, or is about to have."""
        yield from self._facts(_FACTS_THERE)
        yield from self._facts(_FACTS_HERE)

    def _facts(self, query: str) -> Iterator[tuple[Place, Fact]]:
        for place, *fact in self._connection.execute(query):
            yield Place(place), self._fact(*fact)

    def _fact(self, at: int, name: str, customer: str | None, metadata: str) -> Fact:
        return Fact(at, name, self.customer(customer), json.loads(metadata))

    def _ours(self, number: int | None) -> Ours | None:
        row = self._connection.execute(f"SELECT {_OURS} FROM here WHERE number = ?", (number,)).fetchone()  # noqa: S608 - a constant
        if row is None:
            return None
        external_id, standing, parent_id, file, *fact = row
        return Ours(external_id, Standing(standing), self._fact(*fact), parent_id, file)

    def _theirs(self, number: int | None) -> Theirs | None:
        row = self._connection.execute(f"SELECT {_THEIRS} FROM there WHERE number = ?", (number,)).fetchone()  # noqa: S608 - a constant
        return None if row is None else Theirs(row[0], self._fact(*row[1:]))

    def _pair(self, query: str, *, is_close: bool) -> None:
        pair = pair_close if is_close else pair_loose
        done: list[Pairs] = []
        # SQLite has sorted all of them before it gives the first, so they may be changed meanwhile.
        for _, group in groupby(self._connection.execute(query), itemgetter(0)):
            sides: tuple[list[Event], list[Event]] = ([], [])
            for _, side, number, content, customer, is_traced, _ in group:
                sides[side].append(Event(number, content, self.customer(customer), bool(is_traced)))
            done.append(pair(*sides))
            if len(done) >= _GROUPS_AT_ONCE:
                self._note(done)
        self._note(done)

    def _note(self, done: list[Pairs]) -> None:
        noted = [
            *((Verdict.EQUAL, *pair) for pairs in done for pair in pairs.equal),
            *((Verdict.DIFFERING, *pair) for pairs in done for pair in pairs.differing),
        ]
        doubled = [(Verdict.DOUBLED_THERE, *pair) for pairs in done for pair in pairs.doubled]
        self._many("UPDATE here SET verdict = ?, partner = ? WHERE number = ?", [(v, t, h) for v, h, t in noted])
        self._many("UPDATE there SET verdict = ?, partner = ? WHERE number = ?", [*noted, *doubled])
        done.clear()

    def _many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.execute("BEGIN")
        try:
            self._connection.executemany(statement, rows)
        finally:
            self._connection.execute("COMMIT")


class _ExactSum:
    """Adds whole numbers of any size, written as text: SQLite's own end at 2**63, and anybody's event may say more."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, amount: str) -> None:
        self._sum += int(amount)

    def finalize(self) -> str:
        return str(self._sum)


def _text(value: str) -> str:
    """As SQLite can keep it: half a surrogate pair, which JSON can spell, is no text in UTF-8."""
    return value if value.isascii() else value.encode(errors="backslashreplace").decode()


def _columns(fact: Fact) -> tuple[Any, ...]:
    return (
        fact.close_identity,
        fact.loose_identity,
        fact.content,
        fact.is_traced,
        None if fact.customer is None else _text(fact.customer),
        fact.at_unix_us,
        _text(fact.name),
        _write(fact.metadata),
        str(fact.cost_nanos),
        str(fact.charge_nanos),
    )
