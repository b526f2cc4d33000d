"""Specifies that spend is every frozen event once, whatever happens to the rows of the ledger meanwhile."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.service.page import ledger_count, sums
from otel_polar.service.page.ledger_count import LedgerCount
from otel_polar.service.page.sums import Window
from tests.delivery.support import NOON, Clock
from tests.service.page.support import NOON_HOUR, an_event, bodies_of, count_all, decide, plain_sums, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = Window(NOON_HOUR)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox-00000000.db")
    yield opened
    opened.close()


def a_count(outbox: Outbox) -> LedgerCount:
    return LedgerCount(outbox, lambda: WINDOW, lambda: 0.0)


def assert_exact(count: LedgerCount, outbox: Outbox) -> None:
    assert shown(count, WINDOW) == plain_sums(bodies_of(outbox), WINDOW)


class Life:
    """Does to a ledger what delivery does to it, in any order."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.outbox = Outbox(folder / "outbox-00000000.db")
        self.folder = folder
        self.random = random.Random(seed)
        self.number = 0
        self.purged: list[str] = []

    def ready(self) -> None:
        decide(self.outbox, self.next(), State.READY, body=self.body())

    def held(self) -> None:
        decide(self.outbox, self.next(), self.random.choice([State.UNPRICED, State.UNATTRIBUTED]), reason="no price")

    def held_is_decided(self) -> None:
        """Another span of the call has come, with what it lacked: in its place."""
        if name := self.one_of("state LIKE 'held:%'"):
            number = int(name.removeprefix("event-"))
            state = self.random.choice([State.READY, State.UNMETERED])
            decide(self.outbox, number, state, body=self.body() if state is State.READY else None)

    def reprice(self) -> None:
        """Calls go back to the intake, and come to another place, or to the same."""
        self.outbox.reconsider(limit=self.random.randint(1, 3))
        recorded = self.outbox.recorded(limit=10)
        self.random.shuffle(recorded)
        for each in recorded:
            self.outbox.database.write("DELETE FROM intake WHERE seq = ?", (each.seq,))
            state = self.random.choice([State.READY, State.UNPRICED])
            decide(self.outbox, self.next(), state, body=self.body() if state is State.READY else None)

    def send(self) -> None:
        self.outbox.settle([entry.seq for entry in self.outbox.due(NOON, limit=2, max_bytes=1_000_000)], now=NOON)

    def refuse(self) -> None:
        for entry in self.outbox.due(NOON, limit=1, max_bytes=1_000_000):
            self.outbox.reject({entry.seq: "metadata: no"})

    def duplicate(self) -> None:
        if name := self.one_of("state LIKE 'held:%'"):
            self.outbox.database.write(
                "UPDATE events SET state = 'duplicate', body = NULL, call = NULL WHERE external_id = ?", (name,)
            )

    def purge_the_last(self) -> None:
        """What retention does to an idle service, whose newest row is old."""
        last = "seq = (SELECT max(seq) FROM events) AND state IN ('sent', 'duplicate', 'rejected')"
        rows = self.outbox.database.read(f"SELECT body FROM events WHERE {last} AND body IS NOT NULL")  # noqa: S608 - ours
        self.purged += [row[0] for row in rows]
        self.outbox.database.write(f"DELETE FROM events WHERE {last}", ())  # noqa: S608 - ours

    def forget_one(self) -> None:
        """What cannot be sent is forgotten, wherever it lies, and leaves a gap."""
        if name := self.one_of("state IN ('rejected', 'held: unattributed', 'held: unmetered')"):
            rows = self.outbox.database.read(
                "SELECT body FROM events WHERE external_id = ? AND body IS NOT NULL", (name,)
            )
            self.purged += [row[0] for row in rows]
            self.outbox.database.write("DELETE FROM events WHERE external_id = ?", (name,))

    def adopt(self) -> None:
        path = self.folder / f"orphan-{self.number}.db"
        orphan = Outbox(path)
        decide(orphan, self.next(), State.READY, body=self.body())
        decide(orphan, self.random.randint(1, self.number), State.READY, body=self.body())
        copy_outbox(orphan, self.outbox)
        orphan.close()

    def next(self) -> int:
        self.number += 1
        return self.number

    def body(self) -> str:
        return an_event(
            self.number,
            at=NOON - self.random.choice([0, 1, 3_600, 80_000, 90_000, 86_400 * 12, 86_400 * 29.4, 86_400 * 31]),
            customer=self.random.choice(["alice", "bob"]),
            model=self.random.choice(["gpt-4o", "claude"]),
            cost_nanos=self.random.choice([None, 0, 1, 2**53 + 1, 2**63 - 1, 2**70]),
        )

    def one_of(self, condition: str) -> str | None:
        query = f"SELECT external_id FROM events WHERE {condition}"  # noqa: S608 - ours
        names = [str(row[0]) for row in self.outbox.database.read(query)]
        return self.random.choice(names) if names else None


