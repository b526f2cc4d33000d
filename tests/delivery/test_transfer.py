"""Specifies how one outbox is carried over to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery import transfer
from otel_polar.delivery.outbox import Outbox
from otel_polar.delivery.rows import State
from otel_polar.delivery.transfer import copy_outbox, move_outbox
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
