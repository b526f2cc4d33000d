"""Specifies one step of delivery: resting, deciding, lingering, sending."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from otel_polar.billing.customer import Unattributed
from otel_polar.billing.pricing import Price, Unpriced
from otel_polar.billing.usage import Unmetered
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.outcome import Accepted, Failed
from otel_polar.delivery.sending.sender import Sender
from otel_polar.delivery.step import AGAIN_PORTION, IDLE_S, NO_REST, Delivery
from otel_polar.errors import OutboxDamagedError
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.polar_clock import PolarClock
from tests.delivery.support import DATE_OF_NOON, NOON, Clock, FarEnd, a_call, a_record, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from otel_polar.billing.call import ModelCall
    from otel_polar.delivery.outcome import Outcome


class AllAccepted(FarEnd):
    """A Polar that takes everything."""

    def __call__(self, bodies: Sequence[str]) -> Outcome:
        self.outcomes = [Accepted(len(bodies), 0)]
        return super().__call__(bodies)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox-1.db")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def one_dollar(_call: ModelCall) -> Price | Unpriced:
    return Price(Decimal(1), "test")


def a_delivery(
    outbox: Outbox,
    clock: Clock,
    far_end: FarEnd,
    *,
    price: Any = one_dollar,
    on_damaged: Callable[[Outbox], None] = lambda _: None,
    polar_clock: PolarClock | None = None,
    **options: Any,
) -> Delivery:
    notices = Notices()
    budget = Budget(600_000.0)
    return Delivery(
        on_damaged=on_damaged,
        outboxes=lambda: [outbox],
        settings=settings(**options),
        price=price,
        make_sender=lambda: Sender(
            far_end, budget=budget, notices=notices, jitter=lambda: 1.0, polar_clock=polar_clock
        ),
        notices=notices,
        counts=Counter(),
        clock=clock,
        monotonic=clock,
    )


def test_a_call_rests_then_lingers_then_goes(outbox: Outbox, clock: Clock) -> None:
    """It rests because a later span may tell that it was a duplicate, and lingers to share a request."""
    far_end = AllAccepted()
    delivery = a_delivery(outbox, clock, far_end, settle_s=2.0, linger_s=1.0)
    outbox.record(a_record(), NOON)

    assert delivery.step(delivery.rest).wait_s == 2.0
    clock.now = NOON + 2.0
    assert delivery.step(delivery.rest).wait_s == 1.0
    assert far_end.batches == []
    clock.now = NOON + 3.0
    delivery.step(delivery.rest)

    assert len(far_end.batches) == 1
    assert outbox.counts() == {State.SENT: 1}


def test_a_hurry_neither_rests_nor_lingers(outbox: Outbox, clock: Clock) -> None:
    """force_flush and shutdown cannot wait for what may still come."""
    far_end = AllAccepted()
    delivery = a_delivery(outbox, clock, far_end, settle_s=60.0, linger_s=60.0)
    outbox.record(a_record(), NOON)

    assert not delivery.step(NO_REST).is_done
    assert delivery.step(NO_REST).is_done
    assert outbox.counts() == {State.SENT: 1}


def test_a_full_batch_does_not_linger(outbox: Outbox, clock: Clock) -> None:
    """Lingering is for filling a request; a full one has nothing to wait for."""
    far_end = AllAccepted()
    delivery = a_delivery(outbox, clock, far_end, linger_s=60.0)
    for number in range(500):
        outbox.record(a_record(number), NOON)

    delivery.step(delivery.rest)

    assert [len(batch) for batch in far_end.batches] == [500]


def test_nothing_to_do_says_how_long(outbox: Outbox, clock: Clock) -> None:
    """An idle process should not be woken every second."""
    step = a_delivery(outbox, clock, AllAccepted()).step(NO_REST)

    assert (step.wait_s, step.is_done) == (IDLE_S, True)


def test_a_call_from_before_the_clock_was_set_back_does_not_rest_for_ever(outbox: Outbox, clock: Clock) -> None:
    """A clock that was an hour ahead must not delay an hour's revenue."""
    far_end = AllAccepted()
    delivery = a_delivery(outbox, clock, far_end, settle_s=2.0)
    outbox.record(a_record(), NOON + 3_600.0)

    delivery.step(delivery.rest)

    assert len(far_end.batches) == 1


