"""Who pays: ``bill_to`` and the identity of a span at its start."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context

from otel_polar import bill_to
from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.metadata import MAX_VALUE_CHARACTERS
from otel_polar.billing.tags import MAX_TAG_CHARACTERS
from otel_polar.capture.blocks import current_context
from otel_polar.capture.identity import BaggageRules, identity_in
from tests.capture.support import (
    HELD,
    OTHER_UUID4,
    UUID4,
    another_service,
    inbound_baggage,
    members,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.context import Context

    from tests.capture.conftest import MakeApp
    from tests.capture.support import App

RULES = BaggageRules()


# --- bill_to as context manager and decorator -------------------------------------------------------------------------


def test_calls_inside_a_block_are_billed_to_its_customer_and_those_outside_to_nobody(app: App) -> None:
    """The block is the whole interface: what stands before and behind it is none of that customer's business."""
    app.call()
    with bill_to("user_42"):
        app.call()
    app.call()

    assert app.payers() == [HELD, "user_42", HELD]


def test_a_function_is_billed_while_it_runs(app: App) -> None:
    """A decorator says the same as a block around every call of the function, and the function stays itself."""

    @bill_to("user_42", plan="pro")
    def answer(question: str, *, times: int = 1) -> str:
        """Answer it."""
        app.call()
        return question * times

    assert answer("a", times=2) == "aa"
    app.call()
    assert (answer.__name__, answer.__doc__) == ("answer", "Answer it.")
    assert app.payers() == ["user_42", HELD]


def test_a_method_is_billed_while_it_runs(app: App) -> None:
    """A decorated method still gets its own instance, whichever kind of method it is."""

    class Bot:
        name = "bot"

        @bill_to("by_instance")
        def answer(self) -> str:
            app.call()
            return self.name

        @classmethod
        @bill_to("by_class")
        def make(cls) -> str:
            app.call()
            return cls.name

        @staticmethod
        @bill_to("by_nobody_in_particular")
        def help(topic: str) -> str:
            app.call()
            return topic

    assert (Bot().answer(), Bot.make(), Bot.help("x")) == ("bot", "bot", "x")
    assert app.payers() == ["by_instance", "by_class", "by_nobody_in_particular"]


def test_a_coroutine_function_is_billed_while_it_is_awaited(app: App) -> None:
    """Calling one does nothing yet; a block around the call would be over before the first line of it runs."""

    @bill_to("user_42")
    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        app.call()
        return question

    async def main() -> str:
        awaitable = answer("a")
        app.call()
        return await awaitable

    assert asyncio.run(main()) == "a"
    assert app.payers() == [HELD, "user_42"]


def test_a_decorated_function_that_raises_raises_its_own_exception(app: App) -> None:
    """The caller must see what happened in their code, and the next call must not be billed to the last customer."""

    @bill_to("user_42")
    def fail() -> None:
        raise LookupError("the user's own")

    with pytest.raises(LookupError, match="the user's own"):
        fail()
    app.call()

    assert app.payers() == [HELD]


def test_a_block_can_be_entered_again_inside_itself(app: App) -> None:
    """A decorated function may call itself."""
    shared = bill_to("user_42")

    @shared
    def count_down(number: int) -> None:
        app.call()
        if number:
            count_down(number - 1)

    with shared, shared:
        count_down(1)
        app.call()
    app.call()

    assert app.payers() == ["user_42", "user_42", "user_42", HELD]


# --- Precedence and nesting -------------------------------------------------------------------------------------------


def test_bill_to_wins_over_the_spans_attributes_and_those_over_baggage(app: App) -> None:
    """The most explicit word counts: the application's, then the instrumentation's, then what a caller sent."""
    with inbound_baggage({"userId": "from_baggage"}):
        app.call()
        app.call({"user.id": "from_the_span"})
        with bill_to("from_bill_to"):
            app.call({"user.id": "from_the_span"})

    assert app.payers() == ["from_baggage", "from_the_span", "from_bill_to"]


