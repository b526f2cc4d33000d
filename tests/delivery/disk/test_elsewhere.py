"""Specifies what a replay makes of calls that another process in the same directory has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.pricing import Unpriced
from otel_polar.delivery.deciding.intake import Intake
from otel_polar.delivery.disk.elsewhere import Elsewhere
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.record import dump_measurement
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.delivery.orders.order import Kind
from tests.delivery.deciding.test_intake import Desk, inner, outer
from tests.delivery.orders.test_carrying_out import ALICE, BOB, do, hold_for_nobody
from tests.delivery.support import NOON, START_UNIX_NANO, a_call, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Desk]:
    """An application that lives."""
    outbox = Outbox(tmp_path / "outbox-11111111.db")
    yield Desk(outbox)
    outbox.close()


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Desk]:
    """A replay with a file beside it."""
    path = tmp_path / "outbox-22222222.db"
    desk = Desk(Outbox(path))
    desk.intake = Intake(
        desk.outbox,
        settings=settings(),
        price=desk.price,
        notices=desk.notices,
        counts=desk.counts,
        elsewhere=Elsewhere(tmp_path, lambda: [path]),
    )
    yield desk
    desk.outbox.close()


def replayed(replay: Desk, *calls: Any) -> list[tuple[str, str | None]]:
    """What the replay would send of these, and to whom."""
    replay.record(*calls)
    replay.decide()
    return [(body["external_id"], body.get("external_customer_id")) for body in replay.bodies()]


def joined(app: Desk, replay: Desk) -> list[State]:
    """The states of all calls once the replay's file has been taken over by the application."""
    copy_outbox(replay.outbox, app.outbox)
    return sorted(app.states().values())


@pytest.mark.parametrize("is_there", [{"customer": NOBODY}, {"customer": ALICE}], ids=["unattributed", "unpriced"])
def test_a_call_of_two_spans_that_is_held_there_does_not_vanish(
    app: Desk, replay: Desk, is_there: dict[str, Any]
) -> None:
    """Each span would be written down as another one of the other: held by nobody, and never billed."""
    app.resolver = lambda _: Unpriced("no price")
    spans = [inner(1, **is_there), outer(1, **is_there)]
    app.record(*spans)
    app.decide()
    held = app.states()
    assert sorted(state.is_held for state in held.values()) == [False, True]

    assert replayed(replay, *spans) == []

    copy_outbox(replay.outbox, app.outbox)
    assert app.states() == held


def test_who_was_named_by_a_person_pays_also_before_polar_has_the_event(app: Desk, replay: Desk) -> None:
    """Polar takes one event under an id, the first: a replay must not come first with the customer of the span."""
    hold_for_nobody(app, 1)
    do(app, Kind.ASSIGN, customer=ALICE)
    assert list(app.states().values()) == [State.READY]

    assert replayed(replay, a_call(1, customer=BOB)) == []
    assert joined(app, replay) == [State.READY]


def test_who_was_named_by_a_person_pays_also_while_there_is_no_price(app: Desk, replay: Desk) -> None:
    """It is held there for another reason, and that a person has named somebody is in its recorded call."""
    app.resolver = lambda _: Unpriced("no price")
    hold_for_nobody(app, 1)
    do(app, Kind.ASSIGN, customer=ALICE)

    assert replayed(replay, a_call(1, customer=BOB)) == []


def test_one_of_two_spans_that_contradict_each_other_decides_nothing(app: Desk, replay: Desk) -> None:
    """Nobody is billed until a person decides, although the file of the replay has only one of the two."""
    app.record(inner(1, customer=ALICE), outer(1, customer=BOB))
    app.decide()

    assert replayed(replay, inner(1, customer=ALICE)) == []
    assert replayed(replay, outer(1, customer=BOB)) == []


def test_what_is_held_there_is_sent_if_its_file_knows_who_pays(app: Desk, replay: Desk) -> None:
    """For that a replay is made; when the files come together, it is sent, once."""
    hold_for_nobody(app, 1)

    assert replayed(replay, a_call(1, customer=BOB)) == [(external_id(a_call(1)), "bob")]
    assert joined(app, replay) == [State.READY]


def test_a_span_that_comes_twice_leaves_no_row_that_stands_in_the_way_of_the_event(app: Desk, replay: Desk) -> None:
    """The application died before it had sent it; whoever takes over both files, in whatever order, has to send it."""
    app.record(a_call(1))
    app.decide()

    for _ in range(3):
        assert replayed(replay, a_call(1), a_call(1)) == []

    assert replay.states() == {}
    assert replay.counts["known elsewhere"] == 6


def test_another_span_of_what_is_on_its_way_there_is_known_again_by_its_own_id(app: Desk, replay: Desk) -> None:
    """Its own process never saw it; the next replay may have it alone."""
    app.record(inner(1))
    app.decide()

    assert replayed(replay, inner(1), outer(1)) == []

    assert replay.states() == {external_id(outer(1)): State.DUPLICATE}


def test_a_measurement_that_was_discarded_there_is_not_billed_by_a_replay(app: Desk, replay: Desk) -> None:
    """Of what a person has discarded only the ledger knows."""
    measurement = Measurement(
        event_name="ocr",
        values={"pages": 3},
        trace_id="1" * 32,
        span_id="2" * 16,
        start_time_unix_nano=START_UNIX_NANO,
        end_time_unix_nano=None,
        customer=NOBODY,
        tags={},
    )
    app.outbox.record(dump_measurement(measurement), NOON)
    app.decide()
    do(app, Kind.DISCARD)

    replay.outbox.record(dump_measurement(measurement._replace(customer=Customer(external_customer_id="bob"))), NOON)
    replay.decide()

    assert replay.states() == {}


def test_a_file_that_cannot_be_read_is_named_and_stops_nothing(app: Desk, replay: Desk, tmp_path: Path) -> None:
    """What lies in it may be billed twice only where Polar does not know its id, and that is said."""
    (tmp_path / "outbox-33333333.db").write_bytes(b"no database" * 1_000)
    elsewhere = Elsewhere(tmp_path)
    app.record(a_call(1))
    app.decide()

    assert elsewhere.known([external_id(a_call(1))]) == {external_id(a_call(1)): True}
    assert elsewhere.unreadable == {"outbox-33333333.db"}
    assert replay.states() == {}
