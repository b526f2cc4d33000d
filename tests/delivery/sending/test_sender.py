"""Specifies what an answer of Polar does to a batch, and when the next one goes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.outcome import Accepted, Denied, Failed, Invalid, RateLimited, TooLarge
from otel_polar.delivery.sending.sender import (
    MAX_BACKOFF_S,
    MAX_SUSPECTS,
    SMALL_EVENT_BYTES,
    Sender,
)
from otel_polar.polar_api.budget import BURST_REQUESTS, Budget
from tests.delivery.support import NOON, FarEnd, ready

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_polar.delivery.outcome import Outcome

SERVER_ERROR = Failed("HTTP status 500", answered=True)
NO_NETWORK = Failed("ConnectError", answered=False)


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    opened = Outbox(None)
    yield opened
    opened.close()


def a_sender(*outcomes: Outcome) -> tuple[Sender, FarEnd]:
    far_end = FarEnd(list(outcomes))
    return Sender(far_end, budget=Budget(600_000.0), notices=Notices(), jitter=lambda: 1.0), far_end


def send(sender: Sender, outbox: Outbox, *, now: float = NOON, monotonic: float = 0.0) -> None:
    sender.send(outbox, sender.due(outbox, now), now=now, monotonic=monotonic)


def test_accepted_events_are_settled(outbox: Outbox) -> None:
    """The everyday path."""
    ready(outbox, [1, 2])
    sender, far_end = a_sender(Accepted(2, 0))

    send(sender, outbox)

    assert far_end.batches == [["event-1", "event-2"]]
    assert outbox.waiting() == 0


def test_events_are_settled_when_the_answer_has_come(tmp_path: Path) -> None:
    """Credits take what was settled before Polar was asked about a balance for something that Polar had then."""
    outbox = Outbox(tmp_path / "outbox-00000000.db")
    ready(outbox, [1])

    def slow(_: Sequence[str]) -> Outcome:
        threading.Event().wait(0.05)
        return Accepted(1, 0)

    send(Sender(slow, budget=Budget(600.0), notices=Notices(), jitter=lambda: 1.0), outbox)

    ((settled_at,),) = outbox.database.read("SELECT settled_at FROM events")
    assert NOON + 0.04 < settled_at < NOON + 10.0
    outbox.close()


def test_events_at_fault_are_rejected_and_the_rest_goes_at_once(outbox: Outbox) -> None:
    """One bad event must not hold up everybody's billing."""
    ready(outbox, [1, 2, 3])
    sender, far_end = a_sender(Invalid({1: "metadata.plan: too long"}), Accepted(2, 0))

    send(sender, outbox)
    assert sender.wait_s(0.0) == 0.0
    send(sender, outbox)

    assert far_end.batches == [["event-1", "event-2", "event-3"], ["event-1", "event-3"]]
    assert outbox.counts() == {State.REJECTED: 1}


def test_an_event_from_the_future_waits_while_the_rest_goes(outbox: Outbox) -> None:
    """Two clocks differ; nothing is wrong with the event."""
    ready(outbox, [1, 2])
    sender, far_end = a_sender(Invalid({}, early=frozenset({0})), Accepted(1, 0))

    send(sender, outbox)
    send(sender, outbox)
    send(sender, outbox, now=NOON + 2)

    assert far_end.batches == [["event-1", "event-2"], ["event-2"], ["event-1"]]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(outbox: Outbox) -> None:
    """A proxy may take less than Polar."""
    ready(outbox, [1, 2, 3, 4])
    sender, far_end = a_sender(TooLarge(), TooLarge(), Accepted(1, 0))

    for _ in range(3):
        send(sender, outbox)

    assert [len(batch) for batch in far_end.batches] == [4, 2, 1]


def test_a_single_event_that_is_too_large_is_rejected(outbox: Outbox) -> None:
    """It could never be sent, and would stand before all others for ever."""
    ready(outbox, [1], body='{"external_id": "event-1", "metadata": {"note": "' + "x" * SMALL_EVENT_BYTES + '"}}')
    sender, _ = a_sender(TooLarge())

    send(sender, outbox)

    assert outbox.counts() == {State.REJECTED: 1}