def test_polars_own_id_wins_over_the_external_one(app: App) -> None:
    """Only one of the two may be sent, and Polar's own cannot be ambiguous."""
    with bill_to("user_42", customer_id=UUID4):
        app.call()
    app.call({"user.id": "user_42", "customer_id": UUID4})
    with inbound_baggage({"userId": "user_42", "customerId": UUID4}):
        app.call()

    assert app.payers() == [UUID4, UUID4, UUID4]


@pytest.mark.parametrize(
    "customer_id",
    [
        "user_42",  # an external id at the wrong place
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",  # a UUID of version 1
        "00000000-0000-0000-0000-000000000000",  # the UUID of nothing
        "",
    ],
)
def test_a_customer_id_that_is_no_uuid_of_version_4_bills_nobody(app: App, customer_id: str) -> None:
    """Polar would refuse the whole batch, and the external id beside it may be somebody else's."""
    with bill_to("user_42", customer_id=customer_id):
        app.call()
    app.call({"user.id": "user_42", "customer_id": customer_id})
    with inbound_baggage({"userId": "user_42", "customerId": customer_id}):
        app.call()

    assert app.payers() == [HELD, HELD, HELD]


def test_a_customer_id_is_written_as_polar_writes_it(app: App) -> None:
    """The same customer must not look like two."""
    with bill_to(customer_id=UUID4.upper()):
        app.call()
    with bill_to(customer_id=UUID(UUID4)):
        app.call()

    assert app.payers() == [UUID4, UUID4]


@pytest.mark.parametrize("nobody", [{"user_id": None}, {"customer_id": None}, {"user_id": None, "customer_id": None}])
def test_none_inside_a_block_bills_nobody(app: App, nobody: dict[str, None]) -> None:
    """A look-up that finds no user must not bill whoever happens to stand around it, here or in the next service."""
    with inbound_baggage({"userId": "caller"}), bill_to("outer"), bill_to(**nobody):
        app.call()
        app.call({"user.id": "from_the_span"})
        app.call(parent=another_service())

    assert app.payers() == [HELD, HELD, HELD]


def test_tags_alone_keep_the_customer(app: App) -> None:
    """A function that knows the feature need not know the user."""
    with bill_to("user_42", plan="pro"), bill_to(feature="search"):
        app.call()
        assert members() == {"userId": "user_42", "plan": "pro", "feature": "search"}

    (body,) = app.bodies()
    assert body["external_customer_id"] == "user_42"
    assert (body["metadata"]["plan"], body["metadata"]["feature"]) == ("pro", "search")


def test_tags_alone_leave_a_caller_from_baggage_in_place(app: App) -> None:
    """They say nothing about who pays."""
    with inbound_baggage({"userId": "caller"}), bill_to(feature="search"):
        app.call()
        app.call({"user.id": "from_the_span"})

    assert app.payers() == ["caller", "from_the_span"]
    assert [body["metadata"]["feature"] for body in app.bodies()] == ["search", "search"]


def test_another_customer_drops_the_outer_tags(app: App) -> None:
    """The outer customer's plan is not the inner one's, here or in the next service."""
    with bill_to("a", plan="pro", seat=7), bill_to("b", feature="search"):
        app.call()
        assert members() == {"userId": "b", "feature": "search"}

    (body,) = app.bodies()
    assert body["external_customer_id"] == "b"
    assert body["metadata"]["feature"] == "search"
    assert body["metadata"].keys().isdisjoint({"plan", "seat"})


def test_an_inner_customer_replaces_an_outer_one_of_the_other_kind(app: App) -> None:
    """An outer internal id would win over the inner external one if anything of it were left."""
    with bill_to(customer_id=UUID4, member_id="m"), bill_to("user_42"):
        app.call()
        app.call(parent=another_service())
    with bill_to("user_42", member_id="m"), bill_to(customer_id=OTHER_UUID4):
        app.call()
        app.call(parent=another_service())

    assert app.payers() == ["user_42", "user_42", OTHER_UUID4, OTHER_UUID4]
    assert all(body.keys().isdisjoint({"member_id", "external_member_id"}) for body in app.bodies())


