"""Specifies signed identities: what a caller cannot forge, alter, or use for ever."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import baggage, context

from otel_polar import bill_to
from otel_polar.billing.customer import Customer, CustomerKeys, Unattributed
from otel_polar.capture.identity import ALTERED, CONTRADICTED, EXPIRED, SIGNED_MEMBER, UNSIGNED
from otel_polar.capture.signing import Signatures
from tests.capture.support import HELD, OTHER_UUID4, UUID4, another_service, inbound_baggage, members

if TYPE_CHECKING:
    from tests.capture.conftest import MakeApp

SECRET: Final = "a secret of sixteen characters or more"
MAX_AGE_S: Final = 7_200.0
KEYS: Final = CustomerKeys()
ALICE: Final = Customer(external_customer_id="alice", member_id="m_1")


def signatures(*, secret: str = SECRET, now: float | None = None) -> Signatures:
    import time  # noqa: PLC0415 - the real clock, unless a test says another time

    return Signatures(secret, MAX_AGE_S, clock=time.time if now is None else lambda: now)


@pytest.mark.parametrize(
    "customer",
    [ALICE, Customer(customer_id=UUID4, member_id=OTHER_UUID4), Customer(external_customer_id="Zoë +%;,= \u2028"[:5])],
)
def test_what_was_signed_is_what_is_read(customer: Customer) -> None:
    """Whichever kind of id it is, in characters that every propagator leaves alone."""
    token = signatures().sign(customer)

    assert signatures().carried({SIGNED_MEMBER: token}, KEYS)[0] == customer
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@pytest.mark.parametrize(
    ("told", "answer"),
    [
        ({}, None),
        ({"theirs": "x"}, None),
        ({"userId": "alice"}, UNSIGNED),
        ({"customerId": UUID4}, UNSIGNED),
        ({"userId": "not an id"}, UNSIGNED),
        ({SIGNED_MEMBER: "alice"}, ALTERED),
        ({SIGNED_MEMBER: ""}, ALTERED),
        ({SIGNED_MEMBER: signatures().sign(ALICE)[:-2] + "xx"}, ALTERED),
        ({SIGNED_MEMBER: "x" + signatures().sign(ALICE)}, ALTERED),
        ({SIGNED_MEMBER: signatures(secret="another secret of the same length..").sign(ALICE)}, ALTERED),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "userId": "bob", "memberId": "m_1"}, CONTRADICTED),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "userId": "alice", "memberId": "m_2"}, CONTRADICTED),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "customerId": UUID4}, CONTRADICTED),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "user_id": "bob"}, CONTRADICTED),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "userId": "alice"}, ALICE),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "userId": "alice", "memberId": "m_1"}, ALICE),
        ({SIGNED_MEMBER: signatures().sign(ALICE), "theirs": "x"}, ALICE),
    ],
)
def test_only_a_signature_of_ours_is_believed(told: dict[str, object], answer: Customer | Unattributed | None) -> None:
    """A header can be written by anybody."""
    assert signatures().carried(told, KEYS)[0] == answer


def test_an_old_signature_is_believed_no_more() -> None:
    """Whoever saw one once must not bill its owner for ever."""
    import time  # noqa: PLC0415 - the signature has the real time in it

    token = {SIGNED_MEMBER: signatures().sign(ALICE)}

    assert signatures(now=time.time() + MAX_AGE_S / 2).carried(token, KEYS)[0] == ALICE
    assert signatures(now=time.time() + 2 * MAX_AGE_S).carried(token, KEYS)[0] == EXPIRED


def test_a_payload_that_is_no_identity_is_refused() -> None:
    """Another program may sign with the same secret."""
    signer = signatures()

    payloads: list[object] = ["alice", [], [None] * 4, [1, 2], [None, "x" * 201, None, {}], {"a": 1}]
    for payload in [*payloads, [None, "a", None, 5]]:
        assert signer.carried({SIGNED_MEMBER: signer._serializer.dumps(payload)}, KEYS)[0] == ALTERED


def test_an_identity_travels_signed_to_the_next_service(make_app: MakeApp) -> None:
    """With bill_to in the one and nothing in the other, through the standard propagator."""
    app = make_app(baggage_secret=SECRET)
    with bill_to("alice", plan="pro"):
        there = another_service()
        assert members().keys() == {"userId", SIGNED_MEMBER, "plan"}
    app.call(parent=there)

    assert app.payers() == ["alice"]


@pytest.mark.parametrize(
    "forged",
    [{"userId": "victim"}, {"customerId": UUID4}, {SIGNED_MEMBER: "WyJhIl0.aQ.x"}],
    ids=["a plain id", "Polar's id", "a made up signature"],
)
def test_a_forged_identity_is_refused_counted_and_the_call_held(
    make_app: MakeApp, forged: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """The victim is not billed, and the call is not lost."""
    app = make_app(baggage_secret=SECRET)
    for _ in range(3):
        with inbound_baggage(forged):
            app.call()

    assert app.payers() == [HELD] * 3
    assert app.pipeline.counts["identity refused"] == 3
    assert caplog.text.count("is held as unattributed") == 1
    assert "baggage: " in caplog.text
    assert "victim" not in caplog.text


def test_tags_count_only_if_they_are_signed_with_the_identity(make_app: MakeApp) -> None:
    """A forged one may choose the meter; what the application told travels in the signature."""
    app = make_app(baggage_secret=SECRET, tags="plan, seats")
    with bill_to("alice", plan="pro"), bill_to(seats=3, unnamed="x"):
        there = another_service()
    app.call(parent=there)
    app.call(parent=baggage.set_baggage("plan", "enterprise", there))
    with inbound_baggage({"plan": "enterprise"}), bill_to("bob"):
        app.call()

    told = [(body["metadata"].get("plan"), body["metadata"].get("seats")) for body in app.bodies()]
    assert told == [("pro", "3"), ("pro", "3"), (None, None)]


def test_tags_that_are_too_long_for_a_member_are_left_out() -> None:
    """The identity is not lost for them."""
    signer = signatures()
    token = signer.sign(ALICE, {"essay": random.Random(5).randbytes(4_000).hex()})

    assert len(token) < 4_096
    assert signer.carried({SIGNED_MEMBER: token}, KEYS) == (ALICE, {})


def test_an_id_with_a_space_is_believed_where_it_is_signed(make_app: MakeApp) -> None:
    """In plain baggage it may have been a '+'; the signature says what it was."""
    app = make_app(baggage_secret=SECRET)
    with bill_to("a b"):
        app.call(parent=another_service())

    assert app.payers() == ["a b"]


def test_bill_to_replaces_a_forged_identity(make_app: MakeApp) -> None:
    """What the application says is not refused because of what a caller said."""
    app = make_app(baggage_secret=SECRET)
    with inbound_baggage({"userId": "victim", SIGNED_MEMBER: "x.y.z"}), bill_to("alice"):
        app.call()
        app.call(parent=another_service())

    assert app.payers() == ["alice", "alice"]


def test_a_stolen_signature_does_not_vouch_for_another_id(make_app: MakeApp) -> None:
    """Beside it stands who is to be billed instead."""
    app = make_app(baggage_secret=SECRET)
    with bill_to("mallory"):
        token = str(members()[SIGNED_MEMBER])
    with inbound_baggage({SIGNED_MEMBER: token, "userId": "victim"}):
        app.call()

    assert app.payers() == [HELD]


def test_without_a_secret_nothing_is_signed(app: Any) -> None:
    """And an inbound signature means nothing."""
    with bill_to("alice"):
        assert members() == {"userId": "alice"}
    with inbound_baggage({SIGNED_MEMBER: signatures().sign(ALICE)}):
        app.call()

    assert app.payers() == [HELD]


def test_a_header_full_of_foreign_members_cannot_push_ours_out(make_app: MakeApp) -> None:
    """A header takes 180 members; the standard propagator cuts off what stands behind them."""
    app = make_app(baggage_secret=SECRET)
    flood = {f"junk{number}": "x" for number in range(180)}
    with inbound_baggage(flood), bill_to("alice"):
        app.call(parent=another_service())
    long = {f"junk{number}": "x" * 4_000 for number in range(2)}
    with inbound_baggage(long), bill_to("bob"):
        app.call(parent=another_service())

    assert app.payers() == ["alice", "bob"]
    assert context.get_current() == {}
