"""Specifies what is told of the backlog, at any moment and by any clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import Decided, State
from otel_polar.delivery.metrics.backlog import Backlog, Look, OldestAge, look_at
from tests.delivery.support import NOON, a_record, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUR_S = 3_600.0
DAY_S = 86_400.0


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox-1.db")
    yield outbox
    outbox.close()


def test_a_look_counts_what_waits_and_what_a_person_has_to_see_to(outbox: Outbox) -> None:
    """Not what was sent: of that there may be millions, and nobody acts on it."""
    ready(outbox, [1, 2, 3], now=NOON + 1)
    outbox.record(a_record(4), NOON)
    outbox.record(a_record(5), NOON + 1)
    first, second = outbox.recorded(limit=10)
    outbox.decide([Decided(first, "held", State.UNPRICED, reason="unknown")], now=NOON)
    outbox.settle([entry.seq for entry in outbox.due(NOON + 2, limit=1, max_bytes=1)], now=NOON + 2)
    outbox.record(a_record(6), NOON + 3)

    look = look_at([outbox], recorded=6)
    waiting = {state: count for state, count in look.sizes.items() if count}
    assert waiting == {State.RECORDED: 2, State.READY: 2, State.UNPRICED: 1}
    assert (look.waiting, look.oldest_at, look.recorded) == (4, NOON + 1, 6)
    assert second.recorded_at == NOON + 1


def test_the_oldest_call_counts_wherever_it_lies(outbox: Outbox) -> None:
    """A call whose event keeps failing is due later than all others, and came before them."""
    ready(outbox, [1], now=NOON)
    (entry,) = outbox.due(NOON, limit=1, max_bytes=1)
    outbox.postpone([entry.seq], due_at=NOON + HOUR_S, reason="fails alone")
    ready(outbox, list(range(2, 900)), now=NOON + 60)

    assert look_at([outbox], recorded=0).oldest_at == NOON


def test_the_size_on_disk_is_that_of_all_files(outbox: Outbox, tmp_path: Path) -> None:
    """A call is in the journal first, then in the write-ahead log, and in the database at last."""
    outbox.record(a_record(1), NOON)

    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert look_at([outbox], recorded=1).bytes_on_disk == size
    assert any(file.suffix == ".journal" for file in tmp_path.iterdir())


def test_in_memory_there_are_no_files() -> None:
    """Calls lie there when the disk takes none."""
    outbox = Outbox(None)
    outbox.record(a_record(1), NOON)
    look = look_at([outbox], recorded=1)
    outbox.close()

    assert (look.bytes_on_disk, look.sizes[State.RECORDED]) == (0, 1)


def test_counting_does_not_go_through_the_whole_ledger(outbox: Outbox) -> None:
    """Every second, beside a million sent events: there is an index of each kind of the others."""
    queries: list[str] = []
    connection = outbox.database._connection
    connection.set_trace_callback(queries.append)
    look_at([outbox], recorded=0)
    connection.set_trace_callback(None)
    counts = [query for query in queries if "FROM events" in query and "count(*)" in query]

    plans = [" ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")) for query in counts]
    assert sorted(plan.split("USING")[1].split()[-1] for plan in plans) == ["held", "ready"]


def test_the_oldest_call_grows_older_by_itself() -> None:
    """Nobody looks while the delivery thread is stuck."""
    oldest = OldestAge()
    oldest.saw(NOON - 5, now=NOON, monotonic=100.0)

    assert oldest.age_s(107.0) == 12.0


@pytest.mark.parametrize(
    ("jump_s", "reason"),
    [(DAY_S, "set forward: the call would be a day old"), (-DAY_S, "set back: the call would be from the future")],
)
def test_setting_the_clock_makes_no_call_older_or_younger(jump_s: float, reason: str) -> None:
    """Virtual machines wake up with a clock that is set a moment later; an alarm must not believe it."""
    oldest = OldestAge()
    oldest.saw(NOON, now=NOON + 10, monotonic=10.0)
    oldest.saw(NOON, now=NOON + 20 + jump_s, monotonic=20.0)

    assert oldest.age_s(25.0) == 25.0, reason
    # The next one was recorded four seconds later, before the clock was set.
    oldest.saw(NOON + 4, now=NOON + 30 + jump_s, monotonic=30.0)
    assert 26.0 <= oldest.age_s(30.0) <= 30.0


def test_a_call_recorded_after_the_clock_was_set_is_as_old_as_it_is() -> None:
    """An outage goes on, and what came first has been sent."""
    oldest = OldestAge()
    oldest.saw(NOON, now=NOON + 10, monotonic=10.0)
    oldest.saw(NOON, now=NOON + DAY_S + 20, monotonic=20.0)
    oldest.saw(NOON + DAY_S + 15, now=NOON + DAY_S + 30, monotonic=30.0)

    assert oldest.age_s(30.0) == 15.0


def test_what_another_process_left_is_as_old_as_the_clock_says() -> None:
    """It is adopted in the middle of things; nothing else knows."""
    oldest = OldestAge()
    oldest.saw(NOON, now=NOON + 10, monotonic=10.0)
    oldest.saw(NOON - DAY_S, now=NOON + 20, monotonic=20.0)

    assert oldest.age_s(20.0) == DAY_S + 20.0


def a_look(recorded: int, waiting: int = 0, oldest_at: float | None = None) -> Look:
    sizes = dict.fromkeys(State, 0) | {State.RECORDED: waiting}
    return Look(sizes=sizes, bytes_on_disk=0, oldest_at=oldest_at, recorded=recorded)


def test_nothing_is_told_of_a_backlog_that_nobody_has_looked_at() -> None:
    """A 0 would say that all is well."""
    backlog = Backlog()

    assert backlog.sizes(5) == {}
    assert backlog.oldest_age_s(5, 10.0) is None


def test_what_was_recorded_since_waits_and_grows_older() -> None:
    """The thread that would look may be stuck, or not be there at all."""
    backlog = Backlog()
    backlog.saw(a_look(recorded=5), now=NOON, monotonic=10.0)

    assert backlog.oldest_age_s(5, 500.0) == 0.0
    assert backlog.sizes(8)[State.RECORDED] == 3
    assert backlog.oldest_age_s(8, 600.0) == 0.0
    assert backlog.oldest_age_s(9, 660.0) == 60.0
    backlog.saw(a_look(recorded=9), now=NOON, monotonic=700.0)
    assert backlog.oldest_age_s(9, 800.0) == 0.0


def test_a_call_that_is_only_in_the_journal_came_just_now() -> None:
    """Every step takes in what there was before it."""
    backlog = Backlog()
    backlog.saw(a_look(recorded=1, waiting=1), now=NOON, monotonic=10.0)

    assert backlog.oldest_age_s(1, 12.0) == 2.0
