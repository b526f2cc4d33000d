from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.customer import Customer
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.usage import TokenUsage
from otel_polar.delivery.deciding.recent import GENERATION_S, MAX_ALIKE
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.record import dump_measurement
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import move_outbox
from otel_polar.errors import OutboxError
from tests.delivery.deciding.test_intake import CLIENT, FRAMEWORK, MS, Desk
from tests.delivery.support import NOON, START_UNIX_NANO, a_call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.billing.call import ModelCall

AROUND = {"start_time_unix_nano": START_UNIX_NANO - MS, "end_time_unix_nano": START_UNIX_NANO + 501 * MS}
LATER = {"start_time_unix_nano": START_UNIX_NANO + 10_000 * MS, "end_time_unix_nano": START_UNIX_NANO + 10_500 * MS}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox-1.db")
    yield outbox
    outbox.close()


@pytest.fixture
def desk(outbox: Outbox) -> Desk:
    return Desk(outbox)


def layers(number: int, **changes: Any) -> tuple[ModelCall, ModelCall]:
    """A framework's span and the client's below it: one call."""
    outer = a_call(number, scope_name=FRAMEWORK, span_id=f"{number + 1:08x}aaaaaaaa", **AROUND, **changes)
    return outer, a_call(number, scope_name=CLIENT, parent_span_id=outer.span_id, **changes)


def test_rows_that_have_gone_elsewhere_are_not_taken_for_those_that_get_their_numbers(outbox: Outbox) -> None:
    """Memory stands in for a disk that is full now and then; SQLite gives the numbers of its rows away again."""
    memory = Outbox(None)
    desk = Desk(memory)
    desk.record(a_call(0), a_call(1))
    desk.decide(settle_s=5.0)
    move_outbox(memory, outbox)
    desk.record(a_call(2), a_call(3), now=NOON + 1.0)

    desk.decide(now=NOON + 7.0)

    assert desk.states().keys() == {f"{n + 1:032x}-{n + 1:016x}-{START_UNIX_NANO:x}" for n in (2, 3)}
    assert outbox.undecided() == 2
    memory.close()


@pytest.mark.parametrize("query", ["known", "recalled"])
def test_what_the_ledger_knows_is_asked_again_if_the_outbox_fails(
    desk: Desk, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A span that was read while the disk failed for a moment may belong to what was sent long ago."""
    outer, inner = layers(0)
    desk.record(outer)
    desk.decide()
    if query == "known":
        # Long ago: only its own id leads to it.
        desk.outbox.database.write("UPDATE events SET recorded_at = 0", ())
    desk.restart()
    desk.record(outer, inner)

    def fail(*_: object, **__: object) -> Any:
        raise OutboxError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.outbox, query, fail)
        with pytest.raises(OutboxError):
            desk.decide()
    desk.decide()

    assert list(desk.states().values()).count(State.READY) == 1


def test_what_was_read_when_rows_arrived_is_looked_up_though_the_outbox_failed_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look finds no other arrivals, and nothing new to read; the call was billed a second time."""
    outer, inner = layers(0)
    desk.record(outer)
    desk.decide()
    # Long ago: only its own id leads to it.
    desk.outbox.database.write("UPDATE events SET recorded_at = 0", ())
    desk.restart()
    desk.record(a_call(1, usage=TokenUsage(1, 1)))
    desk.decide()
    desk.outbox.arrivals += 1
    desk.record(outer, inner)

    def fail(*_: object, **__: object) -> Any:
        raise OutboxError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(desk.outbox, "recalled", fail)
        with pytest.raises(OutboxError):
            desk.decide()
    desk.decide()

    assert list(desk.states().values()).count(State.READY) == 1 + 1


def test_a_redelivered_span_is_known_however_long_it_has_rested(desk: Desk) -> None:
    """The settle time may be longer than what was decided is remembered."""
    outer, inner = layers(0)
    desk.record(outer, now=NOON - 100_000.0)
    desk.decide()
    desk.restart()
    monotonic = 0.0
    desk.intake._recalling._monotonic = lambda: monotonic
    desk.record(outer, inner)
    desk.decide(settle_s=3_600.0)

    for number in range(1, 4):
        monotonic = number * GENERATION_S
        desk.record(a_call(number, usage=TokenUsage(number, number)), now=NOON - 100_000.0)
        desk.decide(settle_s=3_600.0)
    desk.decide(now=NOON + 3_600.0, settle_s=3_600.0)

    states = desk.states()
    assert list(states.values()).count(State.READY) == 1 + 3


def test_a_call_names_its_run_though_an_earlier_span_looks_alike(desk: Desk) -> None:
    """Everything that may be one call is looked at together; a run in between is decided before it."""
    run = Measurement(
        "agent_run", {}, f"{9:032x}", f"{9:016x}", START_UNIX_NANO, None, Customer(external_customer_id="u")
    )
    desk.record(a_call(0, scope_name=FRAMEWORK))
    desk.outbox.record(dump_measurement(run), NOON)
    desk.record(a_call(1, scope_name=CLIENT, parent_event_id=run.external_id, **LATER))

    desk.decide()

    assert [body.get("parent_id") for body in desk.bodies()] == [None, None, run.external_id]


def test_a_row_is_decided_once_though_not_everything_alike_is_remembered(desk: Desk) -> None:
    """A call that is found by its answer, but not by its tokens any more, leads to what has been decided already."""
    answer = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"
    desk.record(a_call(0, scope_name=FRAMEWORK, response_id=answer))
    desk.record(*(a_call(n, scope_name=FRAMEWORK) for n in range(1, MAX_ALIKE + 2)))
    desk.decide()
    before = desk.counts["duplicate"]
    desk.record(a_call(1_000, scope_name=CLIENT, **LATER))
    desk.record(a_call(1_001, scope_name=CLIENT, response_id=answer, usage=TokenUsage(7, 7), **LATER))

    desk.decide()

    assert desk.counts["duplicate"] - before == 1