def test_a_member_follows_the_kind_of_the_customers_id(app: App) -> None:
    """Polar takes its own member id beside its own customer id, and yours beside yours."""
    with bill_to("user_42", member_id="m_1"):
        app.call()
    with bill_to(customer_id=UUID4, member_id=OTHER_UUID4):
        app.call()
    with bill_to("user_42"), bill_to(member_id="m_3"):
        app.call()

    assert [(body.get("external_member_id"), body.get("member_id")) for body in app.bodies()] == [
        ("m_1", None),
        (None, OTHER_UUID4),
        ("m_3", None),
    ]


@pytest.mark.parametrize("nested", [False, True])
def test_your_own_member_id_beside_polars_customer_id_is_held(app: App, nested: bool) -> None:  # noqa: FBT001 - a table
    """Polar refuses the whole batch for it."""
    if nested:
        with bill_to(customer_id=UUID4), bill_to(member_id="m_1"):
            app.call()
    else:
        with bill_to(customer_id=UUID4, member_id="m_1"):
            app.call()

    assert app.payers() == [HELD]


class User(StrEnum):
    ALICE = "user_42"


@pytest.mark.parametrize("written", [42, UUID(UUID4), User.ALICE])
def test_ids_that_databases_hand_out_are_written_as_text(app: App, written: Any) -> None:
    """An integer key, a UUID and a member of an enumeration are ids as they are."""
    with bill_to(written):
        app.call()

    assert app.payers() == [str(written)]


# --- Ids that cannot be right -----------------------------------------------------------------------------------------

INVALID_IDS = [
    pytest.param("u" * 201, id="one character too long"),
    pytest.param("u" * 300, id="300 characters"),
    pytest.param("user\n42", id="line break"),
    pytest.param("user\x0042", id="NUL"),
    pytest.param("user\u202e42", id="writing direction turned"),
    pytest.param("user\ud80042", id="lone surrogate"),
    pytest.param("user;role=admin", id="properties of a baggage member"),
    pytest.param("", id="empty"),
    pytest.param("   ", id="blank"),
    pytest.param(" user", id="white space around it, which may be part of the customer's id or not"),
    pytest.param("None", id="None as baggage writes it"),
    pytest.param("null", id="null as JavaScript writes it"),
    pytest.param("undefined", id="undefined as JavaScript writes it"),
    pytest.param(True, id="bool is an int in Python"),
    pytest.param(4.2, id="float"),
    pytest.param(b"user_42", id="bytes"),
    pytest.param(["user_42"], id="list"),
    pytest.param(object(), id="any object"),
]


@pytest.mark.parametrize("user_id", INVALID_IDS)
def test_an_id_that_cannot_be_right_bills_nobody_and_raises_nothing(app: App, user_id: Any) -> None:
    """Cut or repaired it may be another customer's; left out, the surrounding customer would pay."""
    with inbound_baggage({"userId": "caller"}), bill_to("outer"):
        with bill_to(user_id):
            app.call()
            app.call({"user.id": "from_the_span"})
            app.call(parent=another_service())
        with bill_to("outer", member_id=user_id):
            app.call()

    assert app.payers() == [HELD, HELD, HELD, HELD]


def test_a_number_too_long_to_write_out_bills_nobody_and_raises_nothing(app: App) -> None:
    """Python refuses to write very long integers as text, in the middle of the application's own line."""
    with bill_to(10**5_000):
        app.call()

    assert app.payers() == [HELD]


def test_an_invalid_id_on_the_span_ends_the_search(app: App) -> None:
    """Falling back to baggage could bill whoever sent the request for somebody else's call."""
    texts = [param.values[0] for param in INVALID_IDS if isinstance(param.values[0], str)]
    with inbound_baggage({"userId": "caller"}):
        for text in texts:
            app.call({"user.id": text})

    assert app.payers() == [HELD] * len(texts)


@pytest.mark.parametrize(
    "member",
    ["u" * 201, "user\n42", "", "None", "user 42", "user;role=admin"],
    ids=["too long", "line break", "empty", "None", "a '+' that was not encoded", "properties are cut off"],
)
def test_baggage_from_outside_is_never_repaired_into_another_id(app: App, member: str) -> None:
    """What follows a ``;`` are properties by the W3C's own rule; everything else unusual bills nobody."""
    with inbound_baggage({"userId": member}):
        app.call()

    assert app.payers() == ["user" if ";" in member else HELD]


