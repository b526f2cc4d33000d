from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.event import build_event
from otel_polar.billing.markup import charge_nanos
from otel_polar.billing.pricing import Price
from otel_polar.errors import UserFunctionError
from tests.billing.support import model_call

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

PRICE = Price(Decimal("0.0001686"), "genai-prices 0.2.3")


@pytest.mark.parametrize(
    ("usd", "factor", "nanos", "reason"),
    [
        ("0.0001686", "1", 168_600, "at cost"),
        ("0.0001686", "1.2", 202_320, "20 % on it"),
        ("0.0001686", "0", 0, "as a present"),
        ("0.000000001", "1.5", 2, "half, after an odd number: up"),
        ("0.000000001", "2.5", 2, "half, after an even number: down"),
        ("0.0000000005", "1", 0, "half a nano rounds to nothing"),
        ("0.0000000005", "3", 2, "rounded once, after the factor: 1.5, not three times nothing"),
        ("0.00000000035", "1.43", 1, "0.5005: a trace more than half"),
        ("999", "1000", 999_000_000_000_000, "the most"),
    ],
)
def test_a_charge_is_the_exact_cost_times_the_factor_rounded_once(
    usd: str, factor: str, nanos: int, reason: str
) -> None:
    """Rounding the cost first would lose half a nano a call, or make one."""
    assert charge_nanos(model_call(), Price(Decimal(usd), "x"), Decimal(factor)) == nanos, reason


def test_a_function_sees_the_call_and_its_price() -> None:
    """Plans have margins of their own."""

    def by_plan(call: ModelCall, price: Price) -> Decimal:
        return price.usd * (2 if call.tags["plan"] == "free" else 1)

    assert charge_nanos(model_call(tags={"plan": "free"}), PRICE, by_plan) == 337_200
    assert charge_nanos(model_call(tags={"plan": "pro"}), PRICE, by_plan) == 168_600


@pytest.mark.parametrize("answer", ["0.01", Decimal("0.01"), 0.01])
def test_a_function_may_answer_an_amount_in_any_form(answer: Any) -> None:
    """Exact, if it is text or a decimal."""
    assert charge_nanos(model_call(), PRICE, lambda _call, _price: answer) == 10_000_000


@pytest.mark.parametrize("answer", [None, "much", -1, Decimal("NaN"), True, [1], "1e20"])
def test_an_answer_that_is_no_amount_holds_the_call(answer: Any) -> None:
    """A charge that is left out would be usage given away."""
    with pytest.raises(UserFunctionError, match=r"markup"):
        charge_nanos(model_call(), PRICE, lambda _call, _price: answer)


def test_a_function_that_raises_holds_the_call() -> None:
    """It is tried again when it has been mended."""

    def broken(_call: ModelCall, _price: Price) -> Decimal:
        raise KeyError("plan")

    with pytest.raises(UserFunctionError, match=r"markup raised KeyError"):
        charge_nanos(model_call(), PRICE, broken)


def test_the_charge_stands_beside_the_cost() -> None:
    """`_cost` is what the call cost you: Polar's cost page must not show your margin as cost."""
    metadata = build_event(model_call(), PRICE, now=2e9, markup=Decimal("1.5")).metadata

    assert (metadata["charge_nanos"], metadata["cost_nanos"]) == (252_900, 168_600)
    assert metadata["_cost"] == {"amount": "0.016860000000", "currency": "usd"}


def test_without_a_price_there_is_no_charge() -> None:
    """A charge of 0 would be believed."""
    assert "charge_nanos" not in build_event(model_call(), None, now=2e9, markup=Decimal(2)).metadata
    assert "charge_nanos" not in build_event(model_call(), PRICE, now=2e9).metadata
