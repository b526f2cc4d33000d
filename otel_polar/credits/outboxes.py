"""What the outboxes of this machine hold of each customer, in the units of one meter.

Every file is looked at beside the process that owns it, which is not disturbed; a look reads what has changed since the
last one. A call counts from the moment it is recorded, with the event that it is going to be; a sent one is remembered
for hours, because Polar's state of a customer may be that old.

A file whose process has ended is left to whoever adopts it, if this process might: SQLite shares what it has opened
within a process, and the file would be for reading only. Until then all that is in its journal counts.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_polar.credits.foresight import Foresight
from otel_polar.credits.items import Item
from otel_polar.credits.sums import own_usage, sums_of
from otel_polar.delivery.disk.glance import MovedError, glance
from otel_polar.delivery.disk.journal import outbox_of, segments_of
from otel_polar.delivery.disk.lines import calls_of, read_open_lines
from otel_polar.delivery.disk.locks import is_locked
from otel_polar.delivery.forks import owns_files
from otel_polar.delivery.looking.ledger_rows import consumed_of
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.credits.figures import OwnUsage
    from otel_polar.credits.metering import MeterRule
    from otel_polar.credits.sums import Sums
    from otel_polar.settings import Settings

REMEMBERED_S: Final = 4 * 3_600.0
"""Longer than Polar's state of a customer is ever behind."""

FORGET_S: Final = 60.0
MAX_REMEMBERED: Final = 50_000
TAIL_ROWS: Final = 5_000
"""Of a file that is seen for the first time."""

TRIES: Final = 5
MAX_RECORDED: Final = 20_000
"""Calls of a file that are not decided yet, which takes seconds: more of them are told of, and not counted."""

_READY: Final = "SELECT seq FROM events WHERE state = 'ready'"
_ROWS: Final = """
    SELECT CAST(external_id AS TEXT), CAST(state AS TEXT), CAST(settled_at AS REAL), CAST(body AS TEXT) FROM events
    WHERE state IN ('ready', 'sent') AND"""
_BY_SEQ: Final = f"{_ROWS} seq IN (SELECT value FROM json_each(?))"  # noqa: S608 - of our own words
_SINCE: Final = f"{_ROWS} seq > ?"
_INTAKE: Final = "SELECT CAST(call AS TEXT) FROM intake ORDER BY seq LIMIT ?"


