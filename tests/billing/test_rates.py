from __future__ import annotations

from decimal import Context, Decimal, Inexact, Rounded, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.rates import BUCKETS, Line, Rates
from otel_polar.billing.usage import TokenUsage
from tests.billing.support import tokens

FULL = {bucket: str(number) for number, bucket in enumerate(BUCKETS, start=1)}


def usage_of(**buckets: int) -> TokenUsage:
    return TokenUsage(**{"uncached_input_tokens": 0, "visible_output_tokens": 0, **buckets})


@pytest.mark.parametrize(
    ("rates", "usage", "usd", "reason"),
    [
        (Rates({"input": "0.15", "output": "0.60"}), tokens(1_000, 500), "0.00045", "150 + 300"),
        (Rates({"input": "3", "cache_read": "0.30"}), tokens(1_000, cache_read=600), "0.00138", "400 x 3 + 600 x 0.30"),
        (Rates({"input": "3"}), tokens(1_000, cache_read=600), "0.003", "nothing off for what has no price of its own"),
        (Rates({"input": "3"}), tokens(1_000, cache_write=600), "0.003", "nor anything on"),
        (Rates({"output": "8"}), tokens(0, 500, reasoning=400), "0.004", "reasoning is output, once"),
        (Rates({"output": "8", "reasoning": "3"}), tokens(0, 500, reasoning=400), "0.002", "100 x 8 + 400 x 3"),
        (Rates({}, usd_per_request="0.01"), tokens(0), "0.01", "a fee alone"),
        (Rates({"input": "1"}, usd_per_request="0.005"), tokens(1_000), "0.006", "and with tokens"),
        (Rates({"input": 0, "output": 0}), tokens(1_000, 100), "0", "free, in so many words"),
        (Rates(FULL), TokenUsage(*([1_000_000] * 12)), "78", "1 + 2 + … + 12: every bucket has a price of its own"),
        (Rates({"input": "0.0000000000001"}), tokens(1), "1E-19", "however small"),
    ],
)
def test_a_cost_is_the_sum_over_the_buckets(rates: Rates, usage: TokenUsage, usd: str, reason: str) -> None:
    """Every token is in one bucket and has one price."""
    assert rates.cost_usd(usage) == Decimal(usd), reason


TIERED = Rates(
    {"input": "1.25", "cache_read": "0.125", "output": "10"},
    above_input_tokens={200_000: {"input": "2.50", "output": "15"}, 500_000: {"input": "5"}},
)


@pytest.mark.parametrize(
    ("usage", "usd", "reason"),
    [
        (tokens(200_000, 10), "0.2501", "at the edge, the lower price"),
        (tokens(200_001, 10), "0.5001525", "one more: all of it at the higher one, output too"),
        (tokens(200_001, 10, cache_read=200_001), "0.025150125", "cached input counts; its price is as below"),
        (tokens(500_000), "1.25", "at the next edge"),
        (tokens(500_001, 1_000_000), "17.500005", "above it: what it leaves out is as in the tier below"),
    ],
)
def test_a_tier_is_a_cliff(usage: TokenUsage, usd: str, reason: str) -> None:
    """As at Anthropic, Google and OpenAI: the size of the context sets the price of every token."""
    assert TIERED.cost_usd(usage) == Decimal(usd), reason


@pytest.mark.parametrize(
    ("bucket", "field"), [pair for pair in zip(BUCKETS, TokenUsage._fields, strict=True) if pair[0] != "output"]
)
def test_a_bucket_without_a_price_has_no_cost(bucket: str, field: str) -> None:
    """Audio costs sixteen times as much as text, a cache of an hour twice: what is not said is not guessed."""
    rates = Rates({"output": "1"})
    used = usage_of(**{field: 1})

    if bucket == "reasoning":
        assert rates.cost_usd(used) == Decimal("1E-6")
        return
    assert rates.cost_usd(used) is None
    assert rates.missing(used) == [bucket]


def test_text_input_prices_neither_audio_nor_an_hour_of_cache() -> None:
    """They have prices of their own everywhere."""
    rates = Rates({"input": "1", "output": "1", "cache_write": "1"})

    assert rates.missing(TokenUsage(*([1] * 12))) == [
        "cache_write_1h",
        "audio_input",
        "audio_cache_read",
        "audio_output",
        "image_input",
        "image_cache_read",
        "image_output",
    ]


@pytest.mark.parametrize(
    ("prices", "options", "why"),
    [
        ({"inptu": "1"}, {}, "'inptu' is no bucket; they are input, output"),
        ({"input": "free"}, {}, "input: 'free' is not an amount"),
        ({"input": -1}, {}, "input: -1 is not an amount of at least 0"),
        ({"input": None}, {}, "input: an amount is a decimal, a number or text"),
        ({"input": "1"}, {"usd_per_request": "x"}, "'x' is not an amount"),
        ({"input": "1"}, {"above_input_tokens": {0: {}}}, "above_input_tokens is 0"),
        ({"input": "1"}, {"above_input_tokens": {True: {}}}, "above_input_tokens is True"),
        ({"input": "1"}, {"above_input_tokens": {5: {"input": "x"}}}, "input: 'x'"),
    ],
)
def test_rates_that_are_wrong_are_refused_with_the_bucket(prices: Any, options: Any, why: str) -> None:
    """A price that is read as another one is a wrong bill for a month."""
    with pytest.raises(ValueError, match=r".") as caught:
        Rates(prices, **options)

    assert why in str(caught.value)


def test_the_lines_of_a_bill_add_up_to_the_cost() -> None:
    """What a person checks by hand is what is billed; input stands before output."""
    rates = Rates(FULL, usd_per_request="0.001")
    usage = TokenUsage(*range(10, 22))

    lines = rates.lines(usage)

    assert sum(line.usd for line in lines) == rates.cost_usd(usage)
    assert [line.what for line in lines][-5:] == ["output", "reasoning", "audio_output", "image_output", "request"]
    assert lines[0] == Line("input", 10, Decimal(1), Decimal("0.00001"))


def test_the_lines_say_above_which_size_of_context_they_hold() -> None:
    """Twice the price wants a reason."""
    assert [TIERED.above_input_tokens(tokens(count)) for count in (1, 200_000, 200_001, 600_000)] == [
        0,
        0,
        200_000,
        500_000,
    ]


AMOUNTS = st.decimals(0, 1_000, allow_nan=False, allow_infinity=False, places=12)


@given(
    prices=st.lists(AMOUNTS, min_size=12, max_size=12),
    counts=st.lists(st.integers(0, 10**10), min_size=12, max_size=12),
    fee=AMOUNTS,
)
@settings(max_examples=300, deadline=None)
def test_no_sum_is_rounded_whatever_the_context(prices: list[Decimal], counts: list[int], fee: Decimal) -> None:
    """Whole numbers of the smallest unit there is among the prices."""
    rates = Rates(dict(zip(BUCKETS, prices, strict=True)), usd_per_request=fee)
    with localcontext(Context(prec=1, traps=[Inexact, Rounded])):
        cost = rates.cost_usd(TokenUsage(*counts))

    with localcontext(Context(prec=100)):
        products = [price * count for price, count in zip(prices, counts, strict=True)]
        expected = sum(products, Decimal(0)) / 1_000_000 + fee
    assert cost == expected
