from __future__ import annotations

import re
import subprocess
import sys
from decimal import Context, Decimal, Inexact, Rounded, localcontext
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.pricing import (
    MAX_COST_FEMTO_USD,
    Cost,
    Unpriced,
    build_cost,
    cents,
    nanos,
)

POLARS_AMOUNT: Final = re.compile(r"\d{1,5}\.\d{12}")
"""At most 17 digits, 12 of them after the point (polarsource/polar, server/polar/event/schemas.py)."""

LARGEST_FEMTO_USD: Final = 999_999_999_999_999_994
"""The most whose cents, rounded to 12 places, still have five digits before the point."""

HOSTILE: Final = Context(prec=6, traps=[Inexact, Rounded])
"""What an application may have set for its own sums."""


@pytest.mark.parametrize(
    ("femto_usd", "expected", "reason"),
    [
        (0, "0.000000000000", "nothing, in full length"),
        (168_600_000_000, "0.016860000000", "168.6 millionths of a dollar"),
        (150_000_000, "0.000015000000", "one token of gpt-4o-mini: never '0.000015' in E notation"),
        (10_000_000_000_000, "1.000000000000", "one cent"),
        (1_000_000_000_000_000, "100.000000000000", "one dollar"),
        (10, "0.000000000001", "the smallest amount Polar can take"),
        (1, "0.000000000000", "a tenth of it: down"),
        (5, "0.000000000000", "half of it, after an even digit: down"),
        (15, "0.000000000002", "half, after an odd digit: up"),
        (25, "0.000000000002", "half, after an even digit: down"),
        (6, "0.000000000001", "more than half: up"),
        (26, "0.000000000003", "more than half after an even digit: up"),
        (LARGEST_FEMTO_USD, "99999.999999999999", "just below 1000 dollars"),
    ],
)
def test_cents_have_twelve_places_in_plain_notation_rounded_half_to_even(
    femto_usd: int, expected: str, reason: str
) -> None:
    """Polar refuses a whole batch for a thirteenth place."""
    assert cents(femto_usd) == expected, reason


@pytest.mark.parametrize(
    ("femto_usd", "expected", "reason"),
    [
        (0, 0, "nothing"),
        (168_600_000_000, 168_600, "exact"),
        (1, 0, "next to nothing"),
        (499_999, 0, "less than half: down"),
        (500_000, 0, "half, after an even number: down"),
        (500_001, 1, "more than half: up"),
        (1_499_999, 1, "less than half: down"),
        (1_500_000, 2, "half, after an odd number: up"),
        (2_500_000, 2, "half, after an even number: down"),
        (2_500_001, 3, "more than half: up"),
        (3_500_000, 4, "half, after an odd number: up"),
        (MAX_COST_FEMTO_USD, 1_000_000_000_000, "the largest: well below 2**53, so exact in JSON everywhere"),
    ],
)
def test_nanos_are_whole_billionths_rounded_half_to_even(femto_usd: int, expected: int, reason: str) -> None:
    """Always up, a million calls would be half a thousandth of a dollar too dear."""
    assert nanos(femto_usd) == expected, reason


@pytest.mark.parametrize(
    ("usd", "expected", "reason"),
    [
        ("0.0001686", 168_600_000_000, "300 uncached, 512 cached, 142 out of gpt-4o-mini"),
        ("0.00000015", 150_000_000, "one token"),
        ("0", 0, "zero is an amount; that no list price is zero is the catalogue's business"),
        ("1E-15", 1, "the unit itself"),
        ("0.0000000000000025", 2, "half a unit, after an even number: down"),
        ("0.0000000000000015", 2, "half a unit, after an odd number: up"),
        ("0.0003083333333333333333333333333", 308_333_333_333, "per-hour prices do not end: cut once, here"),
        ("999.99", 999_990_000_000_000_000, "large, and taken"),
        ("1E+2", 100_000_000_000_000_000, "in any notation"),
    ],
)
def test_a_cost_in_dollars_is_kept_in_whole_femto_dollars(usd: str, expected: int, reason: str) -> None:
    """In whole numbers, adding up is exact, and there is one rounding."""
    assert build_cost(Decimal(usd), "my list") == Cost(femto_usd=expected, source="my list"), reason


