from __future__ import annotations

import re
import subprocess
import sys
from decimal import Context, Decimal, Inexact, Rounded, localcontext
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.money import MAX_NANOS, cents, nanos, plain, read_amount, why_not_a_cost

POLARS_AMOUNT: Final = re.compile(r"\d{1,5}\.\d{12}")
"""At most 17 digits, 12 of them after the point (polarsource/polar, server/polar/event/schemas.py)."""

LARGEST_USD: Final = Decimal("999.999999999999994999")
"""About the most whose cents, rounded to 12 places, still have five digits before the point."""

HOSTILE: Final = Context(prec=6, traps=[Inexact, Rounded])
"""What an application may have set for its own sums."""

COSTS: Final = st.decimals(0, LARGEST_USD, allow_nan=False, allow_infinity=False, places=21)


@pytest.mark.parametrize(
    ("usd", "expected", "reason"),
    [
        ("0", "0.000000000000", "nothing, in full length"),
        ("0.0001686", "0.016860000000", "168.6 millionths of a dollar"),
        ("1.5E-7", "0.000015000000", "one token of gpt-4o-mini: never '0.000015' in E notation"),
        ("0.01", "1.000000000000", "one cent"),
        ("1", "100.000000000000", "one dollar"),
        ("1E-14", "0.000000000001", "the smallest amount Polar can take"),
        ("1E-15", "0.000000000000", "a tenth of it: down"),
        ("5E-15", "0.000000000000", "half of it, after an even digit: down"),
        ("1.5E-14", "0.000000000002", "half, after an odd digit: up"),
        ("2.5E-14", "0.000000000002", "half, after an even digit: down"),
        ("5.0000000000000000001E-15", "0.000000000001", "a trace more than half: up, in one rounding, not two"),
        ("2.49999999999999999999E-14", "0.000000000002", "a trace less than half: down"),
        (str(LARGEST_USD), "99999.999999999999", "just below 1000 dollars"),
    ],
)
def test_cents_have_twelve_places_in_plain_notation_rounded_half_to_even(usd: str, expected: str, reason: str) -> None:
    """Polar refuses a whole batch for a thirteenth place."""
    assert cents(Decimal(usd)) == expected, reason


@pytest.mark.parametrize(
    ("usd", "expected", "reason"),
    [
        ("0", 0, "nothing"),
        ("0.0001686", 168_600, "exact"),
        ("1E-15", 0, "next to nothing"),
        ("4.99999E-10", 0, "less than half: down"),
        ("5E-10", 0, "half, after an even number: down"),
        ("5.00001E-10", 1, "more than half: up"),
        ("1.5E-9", 2, "half, after an odd number: up"),
        ("2.5E-9", 2, "half, after an even number: down"),
        ("8.75E-9", 9, "one cached token of Nova Micro"),
        ("999.999999999999994", 1_000_000_000_000, "the largest: well below 2**53, so exact in JSON everywhere"),
    ],
)
def test_nanos_are_whole_billionths_rounded_half_to_even(usd: str, expected: int, reason: str) -> None:
    """Always up, a million calls would be half a thousandth of a dollar too dear."""
    assert nanos(Decimal(usd)) == expected, reason


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
        ("1E-16", "less than can be written", "a silent zero is worse than a held call"),
    ],
)
def test_an_amount_that_polar_cannot_take_is_no_cost(usd: str, why: str, reason: str) -> None:
    """One such event makes Polar refuse every other in its batch."""
    told = why_not_a_cost(Decimal(usd))

    assert told is not None, reason
    assert why in told, reason


@pytest.mark.parametrize("usd", ["0", "1E-14", "0.5", "999.99", str(LARGEST_USD), "1E+2"])
def test_every_amount_below_1000_dollars_is_a_cost(usd: str) -> None:
    """Zero, too: that no list price is zero is the catalogue's business."""
    assert why_not_a_cost(Decimal(usd)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2.50", "2.50"),
        (" 0.15 ", "0.15"),
        (".5", "0.5"),
        ("1e-07", "1e-7"),
        (3, "3"),
        (Decimal("0.000000000000000000000001"), "1e-24"),
        (0.1, "0.1"),
        (0.07 / 1_000_000, "7e-8"),
        (7.199999999999999e-05, "7.2e-5"),
    ],
)
def test_an_amount_is_read_exactly(value: object, expected: str) -> None:
    """Of a float, the digits that somebody wrote: 0.07 / 1000000 is 7.000000000000001e-08."""
    assert read_amount(value) == Decimal(expected)


@pytest.mark.parametrize(
    "value",
    [
        *("", "abc", "-1", "1,5", "NaN", "Infinity", "1e999", "0x10", "1_000", "$5", "1" * 30, "\uff11"),
        *(-1, True, None, [], {}, float("nan"), float("inf"), -0.5, b"1", Decimal("-0.1"), Decimal("1e40")),
        *(10**30, Decimal("1e-40"), Decimal("sNaN")),
    ],
)
def test_what_is_no_amount_is_refused(value: Any) -> None:
    """A price that is half read is a wrong price."""
    with pytest.raises(ValueError, match=r"amount|digits|places"):
        read_amount(value)


def test_the_applications_decimal_context_changes_no_amount() -> None:
    """Under precision 6, 1.2962925 dollars were 1.29629; a trap would raise in the middle of a batch."""
    amount = Decimal("1.29629251234567890123")
    with localcontext(HOSTILE):
        written = (cents(amount), nanos(amount), plain(amount), read_amount("1.29629251234567890123"))

    assert written == ("129.629251234568", 1_296_292_512, "1.29629251234567890123", amount)


@given(usd=COSTS)
@settings(max_examples=500, deadline=None)
def test_cents_always_fit_polars_schema(usd: Decimal) -> None:
    """Of costs in floats, four in ten do not."""
    assert POLARS_AMOUNT.fullmatch(cents(usd))


@given(usd=COSTS)
@settings(max_examples=500, deadline=None)
def test_cents_and_nanos_are_the_same_amount(usd: Decimal) -> None:
    """Polar's cost page sums the one, a meter the other; each is rounded once, from the exact amount."""
    assert abs(Decimal(cents(usd)) - usd * 100) <= Decimal("5E-13")
    assert abs(nanos(usd) - usd * 10**9) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("amount", "expected"), [("0", "0"), ("1E+2", "100"), ("2.50", "2.5"), ("1.5E-7", "0.00000015")]
)
def test_amounts_are_shown_without_exponent_and_zeros(amount: str, expected: str) -> None:
    """1.5E-7 is no price that a person reads."""
    assert plain(Decimal(amount)) == expected


def test_what_a_meter_sums_exactly_is_what_a_float_counts() -> None:
    """Above it, adding one nano changes nothing."""
    assert float(MAX_NANOS) - 1 != float(MAX_NANOS)
    assert float(MAX_NANOS) + 1 == float(MAX_NANOS)


def test_traps_in_the_default_context_change_nothing() -> None:
    """An application that sets them does so before it imports anything."""
    code = (
        "import decimal; decimal.DefaultContext.traps[decimal.Inexact] = True\n"
        "from otel_polar.billing.money import cents; print(cents(decimal.Decimal('1.23456789E-7')))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0.000012345679"
