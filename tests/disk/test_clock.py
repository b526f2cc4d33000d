"""Specifies what happens when the clock of the machine jumps: nothing is lost, sent twice, or held back for ever."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from otel_polar.billing.customer import Unattributed
from otel_polar.billing.pricing import Price
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.outcome import Accepted, Invalid
from otel_polar.delivery.sending.sender import Sender
from otel_polar.delivery.step import Delivery
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.polar_clock import PolarClock
from tests.delivery.support import NOON, Clock, a_record, settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_polar.delivery.outcome import Outcome

HOUR_S = 3_600.0
DAY_S = 86_400.0
YEAR_S = 365 * DAY_S


@dataclass
class Machine:
    """A process whose clock may be set, beside a Polar whose clock is right."""

    path: Path
    ours: Clock = field(default_factory=Clock)
    passed_s: float = 0.0
    sent: Counter[str] = field(default_factory=Counter)
    times: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.polar_clock = PolarClock()
        self.start()

    def start(self) -> None:
        """Begin, also once more, with the same outbox."""
        self.outbox = Outbox(self.path)
        notices = Notices()
        self.delivery = Delivery(
            outboxes=lambda: [self.outbox],
            settings=settings(settle_s=2.0, linger_s=1.0),
            price=lambda _call: Price(Decimal(1), "test"),
            make_sender=lambda: Sender(
                self.ingest, budget=Budget(6e6), notices=notices, jitter=lambda: 1.0, polar_clock=self.polar_clock
            ),
            notices=notices,
            counts=Counter(),
            clock=self.ours,
            monotonic=lambda: self.passed_s,
        )

    @property
    def polar_now(self) -> float:
        return NOON + self.passed_s

    def ingest(self, bodies: Sequence[str]) -> Outcome:
        """As Polar does, with the Date of its answer."""
        self.polar_clock.hear(format_datetime(datetime.fromtimestamp(self.polar_now, UTC), usegmt=True), self.passed_s)
        events = [json.loads(body) for body in bodies]
        times = [datetime.fromisoformat(event["timestamp"]).timestamp() for event in events]
        if early := frozenset(index for index, at in enumerate(times) if at > self.polar_now):
            return Invalid({}, early)
        self.sent.update(event["external_id"] for event in events)
        self.times += [event["timestamp"] for event in events]
        return Accepted(len(events), 0)

    def live(self, seconds: float) -> None:
        """Let time pass on both clocks, a step of delivery each second; a long time in a hundred steps."""
        stride = max(1.0, seconds / 100)
        while seconds > 0:
            self.delivery.step(self.delivery.rest)
            self.passed_s += stride
            self.ours.now += stride
            seconds -= stride

    def set_clock(self, by_s: float) -> None:
        self.ours.now += by_s


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    begun = Machine(tmp_path / "outbox-00000000.db")
    yield begun
    begun.outbox.close()


JUMPS = [HOUR_S / 2, -HOUR_S / 2, DAY_S, -DAY_S, YEAR_S, -YEAR_S]


@pytest.mark.parametrize("jump_s", JUMPS)
def test_calls_recorded_around_a_jump_are_sent_once_and_soon(machine: Machine, jump_s: float) -> None:
    """Whatever they were about to do: to rest, to linger, to wait."""
    for number in range(5):
        machine.outbox.record(a_record(number), machine.ours.now)
        machine.live(1)
    machine.set_clock(jump_s)
    for number in range(5, 10):
        machine.outbox.record(a_record(number), machine.ours.now)
        machine.live(1)
    machine.live(10)

    # What was due before the clock was set back by less than an hour waits for as long.
    machine.live(60 + (max(0.0, -jump_s) if jump_s > -HOUR_S else 0.0))
    assert len(machine.sent) == 10
    assert set(machine.sent.values()) == {1}


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_clock_that_jumps_forth_and_back_loses_and_doubles_nothing(machine: Machine, jump_s: float) -> None:
    """As a virtual machine's does that is moved about."""
    for number in range(12):
        machine.set_clock(jump_s if number % 2 else -jump_s)
        machine.outbox.record(a_record(number), machine.ours.now)
        machine.live(2)
    machine.live(HOUR_S)

    assert len(machine.sent) == 12
    assert set(machine.sent.values()) == {1}