@given(user_id=st.text(max_size=220))
def test_any_text_is_billed_as_it_is_or_not_at_all(user_id: str) -> None:
    """Here and in the next service there are two possible outcomes, and another customer is neither."""
    with bill_to(user_id):
        here = identity_in(current_context(), RULES)
        there = identity_in(another_service(), RULES)

    assert here is not None
    exact = Customer(external_customer_id=user_id)
    assert here.told == exact or isinstance(here.told, Unattributed)
    assert there is None or there.carried == exact or isinstance(there.carried, Unattributed)
    assert there is None or isinstance(here.told, Customer)


# --- Baggage ----------------------------------------------------------------------------------------------------------


def test_identity_and_tags_are_written_to_baggage() -> None:
    """It is how a service further down learns who pays; the keys are those of Polar's own npm destination."""
    with bill_to("user_42", member_id="m_1", plan="pro", seats=3, trial=False):
        assert members() == {"userId": "user_42", "memberId": "m_1", "plan": "pro", "seats": "3", "trial": "False"}
    with bill_to(customer_id=UUID4, member_id=OTHER_UUID4):
        assert members() == {"customerId": UUID4, "memberId": OTHER_UUID4}


def test_the_next_service_bills_the_same_customer(make_app: MakeApp) -> None:
    """The whole point of baggage, over the real propagator."""
    app = make_app(tags="plan")
    with bill_to("user+tag@example.com", member_id="m_1", plan="pro & more"):
        app.call(parent=another_service())
    with bill_to(customer_id=UUID4):
        app.call(parent=another_service())

    first, second = app.bodies()
    assert (first["external_customer_id"], first["external_member_id"]) == ("user+tag@example.com", "m_1")
    assert first["metadata"]["plan"] == "pro & more"
    assert second["customer_id"] == UUID4


FORGED = {
    "customerId": UUID4,
    "polarCustomerId": UUID4,
    "customer_id": UUID4,
    "userId": "victim",
    "externalId": "victim",
    "user_id": "victim",
    "user.id": "victim",
    "enduser.id": "victim",
    "memberId": "victim",
    "member_id": "victim",
}


def test_every_identity_that_came_in_is_taken_out(app: App) -> None:
    """A forged internal id beside the true external one would win in the next service."""
    with inbound_baggage({**FORGED, "theirs": "kept"}), bill_to("user_42"):
        assert members() == {"theirs": "kept", "userId": "user_42"}
        app.call()
        app.call(parent=another_service())

    assert app.payers() == ["user_42", "user_42"]
    assert all("external_member_id" not in body for body in app.bodies())


@pytest.mark.parametrize("invalid", [None, "user;42", "None"])
def test_every_identity_that_came_in_is_taken_out_even_if_nobody_pays(app: App, invalid: str | None) -> None:
    """Otherwise whoever forged it would be believed exactly when the application has refused to say."""
    with inbound_baggage(FORGED), bill_to(invalid):
        assert members() == {}
        app.call()

    assert app.payers() == [HELD]


@pytest.mark.parametrize("key", sorted(FORGED.keys() - {"user_id", "customer_id", "member_id"}))
def test_a_tag_cannot_pass_for_an_identity(app: App, key: str) -> None:
    """Tags travel in the same header; one named like an identity would be read as one by the next service."""
    with bill_to("user_42", **{key: UUID4}):
        assert members() == {"userId": "user_42"}
        app.call(parent=another_service())

    (body,) = app.bodies()
    assert (body["external_customer_id"], body.get("external_member_id")) == ("user_42", None)


def test_configured_keys_are_those_written_and_read(make_app: MakeApp) -> None:
    """An organization with its own words for a customer uses them on both ends."""
    app = make_app(external_customer_id_keys="tenant, userId", customer_id_keys=["polar"], member_id_keys=("seat",))
    with bill_to("acme", member_id="m_1"):
        assert members() == {"tenant": "acme", "seat": "m_1"}
        app.call(parent=another_service())
    with bill_to(customer_id=UUID4):
        assert members() == {"polar": UUID4}
        app.call(parent=another_service())
    app.call({"tenant": "acme"})
    app.call({"user.id": "not a key any more"})

    assert app.payers() == ["acme", UUID4, "acme", HELD]
    assert app.bodies()[0]["external_member_id"] == "m_1"


