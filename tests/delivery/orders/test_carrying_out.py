"""Specifies what an order does to calls in the ledger, and what it leaves alone."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import NOBODY, Customer, Unattributed
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.pricing import Price, Unpriced
from otel_polar.billing.usage import Unmetered
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.record import dump_measurement, load_call
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.delivery.orders.answers import Outcome, Result
from otel_polar.delivery.orders.carrying_out import carry_out
from otel_polar.delivery.orders.order import CHANGEABLE, Kind, Order, Row, make_orders
from otel_polar.errors import OutboxError
from tests.delivery.deciding.test_intake import CLIENT, FRAMEWORK, MS, STRONG_ID, Desk
from tests.delivery.support import NOON, START_UNIX_NANO, a_call

if TYPE_CHECKING:
    from pathlib import Path

ALICE = Customer(external_customer_id="alice")
BOB = Customer(external_customer_id="bob")
LATER = NOON + 60.0


@pytest.fixture
def desk(outbox: Outbox) -> Desk:
    return Desk(outbox)


def shown(desk: Desk) -> list[Row]:
    """Everything in the ledger, as a person is shown it."""
    return [Row(row.external_id, row.state, row.reason) for row in desk.outbox.ledger()]


def an_order(kind: Kind, rows: list[Row], *, customer: Customer | None = None, now: float = LATER) -> Order:
    (order,) = make_orders(kind, rows, now=now, customer=customer)
    return order


def have_done(desk: Desk, order: Order, *, now: float = LATER) -> list[Result]:
    """What becomes of the calls of an order, in its order."""
    results = carry_out(order, dict(enumerate(order.rows)), desk.outbox, desk.intake, now=now)
    return [results[place] for place in sorted(results)]


def do(desk: Desk, kind: Kind, *, customer: Customer | None = None) -> list[Result]:
    """Order it for everything that is in a state for it."""
    rows = [row for row in shown(desk) if row.state in CHANGEABLE[kind]]
    return have_done(desk, an_order(kind, rows, customer=customer))


def bodies(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(row.body) for row in desk.outbox.ledger() if row.body is not None]


def the_call(desk: Desk) -> Any:
    ((text,),) = desk.outbox.database.read("SELECT call FROM events WHERE call IS NOT NULL")
    return load_call(text)


def hold_for_nobody(desk: Desk, *numbers: int, **changes: Any) -> None:
    desk.record(*(a_call(number, **{"customer": NOBODY, **changes}) for number in numbers or (1,)))
    desk.decide()


def reject_all(desk: Desk, reason: str = "metadata: no") -> None:
    entries = desk.outbox.due(LATER, limit=100, max_bytes=10_000_000)
    desk.outbox.reject({entry.seq: reason for entry in entries})


def test_an_assigned_call_is_priced_frozen_and_ready_under_its_own_id(desk: Desk) -> None:
    """From there on it is like any other call that names its customer."""
    hold_for_nobody(desk)

    results = do(desk, Kind.ASSIGN, customer=Customer(external_customer_id="alice", member_id="m1"))

    assert results == [Result(Outcome.DONE, "ready")]
    (body,) = bodies(desk)
    assert (body["external_customer_id"], body["external_member_id"]) == ("alice", "m1")
    assert (body["external_id"], body["metadata"]["cost_nanos"]) == (external_id(a_call(1)), 1)
    assert the_call(desk).is_assigned


def test_a_measurement_is_assigned_too(desk: Desk) -> None:
    """Usage that is no call to a model is held for the same want."""
    measurement = Measurement("pages", {"pages": 3}, "1" * 32, "2" * 16, START_UNIX_NANO, None, NOBODY)
    desk.outbox.record(dump_measurement(measurement), NOON)
    desk.decide()

    assert do(desk, Kind.ASSIGN, customer=ALICE) == [Result(Outcome.DONE, "ready")]
    assert bodies(desk)[0]["external_customer_id"] == "alice"


def test_an_assigned_call_without_a_price_waits_for_one_and_stays_assigned(desk: Desk) -> None:
    """The two wants are mended one after the other."""
    desk.resolver = lambda _: Unpriced("no price")
    hold_for_nobody(desk)

    assert do(desk, Kind.ASSIGN, customer=ALICE) == [Result(Outcome.HELD, "held: unpriced", "no price")]

    desk.resolver = lambda _: Price(Decimal("2e-9"), "test")
    assert do(desk, Kind.REPRICE) == [Result(Outcome.DONE, "ready")]
    assert bodies(desk)[0]["external_customer_id"] == "alice"


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("says", [NOBODY, BOB, Unattributed("bill_to(None)")])
def test_no_span_that_comes_later_has_a_say_in_an_assigned_call(
    desk: Desk,
    says: Customer | Unattributed,
    is_restarted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Neither the framework's span around it, nor a redelivery; before it is sent and after a restart."""
    desk.resolver = lambda _: Unpriced("no price")
    hold_for_nobody(desk, scope_name=CLIENT)
    do(desk, Kind.ASSIGN, customer=ALICE)
    if is_restarted:
        desk.restart()

    around = a_call(
        1,
        span_id="f" * 16,
        scope_name=FRAMEWORK,
        customer=says,
        start_time_unix_nano=START_UNIX_NANO - MS,
        end_time_unix_nano=START_UNIX_NANO + 501 * MS,
    )
    desk.record(around, a_call(1, scope_name=CLIENT, customer=says), now=LATER)
    desk.decide(now=LATER)

    assert sorted(desk.states().values()) == [State.DUPLICATE, State.UNPRICED]
    assert (the_call(desk).customer, the_call(desk).is_assigned) == (ALICE, True)
    desk.resolver = lambda _: Price(Decimal("2e-9"), "test")
    do(desk, Kind.REPRICE)
    assert [body["external_customer_id"] for body in bodies(desk)] == ["alice"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_span_with_a_better_id_is_another_one_of_an_assigned_call(
    desk: Desk,
    is_restarted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """It would be billed a second time, under the provider's id of the answer."""
    hold_for_nobody(desk, scope_name=FRAMEWORK)
    do(desk, Kind.ASSIGN, customer=ALICE)
    if is_restarted:
        desk.restart()

    inner = a_call(
        1, span_id="f" * 16, parent_span_id=f"{2:016x}", scope_name=CLIENT, customer=BOB, response_id=STRONG_ID
    )
    desk.record(inner, now=LATER)
    desk.decide(now=LATER)

    assert sorted(desk.states().values()) == [State.DUPLICATE, State.READY]


def test_a_span_in_the_settle_window_is_another_one_of_a_call_assigned_meanwhile(desk: Desk) -> None:
    """It was recorded before the person decided, and is decided after."""
    hold_for_nobody(desk, scope_name=FRAMEWORK)
    inner = a_call(1, span_id="f" * 16, parent_span_id=f"{2:016x}", scope_name=CLIENT, customer=BOB)
    desk.record(inner, now=LATER)
    desk.decide(now=LATER, settle_s=5.0)

    do(desk, Kind.ASSIGN, customer=ALICE)
    desk.decide(now=LATER + 6.0, settle_s=5.0)

    assert sorted(desk.states().values()) == [State.DUPLICATE, State.READY]
    assert [body["external_customer_id"] for body in bodies(desk)] == ["alice"]


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("state", [State.UNATTRIBUTED, State.UNMETERED, State.UNPRICED, State.REJECTED])
def test_a_discarded_call_stays_discarded(
    desk: Desk,
    state: State,
    is_restarted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Whether the Collector delivers it again, or another of its spans comes under another id."""
    if state is State.UNPRICED:
        desk.resolver = lambda _: Unpriced("no price")
    changes: dict[State, Any] = {
        State.UNATTRIBUTED: {"customer": NOBODY},
        State.UNMETERED: {"usage": Unmetered("no token counts: cut")},
    }
    call = a_call(1, scope_name=FRAMEWORK, **changes.get(state, {}))
    desk.record(call)
    desk.decide()
    if state is State.REJECTED:
        reject_all(desk)
    desk.resolver = lambda _: Price(Decimal("2e-9"), "test")

    assert do(desk, Kind.DISCARD) == [Result(Outcome.DONE, "discarded")]
    if is_restarted:
        desk.restart()
    inner = a_call(1, span_id="f" * 16, parent_span_id=f"{2:016x}", scope_name=CLIENT, response_id=STRONG_ID)
    desk.record(call, *([] if state is State.UNMETERED else [inner]), now=LATER)
    desk.decide(now=LATER)

    assert set(desk.states().values()) <= {State.DISCARDED, State.DUPLICATE}
    assert desk.states()[external_id(call)] is State.DISCARDED
    assert desk.outbox.held_counts() == {}
    assert desk.outbox.reasons(State.DISCARDED) == {}
    assert desk.outbox.reconsider(limit=10) == 0


def test_a_discarded_call_is_kept_from_the_day_of_that_and_its_spans_are_forgotten_like_those_of_a_sent_one(
    desk: Desk,
) -> None:
    """It may have been held for a year: without its row a replay would bill it, for Polar knows nothing of it."""
    hold_for_nobody(desk)
    do(desk, Kind.DISCARD)

    assert desk.outbox.forget_calls(before=LATER, now=LATER, limit=10) == 1
    assert desk.outbox.forget_unsent(now=LATER, retention_s=0.0) == 0
    desk.outbox.purge(before=LATER, after_seq=0, limit=10)
    assert list(desk.states().values()) == [State.DISCARDED]

    desk.outbox.purge(before=LATER + 1.0, after_seq=0, limit=10)
    assert desk.states() == {}


def test_a_released_call_is_sent_without_a_cost(desk: Desk) -> None:
    """As with on_unpriced="send", and whatever its price may have become: that is what the person agreed to."""
    desk.resolver = lambda _: Unpriced("no price")
    desk.record(a_call(1))
    desk.decide()
    desk.resolver = lambda _: Price(Decimal("2e-9"), "test")

    assert do(desk, Kind.RELEASE) == [Result(Outcome.DONE, "ready")]

    (body,) = bodies(desk)
    assert body["metadata"]["total_tokens"] == 110
    assert not {"cost_nanos", "_cost"} & body["metadata"].keys()


def test_a_refused_event_is_sent_again_as_it_was(desk: Desk) -> None:
    """The same body and the same external id: Polar knows it again, if it has it after all."""
    desk.record(a_call(1))
    desk.decide()
    before = bodies(desk)
    reject_all(desk)

    assert do(desk, Kind.RETRY) == [Result(Outcome.DONE, "ready")]

    assert bodies(desk) == before
    assert len(desk.outbox.due(LATER, limit=10, max_bytes=10_000_000)) == 1


def test_a_refused_event_is_built_anew_from_its_call(desk: Desk) -> None:
    """Where the event itself was wrong; still under the same external id."""
    desk.record(a_call(1))
    desk.decide()
    reject_all(desk, "name: no")
    desk.options["event_name"] = "llm"
    desk.restart()

    assert do(desk, Kind.REBUILD) == [Result(Outcome.DONE, "ready")]

    (body,) = bodies(desk)
    assert (body["name"], body["external_id"]) == ("llm", external_id(a_call(1)))


def test_an_event_whose_call_is_forgotten_is_not_built_anew(desk: Desk) -> None:
    """Nothing could be built of nothing; the old one stays."""
    desk.record(a_call(1))
    desk.decide()
    reject_all(desk)
    before = bodies(desk)
    desk.outbox.database.write("UPDATE events SET call = NULL", ())

    (result,) = do(desk, Kind.REBUILD)

    assert (result.outcome, result.why) == (Outcome.IMPOSSIBLE, "its recorded call is forgotten")
    assert bodies(desk) == before
    assert set(desk.states().values()) == {State.REJECTED}


def test_a_damaged_event_is_not_sent_again(desk: Desk) -> None:
    """Polar would refuse the whole batch it is in."""
    desk.record(a_call(1))
    desk.decide()
    reject_all(desk)
    desk.outbox.database.write("UPDATE events SET body = '{'", ())

    (result,) = do(desk, Kind.RETRY)

    assert (result.outcome, result.why) == (Outcome.IMPOSSIBLE, "its event cannot be read any more")


def test_what_is_refused_a_second_time_is_not_tried_for_ever(desk: Desk) -> None:
    """An order may be carried out again at every start; this one was."""
    desk.record(a_call(1))
    desk.decide()
    reject_all(desk)
    order = an_order(Kind.RETRY, shown(desk))
    have_done(desk, order, now=LATER + 1.0)
    desk.outbox.reject({1: "metadata: no"})

    assert have_done(desk, order, now=LATER + 9.0) == [Result(Outcome.HELD, "rejected", "metadata: no")]
    assert set(desk.states().values()) == {State.REJECTED}


@pytest.mark.parametrize(
    ("kind", "customer"),
    [(Kind.ASSIGN, ALICE), (Kind.DISCARD, None), (Kind.RELEASE, None), (Kind.RETRY, None), (Kind.REBUILD, None)],
)
def test_an_order_that_is_carried_out_twice_answers_as_the_first_time(
    desk: Desk, kind: Kind, customer: Customer | None
) -> None:
    """Whoever was killed between doing and answering is followed by another one, who must not do it again."""
    if kind is Kind.RELEASE:
        desk.resolver = lambda _: Unpriced("no price")
    desk.record(a_call(1, customer=NOBODY if kind is Kind.ASSIGN else ALICE))
    desk.decide()
    if kind not in {Kind.ASSIGN, Kind.RELEASE}:
        reject_all(desk)
    order = an_order(kind, shown(desk), customer=customer)
    first = have_done(desk, order, now=LATER + 1.0)
    before = desk.outbox.database.read("SELECT * FROM events")
    desk.restart()

    again = have_done(desk, order, now=LATER + 2.0)

    assert again == first
    assert desk.outbox.database.read("SELECT * FROM events") == before
    if kind is not Kind.DISCARD:
        desk.outbox.settle([1], now=LATER)
        assert have_done(desk, order, now=LATER + 3.0) == [Result(Outcome.DONE, "sent")]


@pytest.mark.parametrize("kind", list(Kind)[:-1])
@pytest.mark.parametrize("state", [state for state in State if state is not State.RECORDED])
def test_only_calls_in_the_state_that_was_shown_are_changed(outbox: Outbox, kind: Kind, state: State) -> None:
    """Above all nothing that Polar may have: it would be billed twice, or to another customer than it says."""
    desk = Desk(outbox)
    desk.record(a_call(1, customer=BOB))
    desk.decide()
    outbox.database.write("UPDATE events SET state = ?, reason = 'why'", (state.value,))
    before = outbox.database.read("SELECT * FROM events")
    external = external_id(a_call(1))
    for shown_state in CHANGEABLE[kind]:
        for reason in ("why", "another reason"):
            if (shown_state, reason) == (state, "why") or (kind, shown_state) == (Kind.REPRICE, state):
                continue
            order = an_order(
                kind, [Row(external, shown_state, reason)], customer=ALICE if kind is Kind.ASSIGN else None
            )
            have_done(desk, order)

            assert outbox.database.read("SELECT * FROM events") == before


def test_what_cannot_be_written_is_not_done_at_all(desk: Desk) -> None:
    """A full disk: all of a portion or nothing, and the order is tried again."""
    hold_for_nobody(desk, 1, 2, 3)
    rows = shown(desk)
    desk.outbox.database.read("PRAGMA query_only = ON")

    with pytest.raises(OutboxError):
        have_done(desk, an_order(Kind.ASSIGN, rows, customer=ALICE))

    desk.outbox.database.read("PRAGMA query_only = OFF")
    assert shown(desk) == rows
    assert [result.outcome for result in have_done(desk, an_order(Kind.ASSIGN, rows, customer=ALICE))] == ["done"] * 3


@pytest.mark.parametrize(
    ("here", "there", "becomes"),
    [
        (State.DISCARDED, State.UNATTRIBUTED, State.DISCARDED),
        (State.DISCARDED, State.READY, State.DISCARDED),
        (State.DISCARDED, State.REJECTED, State.DISCARDED),
        (State.SENT, State.DISCARDED, State.SENT),
        (State.READY, State.DISCARDED, State.READY),
        (State.UNATTRIBUTED, State.DISCARDED, State.DISCARDED),
        (State.REJECTED, State.DISCARDED, State.DISCARDED),
        (State.REJECTED, State.READY, State.READY),
        (State.REJECTED, State.SENT, State.SENT),
        (State.REJECTED, State.UNPRICED, State.REJECTED),
        (State.UNATTRIBUTED, State.READY, State.READY),
    ],
)
def test_what_a_person_has_decided_outlives_the_copy_of_a_file(
    outbox: Outbox, tmp_path: Path, here: State, there: State, becomes: State
) -> None:
    """A process was killed in the middle of adopting a file, so both have the call; one of them was ordered about."""
    source = Outbox(tmp_path / "outbox-11111111.db")
    for each, state in ((outbox, here), (source, there)):
        desk = Desk(each)
        desk.record(a_call(1))
        desk.decide()
        each.database.write("UPDATE events SET state = ?", (state.value,))

    copy_outbox(source, outbox)
    source.close()

    assert Desk(outbox).states() == {external_id(a_call(1)): becomes}


def test_an_event_that_was_built_anew_is_not_taken_for_the_refused_one(outbox: Outbox, tmp_path: Path) -> None:
    """Which of the two Polar would get would depend on which file was read first."""
    source = Outbox(tmp_path / "outbox-11111111.db")
    for each, name in ((outbox, "old"), (source, "new")):
        desk = Desk(each, options={"event_name": name})
        desk.record(a_call(1))
        desk.decide()
    outbox.database.write("UPDATE events SET state = 'rejected'", ())

    copy_outbox(source, outbox)
    source.close()

    assert [(row.state, json.loads(row.body or "{}")["name"]) for row in outbox.ledger()] == [(State.REJECTED, "old")]
