"""Specifies what is known of the outboxes: every call once, wherever it is on its way."""

from __future__ import annotations

import json
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.pricing import Price
from otel_polar.billing.usage import TokenUsage, Unmetered
from otel_polar.credits.metering import MeterRule
from otel_polar.credits.outboxes import REMEMBERED_S, Outboxes
from otel_polar.credits.payer import payer_of
from otel_polar.delivery.disk.glance import MovedError, glance
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import Decided, State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.polar_api.meters import Counting, Meter, Unit
from tests.delivery.support import NOON, a_record, ready, settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

USER = payer_of(external_id="user_42")


@pytest.fixture(autouse=True)
def nobody_adopts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipelines of other tests may live still; here is none."""
    monkeypatch.setattr("otel_polar.credits.outboxes.owns_files", lambda: False)


def looking_at(directory: Path, summed: str = "input_tokens") -> Outboxes:
    every: dict[str, Any] = {"conjunction": "and", "clauses": []}
    counting = Counting.of(every, {"func": "sum", "property": summed})
    rule = MeterRule(Meter("id", "meter", counting, Unit(), is_archived=False))
    return Outboxes(directory, rule, settings=settings(), price=lambda _: Price(Decimal("0.000002"), "test"))


def waiting(outboxes: Outboxes, now: float = NOON, payer: str = USER) -> Decimal:
    outboxes.look(now)
    return outboxes.of([payer], asked_at=NOON + 10, counted_at=NOON - 60).waiting


def test_a_call_is_counted_once_from_the_journal_to_polar(outbox: Outbox, tmp_path: Path) -> None:
    """It moves while it is looked at."""
    outboxes = looking_at(tmp_path)
    ready(outbox, [5, 6])
    outbox.record(a_record(7), NOON)

    in_journal = waiting(outboxes)
    outbox.take_in()
    in_intake = waiting(outboxes)
    first, second = [entry.seq for entry in outbox.due(NOON, limit=10, max_bytes=10**6)]
    outbox.settle([first], now=NOON + 5)
    sent_before = waiting(outboxes, NOON + 6)
    outbox.settle([second], now=NOON + 15)
    sent_after = waiting(outboxes, NOON + 16)

    # 5 and 6 tokens are in the bodies, 100 in the recorded call.
    assert [in_journal, in_intake, sent_before, sent_after] == [111, 111, 106, 106]
    assert outboxes.of([USER], asked_at=NOON + 20, counted_at=NOON - 60).waiting == 100
    assert outboxes.of([USER], asked_at=NOON + 20, counted_at=NOON - 60).sent_since_counted == 11
    assert outboxes.of([USER], asked_at=NOON + 20, counted_at=NOON + 10).sent_since_counted == 6
    assert outboxes.of([USER], asked_at=NOON + 20, counted_at=None).sent_since_counted == 0


def test_what_a_recorded_call_will_cost_is_known_before_it_is_priced(outbox: Outbox, tmp_path: Path) -> None:
    """It is priced seconds later, and the next call will not wait for that."""
    outbox.record(a_record(1), NOON)

    assert waiting(looking_at(tmp_path, "cost_nanos")) == 2_000


def test_a_call_that_is_recorded_twice_is_one(outbox: Outbox, tmp_path: Path) -> None:
    """A redelivery is one event for Polar, and one for the customer."""
    outbox.record_all([a_record(1), a_record(1)], NOON)
    outbox.record(a_record(1), NOON)

    assert waiting(looking_at(tmp_path)) == 100


def test_what_is_held_or_rejected_is_not_pending(outbox: Outbox, tmp_path: Path) -> None:
    """Polar is not told of it, so nobody uses credits for it until a person decides."""
    outbox.record(a_record(1, customer=Unattributed("nobody")), NOON)
    outbox.record(a_record(2, usage=Unmetered("no counts")), NOON)
    outboxes = looking_at(tmp_path)
    undecided = waiting(outboxes)
    held = [Decided(one, f"event-{one.seq}", State.UNMETERED) for one in outbox.recorded(limit=10)]
    outbox.decide(held, now=NOON)

    assert [undecided, waiting(outboxes)] == [0, 0]


def test_what_polar_rejects_is_pending_no_more(outbox: Outbox, tmp_path: Path) -> None:
    """It will not be billed."""
    ready(outbox, [5])
    outboxes = looking_at(tmp_path)
    before = waiting(outboxes)
    outbox.reject({outbox.due(NOON, limit=1, max_bytes=10)[0].seq: "no"})

    assert [before, waiting(outboxes)] == [5, 0]
    assert outbox.counts() == {State.REJECTED: 1}


def test_customers_are_known_by_either_id(outbox: Outbox, tmp_path: Path) -> None:
    """One call names them by your id, another one by Polar's."""
    polar_id = "550e8400-e29b-41d4-a716-446655440000"
    outbox.record(a_record(1, customer=Customer(customer_id=polar_id)), NOON)
    outboxes = looking_at(tmp_path)

    assert waiting(outboxes) == 0
    assert waiting(outboxes, payer=payer_of(polar_id=polar_id)) == 100