CHANGES = [
    Life.ready,
    Life.held,
    Life.held_is_decided,
    Life.reprice,
    Life.send,
    Life.refuse,
    Life.duplicate,
    Life.purge_the_last,
    Life.adopt,
    Life.forget_one,
]
STEPS = [*CHANGES, Life.held, Life.forget_one, Life.purge_the_last, "look", "look", "count", "count", "count"]


@given(
    seed=st.integers(0, 2**32),
    rows_at_once=st.integers(1, 4),
    steps=st.lists(st.sampled_from(STEPS), min_size=30, max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_every_frozen_event_is_counted_once_whatever_happens_meanwhile(
    seed: int, rows_at_once: int, steps: list[object]
) -> None:
    """An operator believes the sum, so it has to be that of the ledger, to the last billionth."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_count, "ROWS_AT_ONCE", rows_at_once)
        patch.setattr(ledger_count, "MIN_ROWS_AT_ONCE", 1)
        life = Life(Path(folder), seed)
        count = a_count(life.outbox)
        looks = count.count()
        for step in steps:
            if step == "look":
                # In the middle of a count the ledger goes on changing.
                if next(looks, None) is None and life.random.random() < 0.5:
                    looks = count.count()
            elif step == "count":
                count_all(count)
                looks = count.count()
            else:
                assert callable(step)
                step(life)
        for _ in looks:
            pass
        count_all(count)

        assert count.is_complete
        assert not count.unreadable
        kept = bodies_of(life.outbox)
        if not life.purged:
            assert shown(count, WINDOW) == plain_sums(kept, WINDOW)
        # What retention took may have been counted before.
        told, most = shown(count, WINDOW), plain_sums([*kept, *life.purged], WINDOW)
        for key, (nanos, events, unpriced) in plain_sums(kept, WINDOW).items():
            assert nanos <= told[key][0] <= most[key][0]
            assert events <= told[key][1] <= most[key][1]
            assert unpriced <= told[key][2] <= most[key][2]
        assert told.keys() <= most.keys()
        life.outbox.close()


def test_a_held_call_is_counted_when_it_has_a_price(outbox: Outbox) -> None:
    """It becomes ready in its place, which was passed long ago."""
    decide(outbox, 1, State.UNPRICED)
    decide(outbox, 2, State.READY, body=an_event(2, cost_nanos=5))
    count = a_count(outbox)
    count_all(count)
    assert_exact(count, outbox)

    decide(outbox, 1, State.READY, body=an_event(1, customer="bob", cost_nanos=7))
    count_all(count)

    assert_exact(count, outbox)
    assert shown(count, WINDOW)["customer", "hours", NOON_HOUR, "bob"] == (7, 1, 0)


def test_a_row_that_has_the_number_of_a_row_that_is_gone_is_counted(outbox: Outbox) -> None:
    """SQLite gives the number of the last row again, when that row is deleted."""
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=1))
    decide(outbox, 2, State.UNPRICED)
    count = a_count(outbox)
    count_all(count)

    assert outbox.reconsider(limit=1) == 1
    outbox.database.write("DELETE FROM intake", ())
    decide(outbox, 3, State.READY, body=an_event(3, cost_nanos=3))
    count_all(count)

    assert [row[0] for row in outbox.database.read("SELECT seq FROM events ORDER BY seq")] == [1, 2]
    assert_exact(count, outbox)


@pytest.mark.parametrize("rows_at_once", [1, 300])
def test_a_number_that_was_a_gap_between_held_calls_may_come(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    """When the held ones behind it go, it is the next."""
    monkeypatch.setattr(ledger_count, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(ledger_count, "MIN_ROWS_AT_ONCE", 1)
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=1))
    decide(outbox, 2, State.UNATTRIBUTED)
    decide(outbox, 3, State.UNPRICED)
    outbox.database.write("DELETE FROM events WHERE external_id = 'event-2'", ())
    count = a_count(outbox)
    count_all(count)

    outbox.reconsider(limit=1)
    outbox.database.write("DELETE FROM intake", ())
    for number in (4, 5, 6):
        decide(outbox, number, State.READY, body=an_event(number, cost_nanos=10**number))
    count_all(count)

    assert [row[0] for row in outbox.database.read("SELECT seq FROM events ORDER BY seq")] == [1, 2, 3, 4]
    assert_exact(count, outbox)


def test_a_gap_that_is_filled_in_the_middle_of_a_count_is_counted(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks the held call behind it goes, and newer events come."""
    monkeypatch.setattr(ledger_count, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(ledger_count, "MIN_ROWS_AT_ONCE", 1)
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=1))
    count = a_count(outbox)
    count_all(count)
    decide(outbox, 2, State.UNATTRIBUTED)
    decide(outbox, 3, State.UNPRICED)
    outbox.database.write("DELETE FROM events WHERE external_id = 'event-2'", ())

    looks = count.count()
    while 3 not in count._watched:
        next(looks)
    outbox.reconsider(limit=1)
    outbox.database.write("DELETE FROM intake", ())
    for number in (4, 5, 6):
        decide(outbox, number, State.READY, body=an_event(number, cost_nanos=10**number))
    for _ in looks:
        pass
    count_all(count)

    assert_exact(count, outbox)


def test_a_ledger_that_retention_has_emptied_is_counted_anew(outbox: Outbox) -> None:
    """A service that was idle for a month begins at number 1 again."""
    for number in (1, 2, 3):
        decide(outbox, number, State.READY, body=an_event(number, cost_nanos=1))
    count = a_count(outbox)
    count_all(count)

    outbox.database.write("DELETE FROM events", ())
    decide(outbox, 4, State.READY, body=an_event(4, cost_nanos=100))
    count_all(count)

    assert_exact(count, outbox)


def test_the_newest_events_are_counted_first(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a ledger of millions, the last hour is what an operator looks for."""
    monkeypatch.setattr(ledger_count, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(ledger_count, "MIN_ROWS_AT_ONCE", 2)
    for number in range(1, 8):
        decide(outbox, number, State.READY, body=an_event(number, customer=f"c{number}", cost_nanos=number))
    count = a_count(outbox)
    looks = count.count()

    next(looks)
    next(looks)

    assert {name for *_, name in shown(count, WINDOW)} == {"c7", "c6", "gpt-4o"}
    assert (count.counted, count.places, count.is_complete) == (2, 7, False)
    for _ in looks:
        pass
    assert (count.counted, count.places, count.is_complete) == (7, 7, True)
    assert_exact(count, outbox)


def test_a_damaged_event_is_counted_as_unreadable_and_hides_no_other(outbox: Outbox) -> None:
    """One bad sector must not make a month's spend unknown."""
    deep = "[" * 1_500 + "]" * 1_500
    bodies: list[object] = [
        "no JSON",
        "5",
        "{}",
        b"\xff\xfe",
        7,
        '{"timestamp": "yesterday"}',
        '{"timestamp": "2026-10-01T12:00:00"}',
        f'{{"timestamp": "2026-10-01T12:00:00Z", "name": {deep}}}',
        f'{{"timestamp": "2026-10-01T12:00:00Z", "metadata": {{"cost_nanos": {"9" * 5_000}}}}}',
    ]
    for number, body in enumerate(bodies, start=1):
        decide(outbox, number, State.READY, body="{}")
        outbox.database.write("UPDATE events SET body = ? WHERE external_id = ?", (body, f"event-{number}"))
    decide(outbox, 99, State.READY, body=an_event(99, cost_nanos=9))
    count = a_count(outbox)

    count_all(count)

    assert count.unreadable == len(bodies)
    assert shown(count, WINDOW)["customer", "hours", NOON_HOUR, "user_42"] == (9, 1, 0)


def test_a_damaged_row_can_be_the_last(outbox: Outbox) -> None:
    """Whatever stands in it, it is still there or it is not; everything must not be counted anew for ever."""
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=9))
    outbox.database.write("UPDATE events SET external_id = CAST(x'ff' AS TEXT), recorded_at = 'noon'", ())
    count = a_count(outbox)

    for _ in range(3):
        assert len(list(count.count())) < 5
    assert_exact(count, outbox)


