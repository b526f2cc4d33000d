"""Specifies how the owner of an outbox finds orders, and what happens when something happens in between."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.disk.transfer import copy_outbox
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.orders import taking as taking_orders
from otel_polar.delivery.orders.answers import Outcome
from otel_polar.delivery.orders.files import OrderFiles
from otel_polar.delivery.orders.order import KEPT_S, Kind, make_orders
from otel_polar.delivery.orders.taking import PORTION, TakingOrders
from otel_polar.errors import OutboxError
from tests.delivery.deciding.test_intake import Desk
from tests.delivery.orders.test_carrying_out import ALICE, shown
from tests.delivery.support import NOON, Clock, a_call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.delivery.orders.order import Order


class Owner:
    """The owner of an outbox file, with a clock of its own."""

    def __init__(self, outbox: Outbox) -> None:
        assert outbox.path is not None
        self.desk = Desk(outbox)
        self.outbox = outbox
        self.monotonic = Clock(100.0)
        self.files = OrderFiles(outbox.path.parent)
        self.name = outbox.path.stem
        self.refreshed = 0
        self.restart()

    def restart(self) -> None:
        assert self.outbox.path is not None
        self.desk.restart()
        self.taking = TakingOrders(
            self.outbox.path.parent,
            notices=Notices(),
            refresh=self.refresh,
            clock=lambda: NOON + 60.0,
            monotonic=self.monotonic,
        )

    def refresh(self) -> None:
        self.refreshed += 1

    def hold(self, *numbers: int) -> None:
        self.desk.record(*(a_call(number, customer=NOBODY) for number in numbers))
        while self.desk.decide() is not None:
            pass

    def leave(self, kind: Kind = Kind.ASSIGN, customer: Customer | None = ALICE) -> Order:
        (order,) = make_orders(kind, shown(self.desk), now=NOON + 30.0, customer=customer)
        self.files.leave(order)
        return order

    def take(self) -> bool:
        """A step, a second after the last one."""
        self.monotonic.now += 1.0
        return self.taking.take(self.outbox, self.desk.intake)

    def take_all(self) -> None:
        while self.take():
            pass

    def outcomes(self, order: Order) -> list[str]:
        answer = self.files.answers(order.id)[self.name]
        assert answer.is_complete
        return [answer.results[place].outcome.value for place in sorted(answer.results)]


@pytest.fixture
def owner(outbox: Outbox) -> Owner:
    return Owner(outbox)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Owner]:
    outbox = Outbox(tmp_path / "outbox-11111111.db")
    yield Owner(outbox)
    outbox.close()


def test_an_order_is_found_within_a_second_carried_out_and_answered(owner: Owner) -> None:
    """A person waits for it."""
    owner.hold(1, 2)
    assert not owner.taking.have_come()

    order = owner.leave()
    assert not owner.taking.have_come(), "it is looked for once a second"
    owner.monotonic.now += 1.0
    assert owner.taking.have_come()
    owner.take_all()

    assert owner.outcomes(order) == ["done", "done"]
    assert owner.outbox.counts() == {State.READY: 2}
    assert owner.refreshed == 1
    assert not owner.taking.have_come()
    assert oct(owner.files.path.stat().st_mode & 0o777) == "0o700"
    assert {oct(path.stat().st_mode & 0o777) for path in owner.files.path.iterdir()} == {"0o600"}


def test_new_calls_have_their_turn_between_two_portions(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order for many calls must not hold up what is recorded meanwhile."""
    monkeypatch.setattr(taking_orders, "PORTION", 2)
    owner.hold(1, 2, 3)
    order = owner.leave()

    assert owner.take()
    assert owner.outbox.counts() == {State.READY: 2, State.UNATTRIBUTED: 1}
    assert not owner.files.answers(order.id)[owner.name].is_complete
    owner.take_all()

    assert owner.outcomes(order) == ["done"] * 3