@pytest.mark.parametrize(
    ("usd", "why", "reason"),
    [
        ("1000", "Polar takes less than 1000 USD", "100 000 cents have six digits"),
        ("999.9999999999999999", "Polar takes less than 1000 USD", "rounds to 1000"),
        ("1E+30", "Polar takes less than 1000 USD", "an error, not a call"),
        ("-0.01", "not an amount", "a credit"),
        ("-1E-30", "not an amount", "a small credit"),
        ("NaN", "not an amount", "not a number"),
        ("sNaN", "not an amount", "one that raises when it is compared"),
        ("Infinity", "not an amount", "no number either"),
        ("-Infinity", "not an amount", "nor this one"),
    ],
)
def test_an_amount_that_polar_cannot_take_is_unpriced(usd: str, why: str, reason: str) -> None:
    """One such event makes Polar refuse every other in its batch."""
    answer = build_cost(Decimal(usd), "my list")

    assert isinstance(answer, Unpriced), reason
    assert answer.reason.startswith("my list gave "), reason
    assert why in answer.reason, reason


def test_the_applications_decimal_context_changes_no_amount() -> None:
    """Under precision 6, 1.2962925 dollars were 1.29629; a trap would raise in the middle of a batch."""
    with localcontext(HOSTILE):
        cost = build_cost(Decimal("1.29629251234567890123"), "my list")
        assert isinstance(cost, Cost)
        written = (cents(cost.femto_usd), nanos(cost.femto_usd))

    assert cost.femto_usd == 1_296_292_512_345_679
    assert written == ("129.629251234568", 1_296_292_512)


@given(femto_usd=st.integers(0, LARGEST_FEMTO_USD))
@settings(max_examples=500, deadline=None)
def test_cents_always_fit_polars_schema(femto_usd: int) -> None:
    """Of costs in floats, four in ten do not."""
    assert POLARS_AMOUNT.fullmatch(cents(femto_usd))


@given(femto_usd=st.integers(0, LARGEST_FEMTO_USD))
@settings(max_examples=500, deadline=None)
def test_cents_and_nanos_are_the_same_amount(femto_usd: int) -> None:
    """Polar's cost page sums the one, a meter the other; they differ by their own roundings only."""
    in_cents = Decimal(cents(femto_usd))
    exact_cents = Decimal(femto_usd).scaleb(-13)

    assert abs(in_cents - exact_cents) <= Decimal("5E-13")
    assert abs(Decimal(nanos(femto_usd)).scaleb(-7) - exact_cents) <= Decimal("5E-8")


@given(femto_usd=st.lists(st.integers(0, 10**15), min_size=2, max_size=20))
@settings(max_examples=100, deadline=None)
def test_dollars_become_femto_dollars_without_loss(femto_usd: list[int]) -> None:
    """What is added up in dollars elsewhere is the sum of what is added up here."""
    costs = [build_cost(Decimal(amount).scaleb(-15), "my list") for amount in femto_usd]

    assert [cost.femto_usd for cost in costs if isinstance(cost, Cost)] == femto_usd


def test_the_largest_cost_still_fits_polars_schema() -> None:
    """Rounded to twelve places it must not become 100 000 cents, which refuses the whole batch."""
    assert cents(MAX_COST_FEMTO_USD) == "99999.999999999999"
    assert isinstance(build_cost(Decimal("999.999999999999999"), "my list"), Unpriced)


def test_a_cost_too_small_to_write_is_not_zero() -> None:
    """A silent zero is worse than a held call."""
    assert isinstance(build_cost(Decimal("1E-16"), "my list"), Unpriced)


def test_traps_in_the_default_context_change_nothing() -> None:
    """An application that sets them does so before it imports anything."""
    code = (
        "import decimal; decimal.DefaultContext.traps[decimal.Inexact] = True\n"
        "from otel_polar.billing.pricing import cents; print(cents(123456789))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0.000012345679"