@pytest.mark.parametrize(
    ("changes", "price", "state"),
    [
        pytest.param({"usage": Unmetered("no tokens")}, one_dollar, State.UNMETERED, id="no token counts"),
        pytest.param({"customer": Unattributed("nobody")}, one_dollar, State.UNATTRIBUTED, id="nobody to bill"),
        pytest.param({}, lambda _call: Unpriced("no price"), State.UNPRICED, id="no price"),
        pytest.param({}, lambda _call: 1 / 0, State.UNBUILDABLE, id="a resolver of the user's that raises"),
        pytest.param({"start_time_unix_nano": "?"}, one_dollar, State.UNBUILDABLE, id="a row that makes no sense"),
    ],
)
def test_what_cannot_be_billed_is_held_with_its_reason_and_the_rest_is_sent(
    outbox: Outbox,
    clock: Clock,
    changes: dict[str, Any],
    price: Any,
    state: State,
) -> None:
    """Nothing vanishes: each call ends in one state, and none stops the others."""
    far_end = AllAccepted()

    def price_of(call: ModelCall) -> Any:
        return price(call) if call.trace_id.endswith("1") else one_dollar(call)

    delivery = a_delivery(outbox, clock, far_end, price=price_of)
    outbox.record(a_record(0, **changes), NOON)
    outbox.record(a_record(1), NOON)

    delivery.step(NO_REST)

    assert outbox.counts() == {state: 1, State.SENT: 1}
    assert all(row.reason for row in outbox.ledger() if row.state is state)


def test_an_unreadable_row_is_kept_and_the_rest_is_sent(outbox: Outbox, clock: Clock) -> None:
    """A row from a broken disk is a person's business, not a reason to stop billing."""
    delivery = a_delivery(outbox, clock, AllAccepted())
    outbox.record("{not json", NOON)
    outbox.record(a_record(), NOON)

    delivery.step(NO_REST)

    assert outbox.counts() == {State.UNBUILDABLE: 1, State.SENT: 1}


def test_unpriced_calls_can_be_sent_without_cost(outbox: Outbox, clock: Clock) -> None:
    """Whoever meters tokens only needs no price; the event then has no cost at all, not a cost of 0."""
    delivery = a_delivery(outbox, clock, AllAccepted(), price=lambda _call: Unpriced("no price"), on_unpriced="send")
    outbox.record(a_record(), NOON)

    delivery.step(NO_REST)

    (row,) = outbox.ledger()
    assert row.body is not None
    metadata = json.loads(row.body)["metadata"]
    assert not {"cost_nanos", "_cost", "price_source"} & metadata.keys()
    assert metadata["total_tokens"] == 110


def test_the_body_is_frozen_before_the_first_attempt(outbox: Outbox, clock: Clock, tmp_path: Path) -> None:
    """Polar may have it although the answer was lost: another amount under the same id must be impossible."""
    down = FarEnd([Failed("HTTP status 500", answered=True)])
    a_delivery(outbox, clock, down).step(NO_REST)
    outbox.record(a_record(), NOON)
    a_delivery(outbox, clock, down).step(NO_REST)
    (before,) = outbox.ledger()
    outbox.close()

    reopened = Outbox(tmp_path / "outbox-1.db")
    reopened.reconsider(limit=10)
    twice_the_price = lambda _call: Price(Decimal(2), "a new price list")  # noqa: E731 - one line
    a_delivery(reopened, clock, AllAccepted(), price=twice_the_price).step(NO_REST)

    (after,) = reopened.ledger()
    assert (before.state, after.state) == (State.READY, State.SENT)
    assert after.body == before.body
    reopened.close()


def test_a_price_is_asked_for_once_per_call(outbox: Outbox, clock: Clock) -> None:
    """Retries send the frozen body; they do not price."""
    asked: list[str] = []

    def price(call: ModelCall) -> Price:
        asked.append(call.trace_id)
        return Price(Decimal("1e-12"), "test")

    far_end = FarEnd([Failed("HTTP status 500", answered=True), Accepted(1, 0)])
    delivery = a_delivery(outbox, clock, far_end, price=price)
    outbox.record(a_record(), NOON)

    for later in (0.0, 10.0, 20.0):
        clock.now = NOON + later
        delivery.step(NO_REST)

    assert len(asked) == 1
    assert outbox.counts() == {State.SENT: 1}


def test_sending_waits_for_polar_but_deciding_does_not(outbox: Outbox, clock: Clock) -> None:
    """In an outage of days, calls are still priced at the price of their day."""
    delivery = a_delivery(outbox, clock, FarEnd([Failed("no network", answered=False)]))
    outbox.record(a_record(1), NOON)
    delivery.step(NO_REST)
    outbox.record(a_record(2), NOON)

    step = delivery.step(NO_REST)

    assert step.is_held_up
    assert outbox.counts() == {State.READY: 2}