def test_an_event_of_usual_size_that_is_too_large_for_somebody_waits(outbox: Outbox) -> None:
    """A proxy that refuses everything must not bury a day's revenue."""
    ready(outbox, list(range(8)))
    sender, _ = a_sender(TooLarge())

    for _ in range(20):
        send(sender, outbox)

    assert outbox.counts() == {State.READY: 8}


def test_one_event_in_a_hundred_that_polar_fails_on_does_not_let_delivery_fall_behind(outbox: Outbox) -> None:
    """Each one is looked for, but a server that takes the others is not waited for as one that is down."""
    far_end = Poisoned({f"event-{number}" for number in range(0, 10_000, 100)}, SERVER_ERROR)
    sender = Sender(far_end, budget=Budget(600_000.0), notices=Notices(), jitter=lambda: 1.0)

    ready(outbox, [20_001])
    send(sender, outbox)

    for minute in range(20):
        ready(outbox, range(minute * 300, minute * 300 + 300), now=NOON + minute * 60)
        passed_s = minute * 60.0
        while passed_s < minute * 60 + 60:
            if sender.due(outbox, NOON + passed_s) and sender.wait_s(passed_s) == 0.0:
                send(sender, outbox, now=NOON + passed_s, monotonic=passed_s)
            passed_s += 0.25

    assert outbox.waiting() < 300


def test_a_rate_limit_is_waited_for_even_in_a_hurry(outbox: Outbox) -> None:
    """It is the whole organization's: a flush that ignores it takes the budget from everybody."""
    ready(outbox, [1])
    sender, _ = a_sender(RateLimited(60.0))

    send(sender, outbox)
    sender.retry_now()

    # From the answer on.
    assert 59.0 <= sender.wait_s(1.0) < 60.0
    assert outbox.waiting() == 1


def test_a_refused_token_loses_nothing_and_is_said_once(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """A revoked token must not bury a day's revenue, nor the log."""
    ready(outbox, [1, 2])
    sender, _ = a_sender(Denied("401 invalid_token"), Denied("401 invalid_token"), Accepted(2, 0))

    for monotonic in (0.0, 60.0, 120.0):
        send(sender, outbox, monotonic=monotonic)

    assert outbox.waiting() == 0
    assert [record.getMessage()[:40] for record in caplog.records] == [
        "Polar refuses the access token or addres",
        "Polar takes events again",
    ]


def test_failures_back_off_to_a_minute(outbox: Outbox) -> None:
    """A Polar that is down is not helped by more requests."""
    ready(outbox, [1])
    sender, _ = a_sender(NO_NETWORK)

    waits: list[float] = []
    for _ in range(9):
        send(sender, outbox)
        waits.append(sender.wait_s(0.0))

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, MAX_BACKOFF_S, MAX_BACKOFF_S]


def test_backing_off_is_jittered() -> None:
    """A thousand processes that lost Polar together must not come back together."""
    outbox = Outbox(None)
    ready(outbox, [1])
    sender = Sender(FarEnd([NO_NETWORK]), budget=Budget(600_000.0), notices=Notices(), jitter=lambda: 0.0)

    send(sender, outbox)

    assert sender.wait_s(0.0) == 0.25
    outbox.close()


class Poisoned(FarEnd):
    """A Polar that fails whenever one of some events is in the batch."""

    def __init__(self, guilty: set[str], failure: Outcome) -> None:
        super().__init__([failure])
        self.guilty = guilty

    def __call__(self, bodies: Sequence[str]) -> Outcome:
        failure = super().__call__(bodies)
        batch = self.batches[-1]
        return failure if self.guilty.intersection(batch) else Accepted(len(batch), 0)


def deliver(sender: Sender, outbox: Outbox, *, for_s: float) -> None:
    """Send whatever is due, waiting as asked, for that time on both clocks."""
    passed_s = 0.0
    while passed_s < for_s:
        if sender.due(outbox, NOON + passed_s):
            send(sender, outbox, now=NOON + passed_s, monotonic=passed_s)
        passed_s += max(1.0, sender.wait_s(passed_s))