@pytest.mark.parametrize(
    ("nanos", "counted", "why"),
    [
        (2**53 + 1, 2**53 + 1, "a double would lose the last digit"),
        (2**80 + 1, 2**80 + 1, "SQLite's own integers end before"),
        (-5, -5, "a function of the user's may give some back"),
        (0, 0, "free"),
        (True, None, "a truth value is no amount"),
        (1.5, None, "billionths are whole"),
        ("7", None, "text is no amount"),
    ],
)
def test_amounts_keep_every_digit_and_what_is_none_is_no_price(
    outbox: Outbox, nanos: object, counted: int | None, why: str
) -> None:
    """`map_metadata` may write anything there."""
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=nanos))
    count = a_count(outbox)

    count_all(count)

    expected = (0, 1, 1) if counted is None else (counted, 1, 0)
    assert shown(count, WINDOW)["model", "days", NOON_HOUR // 24, "gpt-4o"] == expected, why


def test_what_is_no_call_to_a_model_is_named_after_its_event(outbox: Outbox) -> None:
    """A download has no model, and is not one model with all others that have none."""
    decide(outbox, 1, State.READY, body=an_event(1, model=None))
    count = a_count(outbox)

    count_all(count)

    assert count.models.names == {("event", "llm_usage")}


def test_an_event_from_the_future_is_counted_at_the_time_it_is_sent_with(outbox: Outbox) -> None:
    """The clock was wrong, and Polar's time is written into the event before it is taken."""
    decide(outbox, 1, State.READY, body=an_event(1, at=NOON + 86_400 * 400, cost_nanos=4))
    count = a_count(outbox)
    count_all(count)
    assert shown(count, WINDOW) == {}

    (entry,) = outbox.due(NOON, limit=1, max_bytes=1_000_000)
    outbox.redate({entry.seq: an_event(1, cost_nanos=4)})
    outbox.settle([entry.seq], now=NOON)
    count_all(count)

    assert_exact(count, outbox)
    assert shown(count, WINDOW)


def test_hours_and_days_leave_the_window_as_time_goes_by(outbox: Outbox) -> None:
    """A process that runs for a year keeps what it shows, and no more."""
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=4))
    window = WINDOW
    count = LedgerCount(outbox, lambda: window, lambda: 0.0)
    for hours in (0, 23, 24, 30, 29 * 24, 31 * 24, 33 * 24):
        window = Window(NOON_HOUR + hours)
        count_all(count)
        assert shown(count, window) == plain_sums(bodies_of(outbox), window)

    assert (count.customers.hours, count.customers.days, count.customers.names) == ({}, {}, set())


