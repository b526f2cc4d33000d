"""Specifies how one outbox is carried over to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk import transfer
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import copy_outbox, move_outbox
from tests.delivery.support import NOON, PAGE_BYTES, a_body, a_record, damage_last_page, damage_page, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox-1.db")
    yield opened
    opened.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox-2.db")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PORTION", 2)


def test_everything_is_copied_with_its_frozen_bodies(source: Outbox, target: Outbox) -> None:
    """An amount that Polar may already have must not be computed again after an adoption."""
    ready(source, [1, 2, 3])
    source.record(a_record(4), NOON)

    assert copy_outbox(source, target) is None

    assert target.counts() == {State.RECORDED: 1, State.READY: 3}
    assert [row.body for row in target.ledger()] == [a_body(1), a_body(2), a_body(3)]
    assert source.counts() == target.counts()


def test_copying_twice_adds_no_event_twice(source: Outbox, target: Outbox) -> None:
    """A process that dies while adopting leaves the other file, and the next one copies it again."""
    ready(source, [1, 2])

    copy_outbox(source, target)
    copy_outbox(source, target)

    assert target.counts() == {State.READY: 2}


def test_what_is_moved_is_not_in_the_source_any_more(target: Outbox) -> None:
    """Calls kept in memory while the disk was full go to disk, once, when it has room."""
    memory = Outbox(None)
    ready(memory, [1, 2, 3])
    memory.record(a_record(4), NOON)

    assert move_outbox(memory, target) == 4
    assert move_outbox(memory, target) == 0

    assert target.counts() == {State.RECORDED: 1, State.READY: 3}
    assert memory.counts() == {}
    memory.close()


def test_what_can_be_read_of_a_damaged_source_is_copied(tmp_path: Path, target: Outbox) -> None:
    """One bad sector must not cost all calls of a process."""
    path = tmp_path / "outbox-3.db"
    written = Outbox(path)
    for number in range(100):
        written.record(a_record(number), NOON)
    written.take_in()
    written.close()
    damage_last_page(path)
    source = Outbox(path)

    damage = copy_outbox(source, target)

    assert "malformed" in str(damage)
    assert 0 < target.waiting() < 100
    source.close()


def test_a_row_that_is_no_text_any_more_is_copied_like_the_others(source: Outbox, target: Outbox) -> None:
    """It is decided later, where it is held for a person to look at."""
    source.database.write("INSERT INTO intake (recorded_at, call) VALUES (?, CAST(x'FF22' AS TEXT))", (NOON,))
    source.record(a_record(1), NOON)

    assert copy_outbox(source, target) is None

    assert target.waiting() == 2


def test_what_lies_behind_the_damage_is_copied_too(tmp_path: Path, target: Outbox) -> None:
    """Also where the first rows were forgotten long ago, and row numbers begin in the thousands."""
    path = tmp_path / "outbox-3.db"
    written = Outbox(path)
    with written.database.transaction() as transaction:
        transaction.run_many(
            "INSERT INTO intake (seq, recorded_at, call) VALUES (?, ?, ?)",
            [(number + 50_000, NOON, a_record(number)) for number in range(3_000)],
        )
    written.close()
    damage_page(path, page=path.stat().st_size // PAGE_BYTES // 2)
    source = Outbox(path)

    assert copy_outbox(source, target) is not None

    assert 2_900 < target.waiting() < 3_000
    source.close()


HELD, REJECTED, READY = State.UNATTRIBUTED, State.REJECTED, State.READY
SENT, DUPLICATE, DISCARDED = State.SENT, State.DUPLICATE, State.DISCARDED
HERE_AND_THERE = {
    # here: what it becomes, where it is this there
    HELD: (HELD, REJECTED, READY, SENT, DUPLICATE, DISCARDED),
    REJECTED: (REJECTED, REJECTED, READY, SENT, REJECTED, DISCARDED),
    READY: (READY,) * 6,
    SENT: (SENT,) * 6,
    DUPLICATE: (DUPLICATE, DUPLICATE, DUPLICATE, SENT, DUPLICATE, DUPLICATE),
    DISCARDED: (DISCARDED, DISCARDED, DISCARDED, SENT, DISCARDED, DISCARDED),
}


@pytest.mark.parametrize(
    ("here", "there", "becomes"),
    [
        (here, there, becomes)
        for here, row in HERE_AND_THERE.items()
        for there, becomes in zip(HERE_AND_THERE, row, strict=True)
    ],
)
def test_a_call_in_two_files_becomes_what_is_certain(
    source: Outbox, target: Outbox, here: State, there: State, becomes: State
) -> None:
    """What Polar has or may have stays; what a person has discarded is not brought back; nothing is held for ever."""
    for outbox, state in ((target, here), (source, there)):
        ready(outbox, [1, 2])
        outbox.database.write("UPDATE events SET state = ? WHERE external_id = 'event-1'", (state.value,))
        outbox.database.write("UPDATE events SET reason = 'another span of event-2' WHERE state = 'duplicate'", ())

    copy_outbox(source, target)

    assert [row.state for row in target.ledger()] == [becomes, READY]


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("state", [READY, SENT])
def test_two_spans_that_are_each_another_one_of_the_other_leave_the_one_that_is_billed(
    source: Outbox, target: Outbox, first: int, state: State
) -> None:
    """Two processes saw them in another order: held as the one here, sent as the other there."""
    numbers = (first, 3 - first)
    for outbox, key, its_state, other in ((target, 1, HELD, 2), (source, 2, state, 1)):
        ready(outbox, numbers)
        outbox.database.write("UPDATE events SET state = ? WHERE external_id = ?", (its_state.value, f"event-{key}"))
        outbox.database.write(
            "UPDATE events SET state = 'duplicate', body = NULL, reason = ? WHERE external_id = ?",
            (f"another span of event-{key}", f"event-{other}"),
        )

    copy_outbox(source, target)

    assert {row.external_id: row.state for row in target.ledger()} == {"event-1": DUPLICATE, "event-2": state}


def test_another_span_of_what_is_on_its_way_is_not_sent_as_well(source: Outbox, target: Outbox) -> None:
    """Here both are known to be one call."""
    ready(source, [2])
    ready(target, [1, 2])
    target.database.write(
        "UPDATE events SET state = 'duplicate', reason = 'another span of event-1' WHERE external_id = 'event-2'",
        (),
    )

    copy_outbox(source, target)

    assert {row.external_id: row.state for row in target.ledger()} == {"event-1": READY, "event-2": DUPLICATE}


def test_who_was_named_by_a_person_there_is_named_here(source: Outbox, target: Outbox) -> None:
    """Both are held: there for want of a price only."""
    for outbox, call in ((target, a_record(1)), (source, a_record(1, is_assigned=True))):
        ready(outbox, [1])
        outbox.database.write("UPDATE events SET state = 'held: unpriced', call = ?", (call,))

    for _ in range(2):
        copy_outbox(source, target)
        assert target.database.read("SELECT call FROM events") == [(a_record(1, is_assigned=True),)]
        source.database.write("UPDATE events SET call = ?", (a_record(1),))