def test_configured_and_default_keys_that_came_in_are_taken_out(make_app: MakeApp) -> None:
    """The next service may be configured differently from this one."""
    make_app(external_customer_id_keys="tenant")
    with inbound_baggage({**FORGED, "tenant": "victim"}), bill_to("acme"):
        assert members() == {"tenant": "acme"}


def test_a_member_named_alone_travels_like_the_customer() -> None:
    """Here and in the next service the same call must be billed to the same member."""
    with bill_to("user_42"), bill_to(member_id="m_1"):
        assert members() == {"userId": "user_42", "memberId": "m_1"}


def test_an_invalid_member_named_alone_bills_nobody_in_the_next_service_either(app: App) -> None:
    """What is held here must not be billed there."""
    with bill_to("user_42"), bill_to(member_id="m;1"):
        app.call()
        app.call(parent=another_service())

    assert app.payers() == [HELD, HELD]


# --- Tags -------------------------------------------------------------------------------------------------------------


def test_tags_keep_their_type_and_other_things_are_written_as_text(app: App) -> None:
    """Meters can filter and sum numbers; what is no scalar must not break the call."""
    with bill_to("user_42", plan="pro", seats=3, ratio=0.5, trial=True, models=("a", 1), key=UUID(UUID4), nothing=None):
        app.call()

    (body,) = app.bodies()
    names = ("plan", "seats", "ratio", "trial", "models", "key", "nothing")
    assert {name: body["metadata"][name] for name in names if name in body["metadata"]} == {
        "plan": "pro",
        "seats": 3,
        "ratio": 0.5,
        "trial": True,
        "models": "a,1",
        "key": UUID4,
    }


def test_a_tag_never_replaces_what_was_measured(app: App) -> None:
    """``input_tokens`` as a tag would be a way to pay less."""
    with bill_to("user_42", input_tokens=0, cost_nanos=0, _cost=0, requests=0):
        app.call()

    (body,) = app.bodies()
    assert body["metadata"]["input_tokens"] == 10
    assert body["metadata"]["requests"] == 1
    assert body["metadata"]["cost_nanos"] == 4_500  # 10 * 0.15 + 5 * 0.60 = 4.5 millionths of a dollar
    assert body["metadata"]["_cost"] == {"amount": "0.000450000000", "currency": "usd"}


class Unwritable:
    """A lazy translation, a detached database object: there are objects that cannot be written as text."""

    def __str__(self) -> str:
        raise RuntimeError("detached")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Unwritable(), id="raises when written"),
        pytest.param(10**5_000, id="too long a number to write"),
        pytest.param("\ud800", id="lone surrogate"),
    ],
)
def test_a_tag_that_cannot_be_written_loses_the_tag_and_not_the_call(app: App, value: object) -> None:
    """A label is never worth an exception in the application, neither in the block nor in its next HTTP request."""
    with bill_to("user_42", label=value):
        app.call()
        app.call(parent=another_service())

    assert app.payers() == ["user_42", "user_42"]


# --- Threads, tasks, and the end of a block ---------------------------------------------------------------------------