def test_a_clock_that_is_put_back_brings_back_what_was_forgotten(outbox: Outbox) -> None:
    """Somebody had set it to next year."""
    decide(outbox, 1, State.READY, body=an_event(1, cost_nanos=4))
    window = Window(NOON_HOUR + 24 * 365)
    count = LedgerCount(outbox, lambda: window, lambda: 0.0)
    count_all(count)

    window = WINDOW
    count_all(count)

    assert_exact(count, outbox)


def test_names_beyond_the_bound_are_summed_up_together(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids come from spans: a million of them must not fill the memory, and no cent may be missing from the total."""
    monkeypatch.setattr(sums, "MAX_NAMES", 10)
    for number in range(1, 41):
        decide(outbox, number, State.READY, body=an_event(number, customer=f"c{number}", cost_nanos=number))
    clock = Clock(0.0)
    count = LedgerCount(outbox, lambda: WINDOW, clock)

    count_all(count)
    chart = sums.build_chart([count.customers.hours], WINDOW.hours)

    assert count.customers.is_folded
    assert len(count.customers.names) == 10
    assert (chart.total.nanos, chart.total.events) == (sum(range(1, 41)), 40)
    assert (len(chart.series), chart.series[-1].name) == (9, None)
    # By and by the names of others have their turn.
    outbox.database.write("DELETE FROM events WHERE seq <= 35", ())
    clock.now = 4_000.0
    count_all(count)
    assert not count.is_partial
    assert_exact(count, outbox)


def test_more_held_calls_than_can_be_watched_are_counted_anew_later(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model without a price may hold a million; when it has one, all of them are spend."""
    monkeypatch.setattr(ledger_count, "MAX_WATCHED", 3)
    for number in range(1, 11):
        decide(outbox, number, State.UNPRICED)
    clock = Clock(0.0)
    count = LedgerCount(outbox, lambda: WINDOW, clock)
    count_all(count)
    assert count._is_overfull

    for number in range(1, 11):
        decide(outbox, number, State.READY, body=an_event(number, cost_nanos=number))
    clock.now = 4_000.0
    count_all(count)

    assert not count.is_partial
    assert_exact(count, outbox)


def test_the_chart_has_the_highest_and_the_rest_together(outbox: Outbox) -> None:
    """Thousands of customers are no chart."""
    for number in range(1, 1_001):
        decide(outbox, number, State.READY, body=an_event(number, customer=f"c{number:04}", cost_nanos=number))
    count = a_count(outbox)
    count_all(count)

    chart = sums.build_chart([count.customers.days, count.customers.days], WINDOW.days)

    assert [series.name for series in chart.series[:2]] == [("customer", "c1000"), ("customer", "c0999")]
    assert chart.others == 992
    assert [series.total.nanos for series in chart.series[:2]] == [2_000, 1_998]
    assert sum(sum(series.nanos) for series in chart.series) == chart.total.nanos == 1_000 * 1_001
