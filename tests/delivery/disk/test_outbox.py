"""Specifies the durable queue and ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import Decided, LedgerRow, Recorded, State
from tests.delivery.support import NOON, a_body, a_record, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox-1.db")
    yield opened
    opened.close()


def decide(outbox: Outbox, external_id: str, state: State, *, body: str | None = None) -> int:
    """Record a call and decide it; how many were known."""
    outbox.record(a_record(), NOON)
    (recorded,) = outbox.recorded(limit=10)
    reason = None if state is State.READY else "because"
    return outbox.decide([Decided(recorded, external_id, state, reason, body)], now=NOON)


def test_what_was_recorded_is_there_after_reopening_the_file(tmp_path: Path) -> None:
    """A restart goes on where the last process ended."""
    first = Outbox(tmp_path / "outbox-1.db")
    first.record("a call", NOON)
    first.close()

    second = Outbox(tmp_path / "outbox-1.db")

    assert [(r.recorded_at, r.call) for r in second.recorded(limit=10)] == [(NOON, "a call")]
    second.close()


def test_a_decided_call_leaves_the_intake_for_the_ledger(outbox: Outbox) -> None:
    """Each call is in exactly one state."""
    decide(outbox, "e1", State.READY, body=a_body(1))

    assert outbox.counts() == {State.READY: 1}
    assert outbox.ledger() == [LedgerRow("e1", State.READY, None, a_body(1))]


def test_a_call_recorded_twice_is_one_event(outbox: Outbox) -> None:
    """Two processors, or a replay, see the same call: it is billed once."""
    first = decide(outbox, "e1", State.READY, body=a_body(1))
    second = decide(outbox, "e1", State.READY, body=a_body(2))

    assert (first, second) == (0, 1)
    assert outbox.ledger() == [LedgerRow("e1", State.READY, None, a_body(1))]


def test_a_call_that_was_sent_is_not_sent_again_when_it_is_recorded_again(outbox: Outbox) -> None:
    """The ledger remembers what Polar has for as long as it is kept."""
    ready(outbox, [1])
    (entry,) = outbox.due(NOON, limit=10, max_bytes=1_000_000)
    outbox.settle([entry.seq], now=NOON)

    decide(outbox, "event-1", State.READY, body=a_body(1))

    assert outbox.counts() == {State.SENT: 1}


def test_a_held_call_gives_way_to_the_same_call_that_can_be_sent(outbox: Outbox) -> None:
    """A span without identity and one with it, of the same response: the money is not held back."""
    decide(outbox, "e1", State.UNATTRIBUTED)

    decide(outbox, "e1", State.READY, body=a_body(1))

    assert outbox.ledger() == [LedgerRow("e1", State.READY, None, a_body(1))]


def test_due_events_come_oldest_first_and_not_before_their_time(outbox: Outbox) -> None:
    """A postponed event must not hold up the ones behind it, nor come early."""
    ready(outbox, [1], now=NOON)
    ready(outbox, [2], now=NOON + 1)
    ready(outbox, [3], now=NOON + 2)
    (first, _) = outbox.due(NOON + 1, limit=10, max_bytes=1_000_000)
    outbox.postpone([first.seq], due_at=NOON + 60, reason="later")

    assert [e.body for e in outbox.due(NOON + 2, limit=10, max_bytes=1_000_000)] == [a_body(2), a_body(3)]
    assert outbox.next_due_at(NOON) == NOON + 1


@pytest.mark.parametrize(
    ("max_bytes", "taken"),
    [
        pytest.param(10, 1, id="a body larger than the limit still goes, alone"),
        pytest.param(2_000, 2, id="two of 1000 bytes fit"),
        pytest.param(1_000_000, 3, id="all fit"),
    ],
)
def test_a_batch_is_cut_by_bytes(outbox: Outbox, max_bytes: int, taken: int) -> None:
    """Polar refuses a body above 10 MiB whole."""
    ready(outbox, [1, 2, 3], body="x" * 1_000)

    assert len(outbox.due(NOON, limit=10, max_bytes=max_bytes)) == taken


def test_a_rejected_event_stays_with_polars_reason(outbox: Outbox) -> None:
    """A person has to see why, and to be able to send it after mending it."""
    ready(outbox, [1, 2])
    (first, second) = outbox.due(NOON, limit=10, max_bytes=1_000_000)

    outbox.reject({first.seq: "Customer not found."})
    outbox.settle([second.seq], now=NOON)

    assert [(row.state, row.reason) for row in outbox.ledger()] == [
        (State.REJECTED, "Customer not found."),
        (State.SENT, None),
    ]
    assert outbox.waiting() == 0


def test_in_memory_a_sent_event_is_forgotten(tmp_path: Path) -> None:
    """Memory is a bounded stand-in for a failed disk, not a ledger."""
    outbox = Outbox(None)
    ready(outbox, [1])
    (entry,) = outbox.due(NOON, limit=10, max_bytes=1_000_000)

    outbox.settle([entry.seq], now=NOON)

    assert outbox.counts() == {}
    assert list(tmp_path.iterdir()) == []
    outbox.close()


def test_unpriced_and_unbuildable_calls_can_be_decided_again(outbox: Outbox) -> None:
    """A new price list or a mended user function must find them."""
    decide(outbox, "e1", State.UNPRICED)
    decide(outbox, "e2", State.UNBUILDABLE)
    decide(outbox, "e3", State.UNATTRIBUTED)

    assert outbox.reconsider(limit=1) == 1
    assert outbox.reconsider(limit=10) == 1
    assert outbox.reconsider(limit=10) == 0
    assert outbox.counts() == {State.RECORDED: 2, State.UNATTRIBUTED: 1}


def test_retention_forgets_settled_events_only(outbox: Outbox) -> None:
    """What can still become money is never forgotten, however old it is."""
    for number, state in enumerate(State):
        if state is not State.RECORDED:
            decide(outbox, f"e{number}", state, body=a_body(number))

    assert outbox.purge(before=NOON + 1, after_seq=0, limit=100) == 9
    assert outbox.forget_unsent(now=NOON, retention_s=60.0) == 0
    assert outbox.forget_unsent(now=NOON + 61.0, retention_s=60.0) == 3

    assert set(outbox.counts()) == {State.READY, State.UNPRICED, State.UNBUILDABLE}


def test_retention_stops_at_what_is_young(outbox: Outbox) -> None:
    """The ledger is what reconciliation compares with."""
    decide(outbox, "e1", State.SENT)

    assert outbox.purge(before=NOON, after_seq=0, limit=100) is None
    assert outbox.counts() == {State.SENT: 1}


def test_retention_works_in_portions(outbox: Outbox) -> None:
    """A caller's thread never waits for the forgetting of a million rows."""
    for number in range(5):
        decide(outbox, f"e{number}", State.SENT)

    first = outbox.purge(before=NOON + 1, after_seq=0, limit=2)
    assert (first, outbox.counts()) == (2, {State.SENT: 3})
    second = outbox.purge(before=NOON + 1, after_seq=2, limit=2)
    assert (second, outbox.counts()) == (4, {State.SENT: 1})


@pytest.mark.parametrize("set_back_s", [7_200.0, 86_400.0 * 365])
def test_a_clock_that_is_set_back_holds_nothing_back(outbox: Outbox, set_back_s: float) -> None:
    """What was due then is due now: nobody waits a year for it."""
    ready(outbox, [1], now=NOON)

    assert outbox.next_due_at(NOON - set_back_s) == NOON - set_back_s
    assert len(outbox.due(NOON - set_back_s, limit=10, max_bytes=1_000_000)) == 1


def test_a_reason_may_hold_any_text(outbox: Outbox) -> None:
    """It comes from exceptions and from answers; SQLite refuses a lone surrogate, and with it the whole batch."""
    decide(outbox, "e1", State.READY, body=a_body(1))
    (entry,) = outbox.due(NOON, limit=1, max_bytes=1_000_000)

    outbox.postpone([entry.seq], due_at=NOON, reason="\ud800")
    outbox.reject({entry.seq: "\ud800"})
    recorded = Recorded(seq=99, recorded_at=NOON, call="\udcff")
    outbox.decide([Decided(recorded, "e2", State.UNBUILDABLE, reason="\udcff")], now=NOON)

    assert [row.reason for row in outbox.ledger()] == ["\\ud800", "\\udcff"]
