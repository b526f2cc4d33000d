from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.billing.pricing import Price, PriceQuery, Unpriced, price_call, query_of, resolve, unknown_tier
from otel_polar.billing.usage import Unmetered
from tests.billing.support import POLAR_ID, START, model_call, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

QUERY = PriceQuery("openai", "gpt-4o", "gpt-4o-2024-08-06", tokens(1_000, 10), datetime.fromisoformat(START))
A_DOLLAR = Price(Decimal(1), "my list")


def answering(answer: Any) -> Callable[[PriceQuery], Any]:
    def resolver(_query: PriceQuery) -> Any:
        return answer

    return resolver


def raising(error: BaseException) -> Callable[[PriceQuery], Price]:
    def my_resolver(_query: PriceQuery) -> Price:
        raise error

    return my_resolver


@pytest.mark.parametrize(
    ("answers", "expected", "reason"),
    [
        ([A_DOLLAR, Price(Decimal(2), "the list")], A_DOLLAR, "the first that knows"),
        ([None, A_DOLLAR], A_DOLLAR, "None leaves it to the next"),
        ([None, Unpriced("contract"), A_DOLLAR], Unpriced("contract"), "mine, and not known: no list price instead"),
    ],
)
def test_resolvers_are_asked_in_order_until_one_answers(answers: list[Any], expected: object, reason: str) -> None:
    """The most special price comes first."""
    assert resolve(QUERY, [answering(answer) for answer in answers]) == expected, reason


def test_without_any_answer_a_call_is_unpriced() -> None:
    """It is never free."""
    assert resolve(QUERY, [answering(None)]) == Unpriced("no price of 'gpt-4o-2024-08-06' of 'openai' is known")
    assert isinstance(resolve(QUERY, []), Unpriced)


@pytest.mark.parametrize("error", [ValueError("a secret"), SystemExit(1), RecursionError()])
def test_a_resolver_that_raises_holds_the_call_and_is_asked_again(error: BaseException) -> None:
    """Going on to the list price would bill what somebody said costs something else."""
    answer = resolve(QUERY, [raising(error), answering(A_DOLLAR)])

    assert isinstance(answer, Unpriced)
    assert answer.may_recover
    assert f"my_resolver raised {type(error).__name__}" in answer.reason
    assert "secret" not in answer.reason


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (0, "must answer a Price, an Unpriced or None, not int"),
        (Decimal(1), "must answer a Price, an Unpriced or None, not Decimal"),
        ("1.00", "must answer a Price, an Unpriced or None, not str"),
        (False, "must answer a Price, an Unpriced or None, not bool"),
        (Price(0.5, "my list"), "must answer a Price whose usd is a Decimal, not float"),  # type: ignore[arg-type]  # on purpose
        (Price(Decimal(-1), "my list"), "my list gave -1 USD, which is not an amount"),
        (Price(Decimal("NaN"), "my list"), "my list gave NaN USD, which is not an amount"),
        (Price(Decimal(1_000), "my list"), "my list gave 1000 USD; Polar takes less than 1000 USD"),
        (Price(Decimal("1E-20"), "my list"), "less than can be written"),
    ],
)
def test_an_answer_that_is_none_is_unpriced(answer: object, why: str) -> None:
    """Polar refuses a whole batch for one bad amount."""
    told = resolve(QUERY, [answering(answer), answering(A_DOLLAR)])

    assert isinstance(told, Unpriced)
    assert why in told.reason


def test_a_price_of_zero_is_the_resolvers_word() -> None:
    """Whoever has a model for nothing may say so."""
    assert resolve(QUERY, [answering(Price(Decimal(0), "mine"))]) == Price(Decimal(0), "mine")


def test_a_query_has_all_that_a_price_can_depend_on() -> None:
    """A function of the user's sees no span: nothing of its content can leak into a price service."""
    call = model_call(
        provider="aws.bedrock",
        request_model="us.model",
        response_model="model",
        service_tier="Priority",
        server_address="bedrock.example",
        customer=Customer(external_customer_id="user_42"),
        reported_cost_usd="0.5",
        tags={"plan": "pro"},
    )

    assert query_of(call) == PriceQuery(
        provider="aws.bedrock",
        request_model="us.model",
        response_model="model",
        usage=tokens(1_000, 100),
        at=datetime(2026, 11, 20, 12, tzinfo=UTC),
        operation="chat",
        service_tier="priority",
        requested_service_tier=None,
        server_address="bedrock.example",
        customer_id=None,
        external_customer_id="user_42",
        reported_cost_usd="0.5",
        tags={"plan": "pro"},
    )


def test_a_query_knows_either_kind_of_customer_or_none() -> None:
    """Prices may be a customer's own."""
    assert query_of(model_call(customer=Customer(customer_id=POLAR_ID))).customer_id == POLAR_ID
    assert query_of(model_call(customer=NOBODY)).external_customer_id is None


@pytest.mark.parametrize(
    ("answered", "asked", "tier", "unknown"),
    [
        (None, None, None, None),
        ("default", "flex", None, None),
        ("flex", None, "flex", None),
        (None, "flex", None, "flex"),
        (None, "auto", None, None),
        (None, "STANDARD_ONLY", None, None),
    ],
)
def test_only_the_answers_tier_counts(
    answered: str | None, asked: str | None, tier: str | None, unknown: str | None
) -> None:
    """What was asked for and not confirmed is neither that tier nor the ordinary one."""
    query = query_of(model_call(service_tier=answered, requested_service_tier=asked))

    assert (query.service_tier, query.requested_service_tier) == (tier, unknown)
    assert unknown is None or f"{unknown!r} was asked for" in unknown_tier(query).reason


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (model_call(usage=Unmetered("no token counts")), "no token counts"),
        (model_call(start_time_unix_nano=10**25), "starts in no calendar"),
    ],
)
def test_a_call_that_cannot_be_asked_about_is_unpriced(call: Any, why: str) -> None:
    """A span's times are whatever somebody wrote there."""
    answer = price_call(call, [answering(A_DOLLAR)])

    assert isinstance(answer, Unpriced)
    assert why in answer.reason