def test_a_file_that_goes_takes_what_waits_in_it_along(outbox: Outbox, tmp_path: Path) -> None:
    """It has been adopted, and is seen where it is now, or a person has put it aside."""
    ready(outbox, [5])
    outboxes = looking_at(tmp_path)
    before = waiting(outboxes)
    outbox.close()
    for path in tmp_path.glob("outbox-*"):
        path.unlink()

    assert [before, waiting(outboxes)] == [5, 0]


def test_a_file_without_an_owner_is_left_alone_where_it_may_be_adopted(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite has opened for reading only, it opens for nothing else; what was known of it holds meanwhile."""
    ready(outbox, [5])
    outboxes = looking_at(tmp_path)
    before = waiting(outboxes)
    monkeypatch.setattr("otel_polar.credits.outboxes.owns_files", lambda: True)
    monkeypatch.setattr("otel_polar.credits.outboxes.glance", None)
    for segment in tmp_path.glob("*.journal"):
        segment.unlink()

    assert [before, waiting(outboxes), waiting(looking_at(tmp_path))] == [5, 5, 0]


@pytest.mark.parametrize(("after_s", "sent"), [(0.0, 5), (REMEMBERED_S + 1, 0)])
def test_what_was_sent_is_remembered_for_hours_and_not_for_ever(
    outbox: Outbox, tmp_path: Path, after_s: float, sent: int
) -> None:
    """Polar's count is up to three hours old, and memory is not endless."""
    ready(outbox, [5])
    outbox.settle([outbox.due(NOON, limit=1, max_bytes=10)[0].seq], now=NOON)
    outboxes = looking_at(tmp_path)
    outboxes.look(NOON)
    outboxes.look(NOON + after_s)

    assert outboxes.of([USER], asked_at=NOON + 10, counted_at=NOON - 60).sent_since_counted == sent


def test_a_damaged_event_counts_nothing_and_stops_nothing(outbox: Outbox, tmp_path: Path) -> None:
    """Polar refuses it; the good ones beside it go on."""
    body = {"name": "llm_usage", "external_customer_id": "user_42", "metadata": {"input_tokens": "many"}}
    ready(outbox, [1], body=json.dumps(body))
    ready(outbox, [2], body="not even JSON")
    ready(outbox, [3])

    assert waiting(looking_at(tmp_path)) == 3


def test_a_file_that_cannot_be_read_is_told_of(outbox: Outbox, tmp_path: Path) -> None:
    """What waits in it is missing in what customers have left."""
    ready(outbox, [5])
    (tmp_path / "outbox-11111111.db").write_bytes(b"no database" * 500)
    outboxes = looking_at(tmp_path)

    assert waiting(outboxes) == 5
    assert outboxes.trouble is not None
    assert "outbox-11111111.db" in outboxes.trouble


def test_a_journal_that_nobody_reads_on_is_read_to_its_end(outbox: Outbox, tmp_path: Path) -> None:
    """Its owner may be busy with a request for minutes, and half of a megabyte is a thousand calls."""
    outbox.record_all([a_record(number) for number in range(1_500)], NOON)

    assert waiting(looking_at(tmp_path)) == 1_500 * 100


def test_more_calls_than_can_be_looked_at_are_told_of(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has to know that credits are given out twice."""
    monkeypatch.setattr("otel_polar.credits.outboxes.MAX_RECORDED", 10)
    outbox.record_all([a_record(number) for number in range(11)], NOON)
    outboxes = looking_at(tmp_path)

    assert waiting(outboxes) == 1_000
    assert "more than 10 calls" in (outboxes.trouble or "")


def test_tokens_of_every_kind_are_those_of_the_event(outbox: Outbox, tmp_path: Path) -> None:
    """What was read from a cache is input, too."""
    usage = TokenUsage(uncached_input_tokens=100, visible_output_tokens=10, cache_read_tokens=1_000)
    outbox.record(a_record(1, usage=usage), NOON)

    assert waiting(looking_at(tmp_path)) == 1_100


def test_a_file_that_changes_while_it_is_looked_at_is_looked_at_again(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner has begun to write: that is no trouble, and nothing of it is missing."""
    ready(outbox, [1])
    moved = iter([True, True])

    @contextmanager
    def changing(path: Path) -> Iterator[sqlite3.Connection]:
        with glance(path) as connection:
            yield connection
        if next(moved, False):
            raise MovedError("it has changed")

    monkeypatch.setattr("otel_polar.credits.outboxes.glance", changing)
    outboxes = looking_at(tmp_path)

    assert waiting(outboxes) == 1
    assert outboxes.trouble is None


def test_what_another_process_takes_over_meanwhile_is_not_missed(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to a file that has been looked at already, and its own one is gone: nothing is wrong with that."""
    ready(outbox, [1])
    orphan = Outbox(tmp_path / "outbox-zzzzzzzz.db")
    ready(orphan, [20])

    @contextmanager
    def taken_over(path: Path) -> Iterator[sqlite3.Connection]:
        if path == orphan.path and path.exists():
            copy_outbox(orphan, outbox)
            orphan.close()
            path.unlink()
        with glance(path) as connection:
            yield connection

    monkeypatch.setattr("otel_polar.credits.outboxes.glance", taken_over)
    outboxes = looking_at(tmp_path)

    assert waiting(outboxes) == 1 + 20
    assert outboxes.trouble is None