def test_an_order_that_was_withdrawn_is_not_gone_on_with(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it any more, and what it has not begun will not be done."""
    monkeypatch.setattr(taking_orders, "PORTION", 2)
    owner.hold(1, 2, 3)
    order = owner.leave()
    owner.take()

    owner.files.withdraw(order.id)
    owner.take_all()

    assert owner.outbox.counts() == {State.READY: 2, State.UNATTRIBUTED: 1}
    assert list(owner.files.path.iterdir()) == []


def test_who_is_killed_before_it_answers_is_followed_by_one_who_does(owner: Owner) -> None:
    """What was done is in the ledger; nothing is done twice."""
    owner.hold(1, 2)
    order = owner.leave()
    owner.take_all()
    before = owner.outbox.database.read("SELECT * FROM events")
    for path in owner.files.path.glob("*.done"):
        path.unlink()

    owner.restart()
    owner.take_all()

    assert owner.outcomes(order) == ["done", "done"]
    assert owner.outbox.database.read("SELECT * FROM events") == before


def test_who_adopts_a_file_carries_out_what_was_ordered_for_it(owner: Owner, other: Owner) -> None:
    """Its owner was killed before it came to that; the adopter had looked at the order before."""
    other.hold(1, 2)
    order = other.leave()
    owner.hold(3)
    owner.take_all()
    assert owner.outcomes(order) == []

    copy_outbox(other.outbox, owner.outbox)
    owner.take_all()

    assert owner.outcomes(order) == ["done", "done"]
    assert owner.outbox.counts() == {State.READY: 2, State.UNATTRIBUTED: 1}


def test_a_call_that_has_moved_on_is_left_alone_and_said(owner: Owner) -> None:
    """Another span named its customer, a moment before."""
    owner.hold(1)
    order = owner.leave()
    owner.desk.record(a_call(1, customer=Customer(external_customer_id="bob")))
    owner.desk.decide()

    owner.take_all()

    assert owner.outcomes(order) == [Outcome.CHANGED.value]
    assert "bob" in str(owner.outbox.ledger()[0].body)


def test_an_order_that_cannot_be_carried_out_stays_and_is_tried_again(
    owner: Owner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is over some time; it is said once."""
    owner.hold(1)
    order = owner.leave()
    with monkeypatch.context() as patch:
        patch.setattr(owner.outbox.database, "transaction", _no_room)
        for _ in range(20):
            owner.take()
    assert owner.files.answers(order.id) == {}
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "no room" in error

    owner.monotonic.now += 10.0
    owner.take_all()

    assert owner.outcomes(order) == ["done"]
    assert "alice" not in caplog.text


def _no_room() -> Any:
    raise OutboxError("there is no room")


def test_an_answer_that_cannot_be_written_is_written_later(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done is not undone by that."""
    owner.hold(1)
    order = owner.leave()
    with monkeypatch.context() as patch:
        patch.setattr(OrderFiles, "answer", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        owner.take()
    assert owner.outbox.counts() == {State.READY: 1}

    owner.monotonic.now += 10.0
    owner.take_all()

    assert owner.outcomes(order) == ["done"]


def test_an_order_that_cannot_be_read_does_not_stand_in_the_way_of_others(
    owner: Owner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has put it there as another user; its name comes first."""
    owner.hold(1)
    order = owner.leave()
    (owner.files.path / f"{'0' * 16}.json").write_text("{}")
    read = OrderFiles.read

    def refusing(files: OrderFiles, order_id: str) -> Order | None:
        if order_id == "0" * 16:
            raise PermissionError(13, "Permission denied")
        return read(files, order_id)

    monkeypatch.setattr(OrderFiles, "read", refusing)
    for _ in range(20):
        owner.take()

    assert owner.outcomes(order) == ["done"]
    assert sum("Permission denied" in record.getMessage() for record in caplog.records) == 1
    assert not owner.taking.have_come()


GOOD: dict[str, Any] = {
    "version": 1,
    "id": "0" * 16,
    "kind": "assign",
    "made_at": NOON,
    "customer": {"id": None, "external_id": "alice", "member_id": None},
    "calls": [{"state": "held: unattributed", "reason": None, "external_ids": ["e1"]}],
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b'{"version": ' + b"9" * 5_000 + b"}",
        *(
            json.dumps({**GOOD, **changes}).encode()
            for changes in (
                {"version": 2},
                {"version": True},
                {"id": "1" * 16},
                {"kind": "bill twice"},
                {"kind": ["assign"]},
                {"kind": "release"},
                {"made_at": "noon"},
                {"made_at": float("nan")},
                {"made_at": 10**400},
                {"made_at": -1},
                {"customer": None},
                {"customer": {"id": None, "external_id": None, "member_id": None}},
                {"customer": {"id": "x", "external_id": "y", "member_id": None}},
                {"customer": {"id": None, "external_id": "a\u0000b", "member_id": None}},
                {"customer": {"id": None, "external_id": 7, "member_id": None}},
                {"customer": {"id": None, "external_id": "\ud800", "member_id": None}},
                {"calls": None},
                {"calls": ["e1"]},
                {"calls": [{"state": "sent", "reason": None, "external_ids": ["e1"]}]},
                {"calls": [{"state": "ready", "reason": None, "external_ids": ["e1"]}]},
                {"calls": [{"state": [], "reason": None, "external_ids": ["e1"]}]},
                {"calls": [{"state": "held: unattributed", "reason": 1, "external_ids": ["e1"]}]},
                {"calls": [{"state": "held: unattributed", "reason": None, "external_ids": [1]}]},
                {"calls": [{"state": "held: unattributed", "reason": None, "external_ids": [""]}]},
                {"calls": [{"state": "held: unattributed", "reason": None, "external_ids": ["e1", "e1"]}]},
                {"calls": [{"state": "held: unattributed", "reason": None, "external_ids": ["e" * 5_000]}]},
                {
                    "calls": [
                        {"state": "held: unattributed", "reason": None, "external_ids": [f"{n}" for n in range(20_001)]}
                    ]
                },
            )
        ),
    ],
    ids=lambda content: str(content[:60]),
)
def test_what_is_no_order_is_put_aside_and_said_once(
    owner: Owner, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Half an order would be another one; and the next one behind it is carried out."""
    owner.hold(1)
    order = owner.leave()
    (owner.files.path / f"{'0' * 16}.json").write_bytes(content)

    owner.take_all()
    owner.take_all()

    assert owner.outcomes(order) == ["done"]
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "is no order: " in error
    assert len(list(owner.files.path.glob("*.unreadable"))) == 1


def test_links_pipes_and_other_names_are_no_orders(owner: Owner, tmp_path: Path) -> None:
    """A pipe would make the delivery wait for ever, a link read what is not ours."""
    owner.hold(1)
    order = owner.leave()
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps(GOOD))
    (owner.files.path / f"{'0' * 16}.json").symlink_to(elsewhere)
    os.mkfifo(owner.files.path / f"{'1' * 16}.json")
    (owner.files.path / "readme.json").write_text("{}")
    (owner.files.path / f"{'2' * 16}.json").mkdir()

    owner.take_all()

    assert owner.outcomes(order) == ["done"]
    assert len(list(owner.files.path.glob("*.unreadable"))) == 4
    assert elsewhere.exists()


def test_an_order_of_last_month_is_not_carried_out_any_more(owner: Owner) -> None:
    """Its command was killed; whoever gave it has looked at the outbox since."""
    owner.hold(1)
    (order,) = make_orders(Kind.ASSIGN, shown(owner.desk), now=NOON - KEPT_S, customer=ALICE)
    owner.files.leave(order)

    owner.take_all()

    assert owner.outbox.counts() == {State.UNATTRIBUTED: 1}


def test_an_order_for_more_calls_than_a_portion_is_carried_out_as_a_whole(owner: Owner) -> None:
    """A month of a forgotten customer id."""
    owner.hold(*range(3 * PORTION + 1))
    order = owner.leave()

    owner.take_all()

    assert owner.outcomes(order) == ["done"] * (3 * PORTION + 1)