class Outboxes:
    """For any thread; one looks at a time."""

    def __init__(
        self, directory: Path, rule: MeterRule, *, settings: Settings, price: Callable[[ModelCall], Price | Unpriced]
    ) -> None:
        self._directory = directory
        self._rule = rule
        self._foresight = Foresight(rule, settings=settings, price=price)
        self.lock = threading.RLock()
        """Held during a look. Whoever forks takes it first."""
        self._ready: dict[str, frozenset[int]] = {}
        self._last: dict[str, int] = {}
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._recorded: dict[str, dict[str, Item]] = {}
        self._by_payer: Mapping[str, Sums] = {}
        self._is_changed = True
        self._forget_at = 0.0
        self.looked_at = 0.0
        """When the last look began, in Unix seconds: what was recorded before that has been seen."""
        self.trouble: str | None = None
        """What could not be read at the last look, in words."""

    def of(self, payers: Sequence[str], *, asked_at: float, counted_at: float | None) -> OwnUsage:
        """What is known of those who pay (see :func:`payer_of`), to go with what Polar said then."""
        return own_usage(self._by_payer, payers, asked_at=asked_at, counted_at=counted_at)

    def look(self, now: float) -> None:
        """Look at every file; what cannot be read stays as it was seen last. Never raises an ``OutboxError``."""
        with self.lock:
            for _ in range(TRIES):
                # What was in a file that has gone may have come to one that had been looked at already.
                if self._look_at_all(now):
                    break
            if self._is_changed or now >= self._forget_at:
                self._forget(now)
                self._forget_at = now + FORGET_S
                self._by_payer = sums_of(self._all_items())
                self._is_changed = False
            self.looked_at = now

    def _look_at_all(self, now: float) -> bool:
        """Whether all files were there to the end."""
        self.trouble = None
        recorded: dict[str, dict[str, Item]] = {}
        self._foresight.look_anew()
        paths = self._paths()
        self._forget_files({path.name for path in paths})
        for path in paths:
            if owns_files() and not is_locked(path):
                left = dict(self._left_behind(path, now))
                recorded[path.name] = {**self._recorded.get(path.name, {}), **left}
                continue
            try:
                recorded[path.name] = self._look_until_it_rests(path, now)
            except (OutboxError, OSError, ValueError) as error:
                self.trouble = str(error)
                recorded[path.name] = self._recorded.get(path.name, {})
        self._is_changed = self._is_changed or recorded != self._recorded
        self._recorded = recorded
        return all(path.exists() for path in paths)

    def _paths(self) -> list[Path]:
        segments = self._directory.glob("outbox-*-*.journal")
        paths = sorted({*self._directory.glob("outbox-*.db"), *map(outbox_of, segments)})
        return [path for path in paths if path.exists()]

    def _forget_files(self, names: set[str]) -> None:
        if self._ready.keys() <= names:
            return
        # What was in it is in another file now, or with a person: what waits is read anew everywhere.
        self._ready = {}
        self._items = OrderedDict((key, item) for key, item in self._items.items() if item.sent_at is not None)
        self._is_changed = True

    def _look_until_it_rests(self, path: Path, now: float) -> dict[str, Item]:
        for _ in range(TRIES - 1):
            # Its owner has just begun to write to it.
            with suppress(MovedError):
                return dict(self._look_at(path, now))
        return dict(self._look_at(path, now))

    def _look_at(self, path: Path, now: float) -> Iterator[tuple[str, Item]]:
        segments: list[tuple[str, BinaryIO]] = []
        try:
            for segment in segments_of(path):
                # If it has gone already, its calls are in the intake.
                with suppress(FileNotFoundError):
                    segments.append((segment.name, segment.open("rb")))
            with glance(path) as connection:
                self._look_at_ledger(path.name, connection, now)
                calls = [call for (call,) in connection.execute(_INTAKE, (MAX_RECORDED + 1,)) if call]
                consumed = consumed_of(connection)
            for name, file in segments:
                _read_on(file, consumed.get(name, 0), calls)
        finally:
            for _, file in segments:
                file.close()
        yield from self._understood_of(path, calls, now)

    def _left_behind(self, path: Path, now: float) -> Iterator[tuple[str, Item]]:
        calls: list[str] = []
        for segment in segments_of(path):
            with suppress(OSError), segment.open("rb") as file:
                _read_on(file, 0, calls)
        yield from self._understood_of(path, calls, now)

    def _understood_of(self, path: Path, calls: Sequence[str], now: float) -> Iterator[tuple[str, Item]]:
        if len(calls) > MAX_RECORDED:
            self.trouble = f"outbox {path}: more than {MAX_RECORDED} calls are recorded and not decided yet"
        for call in calls[:MAX_RECORDED]:
            if (found := self._foresight.of(call, now)) is not None:
                yield found

    def _look_at_ledger(self, name: str, connection: sqlite3.Connection, now: float) -> None:
        (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        ready = frozenset(seq for (seq,) in connection.execute(_READY))
        before = self._ready.get(name, frozenset())
        # A file's numbers may begin anew: it was put aside, and made again.
        last = min(self._last.get(name, newest - TAIL_ROWS), newest)
        changed = json.dumps([*(before ^ ready)])
        for external, state, sent_at, body in [
            *connection.execute(_BY_SEQ, (changed,)),
            *connection.execute(_SINCE, (last,)),
        ]:
            self._see(external, state, sent_at, body, now)
        gone = connection.execute(
            "SELECT CAST(external_id AS TEXT) FROM events WHERE state NOT IN ('ready', 'sent') AND seq IN"
            " (SELECT value FROM json_each(?))",
            (json.dumps([*(before - ready)]),),
        )
        for (external,) in gone:
            self._is_changed = self._items.pop(external, None) is not None or self._is_changed
        self._ready[name], self._last[name] = ready, newest

    def _see(self, external: str, state: str, sent_at: float | None, body: str | None, now: float) -> None:
        # What the ledger says is not later than now, whatever became of the clock.
        had_at = None if state == "ready" else now if sent_at is None else min(sent_at, now)
        known = self._items.get(external)
        if known is not None and known.sent_at is not None and had_at is not None:
            return
        if (item := Item.of(body, self._rule, sent_at=had_at)) is not None:
            self._items[external] = item
            self._items.move_to_end(external)
            self._is_changed = True

    def _forget(self, now: float) -> None:
        for external, item in list(self._items.items()):
            if item.sent_at is not None and item.sent_at < now - REMEMBERED_S:
                del self._items[external]
        while len(self._items) > MAX_REMEMBERED:
            self._items.popitem(last=False)

    def _all_items(self) -> Iterator[Item]:
        yield from self._items.values()
        told: set[str] = set()
        for recorded in self._recorded.values():
            for external, item in recorded.items():
                # One call that two of its spans tell of, or a redelivery, is one event.
                if external not in self._items and external not in told:
                    told.add(external)
                    yield item


def _read_on(file: BinaryIO, begin: int, calls: list[str]) -> None:
    """Append the calls of a segment from there on, until they are more than are counted."""
    while len(calls) <= MAX_RECORDED and (lines := read_open_lines(file, begin)):
        calls += [call for _, call in calls_of(lines)]
        begin = lines[-1].end