def test_a_block_shared_by_threads_mixes_nobody_up(make_app: MakeApp) -> None:
    """A decorator is one object for all requests of a server, which run in many threads at once."""
    app = make_app(tags="number")
    shared = bill_to("shared")
    count = 8
    meet = threading.Barrier(count, timeout=10)

    def request(number: int) -> None:
        with bill_to(f"user_{number}"):
            meet.wait()
            with shared:
                meet.wait()
                app.call({"number": number})
                meet.wait()
            app.call({"number": number})

    threads = [threading.Thread(target=request, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    billed = [(body["metadata"]["number"], body["external_customer_id"]) for body in app.bodies()]
    expected = [(number, user) for number in range(count) for user in ("shared", f"user_{number}")]
    assert sorted(billed) == sorted(expected)


def test_a_block_shared_by_interleaved_tasks_mixes_nobody_up(make_app: MakeApp) -> None:
    """Tasks enter and leave the same block in any order, on one thread."""
    app = make_app(tags="number")
    shared = bill_to("shared")
    count = 8

    async def request(number: int, meet: asyncio.Barrier) -> None:
        with bill_to(f"user_{number}"):
            await meet.wait()
            with shared:
                for _ in range(number):
                    await asyncio.sleep(0)
                app.call({"number": number})
            app.call({"number": number})
            await meet.wait()
            app.call({"number": number})

    async def main() -> None:
        meet = asyncio.Barrier(count)
        await asyncio.gather(*(request(number, meet) for number in range(count)))
        app.call({"number": -1})

    asyncio.run(main())

    billed = [(body["metadata"]["number"], body["external_customer_id"]) for body in app.bodies()]
    expected = [(n, user) for n in range(count) for user in ("shared", f"user_{n}", f"user_{n}")]
    assert sorted(billed) == sorted(expected)
    assert app.payers().count(HELD) == 1


def test_a_task_keeps_the_customer_it_was_started_for(app: App) -> None:
    """It was the block's work, also when it outlives the block."""

    async def main() -> None:
        release = asyncio.Event()

        async def work() -> None:
            await release.wait()
            app.call()

        with bill_to("a"):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
        with bill_to("b"):
            release.set()
            await task
            app.call()

    asyncio.run(main())

    assert app.payers() == ["a", "b"]


def test_after_a_block_everything_is_as_it_was() -> None:
    """Also what other libraries keep in the same context, and also when the block raises."""
    with inbound_baggage({"userId": "caller", "theirs": "kept"}):
        before = context.get_current()
        with bill_to("outer", plan="pro"):
            outer = context.get_current()
            with pytest.raises(LookupError), bill_to("inner", seat=1):
                raise LookupError
            assert context.get_current() == outer
        assert context.get_current() == before


def _stream(user: str) -> Generator[str, None, None]:
    with bill_to(user):
        yield "a"
        yield "b"


def test_a_block_left_in_another_context_than_it_was_entered_in_raises_nothing() -> None:
    """A web framework runs the two halves of a ``yield`` dependency in two copies of the context."""
    stream = _stream("user_42")
    contextvars.copy_context().run(next, stream)
    contextvars.copy_context().run(stream.close)


def test_a_block_left_out_of_turn_bills_nobody_elses_customer(app: App) -> None:
    """A generator that is closed late must not make the block around its end bill the generator's customer."""

    def late() -> None:
        stream = _stream("a")
        next(stream)
        with bill_to("b"):
            stream.close()
            app.call()
        app.call()

    contextvars.copy_context().run(late)

    first, second = app.payers()
    assert first in ("b", HELD)
    assert second == HELD


# --- The identity of a span at its start ------------------------------------------------------------------------------


def test_a_span_without_any_identity_has_none(app: App) -> None:
    """For nearly every span of an application there is nothing to remember."""
    assert identity_in(current_context(), RULES._replace(tags=("plan",))) is None
    with inbound_baggage({"theirs": "kept"}):
        assert identity_in(current_context(), RULES._replace(tags=("plan",))) is None
    app.call()

    assert app.payers() == [HELD]


def test_an_explicit_parent_context_is_the_one_that_counts(app: App) -> None:
    """An instrumentation that was handed a context works for whoever that context belongs to."""
    with bill_to("a"):
        of_a: Context = context.get_current()
    with bill_to("b"):
        app.call(parent=of_a)
        app.call(parent=context.Context())
        app.call()

    assert app.payers() == ["a", HELD, "b"]


def test_a_decorator_without_parentheses_is_refused() -> None:
    """It would take the function for a user, and call nobody's code."""
    with pytest.raises(TypeError, match="parentheses"):

        @bill_to  # type: ignore[arg-type]  # the mistake this is about
        def answer() -> None: ...


def test_a_tag_is_cut_where_polar_would_cut_it(app: App) -> None:
    """Whatever a caller passes, it must not fill the disk."""
    assert MAX_TAG_CHARACTERS == MAX_VALUE_CHARACTERS
    with bill_to("user_42", note="x" * 1_000_000, notes=["y" * 1_000]):
        app.call()

    (body,) = app.bodies()
    assert body["metadata"]["note"] == "x" * 500
    assert body["metadata"]["notes"] == "y" * 500
