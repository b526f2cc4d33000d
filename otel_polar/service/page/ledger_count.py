"""Adds up the ledger of one outbox, a few hundred rows at a time, and every row exactly once.

The newest rows come first, so that the last hours are right within a second of a ledger of millions. What is counted is
every event with a frozen body, whatever Polar said to it: that much was spent. A row may change after it was seen::

    held ──▶ ready, in its place: it is *watched*, looked at again, and counted when it has a body
    held ──▶ back to the intake, and later to a new place, which may be the number of a row that is gone
    ready, sent, rejected, duplicate, discarded: nothing that is counted here changes any more, unless a person has a
        rejected event built anew: then the first amount is told until everything is counted anew
    dated in the future: it may get another time before it is sent, so it is watched, too

SQLite gives the number of a row again only if no row is behind it. So as long as the last row that was counted (the
*anchor*) is in its place, every row up to it is the one that was seen; what lies behind it is read again each time.
When it has gone, such as by retention in a service that was idle for a month, everything is counted anew.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.service.page.shown import fitting
from otel_polar.service.page.sums import Dimension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_polar.delivery.disk.database import Row
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.service.page.sums import Name, Window

ROWS_AT_ONCE: Final = 300
MIN_ROWS_AT_ONCE: Final = 10
LOOK_S: Final = 0.002
"""So long the delivery thread may have to wait. Fewer rows are read at once when they come from a slow disk."""

MAX_WATCHED: Final = 100_000
COUNT_ANEW_S: Final = 3_600.0
"""How often everything is counted anew while there is more than can be watched or named."""

# SQLite reads the JSON: five times as fast, and other threads run meanwhile. What comes back is JSON again, in which no
# number has lost a digit. A damaged row must not make the good ones beside it unreadable.
_SEEN: Final = (
    """
    SELECT seq, external_id, recorded_at, state, body IS NULL,
    CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.timestamp', '$.name',
        '$.external_customer_id', '$.customer_id', '$.metadata.cost_nanos', '$.metadata.model') END"""
    ""
)
_NEWER: Final = f"{_SEEN} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_OLDER: Final = f"{_SEEN} FROM events WHERE seq < ? ORDER BY seq DESC LIMIT ?"
_AGAIN: Final = f"{_SEEN} FROM events, json_each(?) WHERE seq = value"
_OLDEST: Final = "SELECT coalesce(min(seq), 1) FROM events"
_BEHIND_ALL: Final = 2**63 - 1
_NOT_SEEN: Final = -1
# When it was recorded, too: the very event may come again, a month later.
_WHICH: Final = "SELECT seq, external_id, recorded_at FROM events WHERE seq = ?"


class Spent(NamedTuple):
    """What an event tells. ``hour`` is since 1970; ``nanos`` is ``None`` where it does not tell its cost."""

    hour: int
    nanos: int | None
    customer: Name
    model: Name


class _AnchorLostError(Exception):
    """A number that was seen may be that of another row now."""


class LedgerCount:
    """For one thread. ``window`` says what is kept at this moment."""

    def __init__(self, outbox: Outbox, window: Callable[[], Window], monotonic: Callable[[], float]) -> None:
        self._outbox = outbox
        self._window = window
        self._monotonic = monotonic
        self._limit = ROWS_AT_ONCE
        self._kept = window()
        self._hour = 0
        self._oldest_seq, self._first_seq, self._last_seq = 1, _BEHIND_ALL, _NOT_SEEN
        self._cursor = 0
        self.is_complete = False
        self._begin()

    @property
    def _anchor_seq(self) -> int:
        return self._first_seq - 1 if self._anchor is None else self._anchor[0]

    @property
    def places(self) -> int:
        """How many rows there are, gaps included."""
        return max(0, self._last_seq - self._oldest_seq + 1)

    @property
    def counted(self) -> int:
        """How many of them have been seen."""
        return self.places if self.is_complete else max(0, self._last_seq - self._first_seq + 1)

    @property
    def is_partial(self) -> bool:
        """Whether there are more names or held calls than can be told apart."""
        return self._is_overfull or self.customers.is_folded or self.models.is_folded

    def count(self) -> Iterator[None]:
        """Count what has come or changed since the last time; pauses after every look at the file.

        Raises:
            OutboxError: if the file cannot be read.
        """
        while True:
            try:
                yield from self._count()
            except _AnchorLostError:
                self._begin()
            else:
                return

    def _count(self) -> Iterator[None]:
        window = self._window()
        if self._must_begin(window):
            self._begin()
            self._hour = 0
        if self._last_seq == _NOT_SEEN:
            self._oldest_seq = self._outbox.database.read(_OLDEST)[0][0]
        self._kept, self._hour = window, max(self._hour, window.hour)
        for dimension in (self.customers, self.models):
            dimension.forget(window)
        watched = sorted(seq for seq in self._watched if seq < self._anchor_seq)
        for begin in range(0, len(watched), ROWS_AT_ONCE):
            self._look_again(watched[begin : begin + ROWS_AT_ONCE])
            yield
        is_up_to_date = False
        self._cursor = self._anchor_seq
        while not (is_up_to_date and self.is_complete):
            # The older ones first: the very first look finds out which row is the last.
            if not self.is_complete:
                self.is_complete = self._count_older()
                yield
            is_up_to_date = self._count_newer()
            yield

    def _begin(self) -> None:
        self.customers = Dimension()
        self.models = Dimension()
        self.is_complete = False
        self.unreadable = 0
        """Rows without a body that could be understood."""
        self._is_overfull = False
        self._watched: set[int] = set()
        self._anchor: tuple[int, str, float] | None = None
        self._oldest_seq, self._first_seq, self._last_seq = 1, _BEHIND_ALL, _NOT_SEEN
        self._began_at = self._monotonic()

    def _must_begin(self, window: Window) -> bool:
        # What was forgotten when the clock was ahead.
        if window.hour < self._hour - 1:
            return True
        return self.is_partial and self._monotonic() - self._began_at > COUNT_ANEW_S

    def _count_newer(self) -> bool:
        """Whether those were the last."""
        limit = self._limit
        begin = self._cursor
        rows = self._read_some(_NEWER, begin)
        for row in rows:
            self._see(row)
            self._cursor = self._last_seq = row[0]
        if self._anchor_seq > begin:
            # From there all is seen at one moment, also when those behind it become others before the next look.
            self._cursor = self._anchor_seq
        else:
            self._watch_gaps(begin, [row[0] for row in rows])
        return len(rows) < limit

    def _count_older(self) -> bool:
        """Whether those were the first."""
        limit = self._limit
        end = self._first_seq
        has_no_anchor = self._anchor is None
        rows = self._read_some(_OLDER, end)
        if self._last_seq == _NOT_SEEN:
            self._last_seq = rows[0][0] if rows else 0
            end = self._first_seq = self._last_seq + 1
        for row in rows:
            self._see(row)
            self._first_seq = row[0]
        if has_no_anchor:
            self._watch_gaps(self._anchor_seq, [*(row[0] for row in reversed(rows) if row[0] > self._anchor_seq), end])
        self._cursor = min(self._cursor, self._last_seq)
        return len(rows) < limit

    def _look_again(self, seqs: list[int]) -> None:
        rows = self._read(_AGAIN, (json.dumps(seqs),))
        for row in rows:
            self._see(row)
        self._watched.difference_update(set(seqs).difference(row[0] for row in rows))

    def _watch_gaps(self, begin: int, seqs: list[int]) -> None:
        """Nothing in a long row of held calls is counted; if they go, numbers between them may come again."""
        for earlier, later in pairwise([begin, *seqs]):
            for seq in range(earlier + 1, min(later, earlier + MAX_WATCHED)):
                self._watch(seq)

    def _read_some(self, query: str, seq: int) -> list[Row]:
        begin = perf_counter()
        rows = self._read(query, (seq, self._limit))
        took_s = perf_counter() - begin
        if took_s > LOOK_S:
            self._limit = max(MIN_ROWS_AT_ONCE, self._limit // 2)
        else:
            self._limit = min(ROWS_AT_ONCE, self._limit * 2)
        return rows

    def _read(self, query: str, parameters: Sequence[object]) -> list[Row]:
        rows = self._outbox.database.read(query, parameters)
        # After the reading: if it is there now, it was there all the time.
        if self._anchor is not None and self._outbox.database.read(_WHICH, self._anchor[:1]) != [self._anchor]:
            raise _AnchorLostError
        return rows

    def _see(self, row: Row) -> None:
        seq, external_id, recorded_at, state, has_no_body, told = row
        is_open = has_no_body and state not in {"sent", "ready", "duplicate", "rejected", "discarded"}
        spent = None if told is None else read_spent(told)
        if spent is not None and spent.hour > self._kept.hour and state == "ready":
            is_open = True
        if is_open:
            self._watch(seq)
            return
        self._watched.discard(seq)
        if self._anchor is None or seq > self._anchor[0]:
            self._anchor = (seq, external_id, recorded_at)
        if spent is not None:
            self.customers.add(spent.hour, spent.customer, spent.nanos, self._kept)
            self.models.add(spent.hour, spent.model, spent.nanos, self._kept)
        elif not has_no_body:
            self.unreadable += 1

    def _watch(self, seq: int) -> None:
        if len(self._watched) < MAX_WATCHED or seq in self._watched:
            self._watched.add(seq)
        else:
            self._is_overfull = True


def read_spent(told: str) -> Spent | None:
    """What the JSON list of an event's fields says; ``None`` if it has no time."""
    try:
        timestamp, name, external_customer_id, customer_id, nanos, model = json.loads(told)
    except (ValueError, RecursionError):
        # A number of thousands of digits, or lists in lists in lists.
        return None
    hour = _hour_of(timestamp[:13], timestamp[-1:]) if isinstance(timestamp, str) else None
    if hour is None:
        return None
    # bool is an int in Python; True is not one billionth of a dollar.
    is_priced = isinstance(nanos, int) and not isinstance(nanos, bool)
    return Spent(
        hour,
        nanos if is_priced else None,
        _name("Polar's id", customer_id) if customer_id is not None else _name("customer", external_customer_id),
        _name("model", model) if model is not None else _name("event", name),
    )


def _name(kind: str, value: Any) -> Name:
    return (kind, fitting(value if isinstance(value, str) else json.dumps(value)))


@lru_cache(maxsize=4_096)
def _hour_of(date_and_hour: str, zone: str) -> int | None:
    """Of ``2026-10-01T12`` and ``Z``, as every event is dated (see ``billing.event``)."""
    try:
        moment = datetime.fromisoformat(f"{date_and_hour}:00:00{zone}")
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() // 3_600)
