from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from otel_polar.billing.catalog.changes import UnbelievableListError, moves

NOW: Final = datetime(2026, 11, 20, tzinfo=UTC)


def price(amount: str, **more: Any) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(amount), **more)


def lists(prices: Any = None, *, variants: list[PriceVariant] | None = None, others: int = 20) -> list[Provider]:
    """One model with these prices, among others that stay as they are."""
    model = ModelInfo(
        id="m", match=ClauseEquals("m"), prices=price("1") if prices is None else prices, price_variants=variants
    )
    rest = [ModelInfo(id=f"o{n}", match=ClauseEquals(f"o{n}"), prices=price("1")) for n in range(others)]
    return [Provider(id="p", name="P", api_pattern="p", models=[model, *rest])]


def told(old: list[Provider], new: list[Provider], factor: str = "3") -> list[str]:
    return [str(move) for move in moves(old, new, at=NOW, max_factor=Decimal(factor))]


def tiered(base: str, above: str) -> ModelPrice:
    return ModelPrice(input_mtok=TieredPrices(base=Decimal(base), tiers=[Tier(200_000, Decimal(above))]))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (price("1"), price("1"), []),
        (price("1"), price("3"), []),
        (price("3"), price("1"), []),
        (price("1"), price("3.01"), ["p/m input from 1 to 3.01"]),
        (price("3.01"), price("1"), ["p/m input from 3.01 to 1"]),
        (price("1"), price("0"), ["p/m input from 1 to 0"]),
        (price("0"), price("1"), ["p/m input from 0 to 1"]),
        (price("1"), ModelPrice(), []),
        (
            price("1", requests_kcount=Decimal(5)),
            price("1", requests_kcount=Decimal(50)),
            ["p/m request from 0.005 to 0.05"],
        ),
        (price("1"), price("1", requests_kcount=Decimal(5)), []),
        (price("1"), price("1", requests_kcount=Decimal(500)), ["p/m request from 0 to 0.5"]),
        (price("1"), price("1", cache_read_mtok=Decimal(50)), ["p/m cache_read from 1 to 50"]),
        (price("1"), price("1", cache_read_mtok=Decimal("0.001")), ["p/m cache_read from 1 to 0.001"]),
        (price("1"), tiered("1", "50"), ["p/m input above 200000 input tokens from 1 to 50"]),
        (price("1", cache_read_mtok=Decimal("0.1")), price("1"), ["p/m cache_read from 0.1 to 1"]),
        (price("1"), price("1", cache_read_mtok=Decimal("0.1")), []),
        (tiered("1", "2"), tiered("1", "9"), ["p/m input above 200000 input tokens from 2 to 9"]),
        (tiered("1", "2"), price("1"), []),
    ],
)
def test_a_price_that_moves_by_more_than_the_factor_is_told(old: Any, new: Any, expected: list[str]) -> None:
    """Up or down, to nothing or away."""
    assert told(lists(old), lists(new)) == expected


def test_prices_of_other_times_and_tiers_are_looked_at_too() -> None:
    """Calls wait for a price for weeks, and batches have their own."""
    half = PriceVariant({"processing": "batch"}, price("0.5"))
    dear = PriceVariant({"processing": "batch"}, price("50"))
    then = [
        ConditionalPrice(prices=price("9")),
        ConditionalPrice(StartDateConstraint(date(2026, 11, 1)), prices=price("1")),
    ]

    assert told(lists(variants=[half]), lists(variants=[dear])) == ["p/m input from 0.5 to 50"]
    assert told(lists(), lists(then)) == ["p/m input from 1 to 9"]


@pytest.mark.parametrize(
    "constraint",
    [
        StartDateConstraint(date(2026, 11, 21)),
        StartDateConstraint(date(2027, 6, 1)),
        TimeOfDateConstraint(time(3), time(4)),
        TimeOfDateConstraint(time(23), time(1)),
    ],
)
def test_a_price_that_holds_tomorrow_or_for_an_hour_is_looked_at_too(constraint: Any) -> None:
    """It would be billed by then, and nobody would look again."""
    new = [ConditionalPrice(prices=price("1")), ConditionalPrice(constraint, prices=price("50"))]

    assert told(lists(), lists(new)) == ["p/m input from 1 to 50"]


def test_a_name_that_finds_another_entry_is_compared_with_that() -> None:
    """An entry put in front of the others takes their calls."""
    new = lists()
    new[0].models.insert(0, ModelInfo(id="x", match=ClauseStartsWith("m"), prices=price("100")))

    assert told(lists(), new) == ["p/x input from 1 to 100"]


def test_two_entries_of_one_name_are_no_list() -> None:
    """Only one of them could be looked at."""
    new = lists()
    new[0].models.insert(0, ModelInfo(id="m", match=ClauseEquals("m"), prices=price("100")))

    with pytest.raises(UnbelievableListError, match="it has two entries p/m"):
        told(lists(), new)


def test_a_list_that_has_lost_or_moved_a_tenth_is_not_to_be_believed() -> None:
    """It is a broken file, or somebody else's."""
    with pytest.raises(UnbelievableListError, match=r"it lacks 3 of 21 entries, such as p/o17, p/o18, p/o19"):
        told(lists(), lists(others=17))
    assert told(lists(), lists(others=18)) == []
    moved = lists(others=20)
    for model in moved[0].models[:3]:
        model.prices = price("100")
    with pytest.raises(UnbelievableListError, match=r"the prices of 3 of 21 entries have moved by more than 3 times"):
        told(lists(), moved)


def test_the_bundled_list_does_not_differ_from_itself() -> None:
    """Over all of it, in well under a second."""
    assert moves(providers, providers, at=NOW, max_factor=Decimal(1)) == []