def test_old_settled_events_are_forgotten_after_the_retention(outbox: Outbox, clock: Clock) -> None:
    """The ledger is for reconciling, not for ever."""
    delivery = a_delivery(outbox, clock, AllAccepted(), retention_days=1)
    outbox.record(a_record(), NOON)
    delivery.step(NO_REST)

    clock.now = NOON + 86_401 + 3_600
    delivery.step(NO_REST)

    assert outbox.counts() == {}


def test_an_outbox_that_fails_does_not_stop_the_other(
    outbox: Outbox,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The memory beside a failed disk is still delivered."""
    far_end = AllAccepted()
    memory = Outbox(None)
    notices = Notices()
    delivery = Delivery(
        outboxes=lambda: [outbox, memory],
        settings=settings(),
        price=one_dollar,
        make_sender=lambda: Sender(far_end, budget=Budget(600_000.0), notices=notices, jitter=lambda: 1.0),
        notices=notices,
        counts=Counter(),
        clock=clock,
        monotonic=clock,
    )
    memory.record(a_record(), NOON)
    outbox.database.write("DROP TABLE intake", ())

    delivery.step(NO_REST)
    delivery.step(NO_REST)

    assert len(far_end.batches) == 1
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    memory.close()


def test_calls_that_nobody_was_billed_for_are_not_forgotten_in_silence(
    outbox: Outbox,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is money given up: whoever reads the log can still raise the retention."""
    polar_clock = PolarClock()
    polar_clock.hear(DATE_OF_NOON, NOON)
    delivery = a_delivery(outbox, clock, AllAccepted(), retention_days=1, polar_clock=polar_clock)
    outbox.record(a_record(1), NOON)
    outbox.record(a_record(2, customer=Unattributed("nobody")), NOON)
    while not delivery.step(NO_REST).is_done:
        pass
    assert outbox.counts() == {State.SENT: 1, State.UNATTRIBUTED: 1}

    clock.now = NOON + 2 * 86_400.0
    for _ in range(3):
        delivery.step(NO_REST)

    assert outbox.counts() == {}
    (line,) = (record.getMessage() for record in caplog.records if "forgotten" in record.getMessage())
    assert "1 now" in line
    assert "OTEL_POLAR_RETENTION_DAYS, 1" in line


def test_a_damaged_outbox_is_handed_over_to_be_replaced(outbox: Outbox, clock: Clock) -> None:
    """Waiting does not mend a file."""
    handed_over: list[Outbox] = []
    delivery = a_delivery(outbox, clock, AllAccepted(), on_damaged=handed_over.append)

    with patch.object(Outbox, "recorded", side_effect=OutboxDamagedError("malformed")):
        delivery.step(NO_REST)

    assert handed_over == [outbox]


def test_what_was_held_is_tried_again_at_a_start_each_once_and_after_new_calls(outbox: Outbox, clock: Clock) -> None:
    """A new release brings new prices; but a hundred thousand calls that wait must not hold up those of today."""
    held = AGAIN_PORTION + 100
    for number in range(held):
        outbox.record(a_record(number, response_model="gpt-9000", request_model="gpt-9000"), NOON)
    asked: list[str] = []

    def price(call: ModelCall) -> Price | Unpriced:
        asked.append(call.model or "")
        return Unpriced("no such model") if call.model == "gpt-9000" else Price(Decimal(1), "test")

    earlier = a_delivery(outbox, clock, AllAccepted(), price=price)
    while not earlier.step(NO_REST).is_done:
        pass
    assert len(asked) == held, "what this process holds itself is not tried again"
    asked.clear()
    outbox.record(a_record(held), NOON)
    later = a_delivery(outbox, clock, AllAccepted(), price=price)
    later.step(NO_REST)
    assert asked == ["gpt-4o-mini-2024-07-18"]
    while not later.step(NO_REST).is_done:
        pass

    assert asked[1:] == ["gpt-9000"] * held
    assert outbox.counts() == {State.SENT: 1, State.UNPRICED: held}


def test_trying_again_and_again_fills_neither_memory_nor_ledger(outbox: Outbox, clock: Clock) -> None:
    """A price service may be down for a day."""
    delivery = a_delivery(outbox, clock, AllAccepted(), price=lambda _call: Unpriced("down", may_recover=True))
    outbox.record(a_record(), NOON)
    for _ in range(50):
        delivery.try_held_again()
        while not delivery.step(NO_REST).is_done:
            pass
        clock.now += 60.0

    (known,) = delivery._intake(outbox)._recalling.lately(clock.now).related([a_call()])
    assert len(known.calls) == 1
    assert outbox.counts() == {State.UNPRICED: 1}