def test_a_second_span_of_a_call_is_known_although_the_clock_has_jumped_twice(machine: Machine) -> None:
    """What was decided lately is remembered by the clock that never jumps."""
    machine.outbox.record(a_record(1, scope_name="opentelemetry.util.genai.handler"), NOON)
    machine.live(5)
    for number, jump_s in ((2, YEAR_S), (3, -YEAR_S), (4, DAY_S)):
        machine.set_clock(jump_s)
        machine.outbox.record(a_record(number), machine.ours.now)
        machine.live(5)

    machine.outbox.record(a_record(1, span_id="f" * 16, scope_name="another.framework"), machine.ours.now)
    machine.live(5)

    assert machine.outbox.counts().get(State.DUPLICATE) == 1
    assert len(machine.sent) == 4


def held_and_sent(machine: Machine) -> None:
    machine.outbox.record(a_record(1), machine.ours.now)
    machine.outbox.record(a_record(2, customer=Unattributed("nobody")), machine.ours.now)
    machine.live(10)


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_a_clock_that_jumps_does_not_make_held_calls_forgotten(machine: Machine, jump_s: float) -> None:
    """Nobody was billed for them; a person may still decide."""
    held_and_sent(machine)
    machine.set_clock(jump_s)
    machine.live(3 * HOUR_S)
    machine.outbox.record(a_record(3), machine.ours.now)
    machine.live(HOUR_S)
    machine.outbox.close()
    machine.start()
    machine.live(3 * HOUR_S)

    assert machine.outbox.counts() == {State.UNATTRIBUTED: 1, State.SENT: 2}


def test_calls_held_while_the_clock_was_behind_are_not_old_when_it_is_right_again(machine: Machine) -> None:
    """A machine without a battery begins in 1970."""
    machine.set_clock(-YEAR_S)
    held_and_sent(machine)

    machine.set_clock(YEAR_S)
    machine.outbox.record(a_record(3), machine.ours.now)
    machine.live(3 * HOUR_S)

    assert machine.outbox.counts()[State.UNATTRIBUTED] == 1


def test_held_calls_are_forgotten_when_polars_clock_says_so_too(machine: Machine) -> None:
    """They must not pile up for ever either."""
    held_and_sent(machine)
    machine.live(29 * DAY_S)
    assert machine.outbox.counts()[State.UNATTRIBUTED] == 1

    machine.live(2 * DAY_S)

    assert State.UNATTRIBUTED not in machine.outbox.counts()


@pytest.mark.parametrize("ahead_s", [5 * 60.0, DAY_S, YEAR_S])
def test_calls_made_while_the_clock_was_ahead_get_polars_time(machine: Machine, ahead_s: float) -> None:
    """Polar refuses the future, and would do so for a year."""
    machine.set_clock(ahead_s)
    in_future = int(machine.ours.now * 1e9)
    machine.outbox.record(
        a_record(1, start_time_unix_nano=in_future, end_time_unix_nano=in_future + 1), machine.ours.now
    )
    machine.live(20)

    assert list(machine.sent.values()) == [1]
    assert datetime.fromisoformat(machine.times[0]).timestamp() == pytest.approx(NOON, abs=20)


def test_calls_made_while_the_clock_was_behind_keep_their_time(machine: Machine) -> None:
    """Polar takes any past, and bills by the day of receipt."""
    machine.set_clock(-YEAR_S)
    in_past = int(machine.ours.now * 1e9)
    machine.outbox.record(a_record(1, start_time_unix_nano=in_past, end_time_unix_nano=in_past), machine.ours.now)
    machine.live(20)

    assert datetime.fromisoformat(machine.times[0]).timestamp() == NOON - YEAR_S