@pytest.mark.parametrize("failure", [SERVER_ERROR, NO_NETWORK])
@pytest.mark.parametrize("count", [1, 2, 3, MAX_SUSPECTS + 3])
def test_events_that_polar_fails_on_do_not_hold_up_the_others(outbox: Outbox, count: int, failure: Outcome) -> None:
    """The poison is isolated by halving, whether the server answers or drops the connection; the rest is delivered."""
    ready(outbox, list(range(64)))
    far_end = Poisoned({f"event-{number}" for number in range(count)}, failure)
    sender = Sender(far_end, budget=Budget(600_000.0), notices=Notices(), jitter=lambda: 1.0)

    deliver(sender, outbox, for_s=3_600)

    assert outbox.counts() == {State.READY: count}


def test_new_events_pass_by_a_proven_suspect_at_once(outbox: Outbox) -> None:
    """One event that Polar cannot take must not slow down everybody's billing for ever."""
    ready(outbox, [1, 2])
    far_end = Poisoned({"event-1"}, SERVER_ERROR)
    sender = Sender(far_end, budget=Budget(600_000.0), notices=Notices(), jitter=lambda: 1.0)
    deliver(sender, outbox, for_s=3_600)

    ready(outbox, [3, 4, 5], now=NOON + 3_600)
    for _ in range(3):
        assert sender.wait_s(3_600) == 0.0
        if sender.due(outbox, NOON + 3_600):
            send(sender, outbox, now=NOON + 3_600, monotonic=3_600)

    assert outbox.waiting() == 1


def test_an_event_under_suspicion_is_delivered_when_polar_takes_it(outbox: Outbox) -> None:
    """A fault of Polar's is mended some day, and the money is still there."""
    ready(outbox, [1, 2])
    far_end = Poisoned({"event-1"}, SERVER_ERROR)
    sender = Sender(far_end, budget=Budget(600_000.0), notices=Notices(), jitter=lambda: 1.0)
    deliver(sender, outbox, for_s=3_600)

    far_end.guilty.clear()
    (entry,) = outbox.due(NOON + 7_200, limit=10, max_bytes=1_000_000)
    send(sender, outbox, now=NOON + 7_200)

    assert entry.due_at <= NOON + 3_600 + 1_800
    assert outbox.waiting() == 0


def test_a_server_that_is_down_makes_nobody_guilty(outbox: Outbox) -> None:
    """After an outage of days everything goes, and nothing is set aside."""
    ready(outbox, list(range(8)))
    sender, far_end = a_sender(*[SERVER_ERROR] * 12, Accepted(1, 0))
    far_end.outcomes += [Accepted(1, 0)]

    for _ in range(12):
        send(sender, outbox)
    for _ in range(8):
        if sender.due(outbox, NOON):
            send(sender, outbox)

    assert outbox.waiting() == 0


def test_a_lone_event_is_tried_again_though_polar_failed_on_it(outbox: Outbox) -> None:
    """Without another one there is nothing to compare with, and nothing else to do."""
    ready(outbox, [1])
    sender, far_end = a_sender(*[SERVER_ERROR] * 6, Accepted(1, 0))

    for _ in range(7):
        send(sender, outbox)

    assert far_end.batches == [["event-1"]] * 7
    assert outbox.waiting() == 0


def test_batches_grow_again_after_an_outage(outbox: Outbox) -> None:
    """A million calls that waited must not go one by one."""
    ready(outbox, list(range(16)))
    sender, far_end = a_sender(*[NO_NETWORK] * 8, Accepted(1, 0))

    for _ in range(14):
        if sender.due(outbox, NOON):
            send(sender, outbox)

    # Two had failed alone, and go alone once more.
    assert [len(batch) for batch in far_end.batches[8:]] == [1, 1, 2, 1, 4, 7]


def test_the_budget_lets_a_few_requests_through_at_once_and_then_spaces_them() -> None:
    """Polar's limit is per minute and shared by the whole organization."""
    budget = Budget(60.0)

    for _ in range(int(BURST_REQUESTS)):
        assert budget.wait_s(0.0) == 0.0
        budget.spend(0.0)

    assert budget.wait_s(0.0) == 1.0
    assert budget.wait_s(0.25) == 0.75
    assert budget.wait_s(1.0) == 0.0


def test_a_pause_earns_no_more_than_the_burst() -> None:
    """An idle hour must not allow a flood."""
    budget = Budget(60.0)
    assert budget.wait_s(0.0) == 0.0

    for _ in range(int(BURST_REQUESTS)):
        budget.spend(3_600.0)

    assert budget.wait_s(3_600.0) == 1.0
