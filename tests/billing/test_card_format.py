from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.pricing import Price, PriceQuery
from otel_polar.billing.rate_card import RateCard
from otel_polar.errors import ConfigError
from tests.billing.support import tokens

TOML = """
version = "2026-11"   # of last week

[[prices]]
provider = "openai"
model = "gpt-9*"
usd_per_million_tokens = { input = "0.15", cache_read = 0.075, output = 1 }
from = 2026-07-01
until = 2027-01-01T00:00:00+01:00

[[prices]]
provider = "acme"
model = "large"
usd_per_request = "0.001"
customer = "user_42"
service_tier = "Flex"
server_address = "LLM.internal"
[prices.usd_per_million_tokens]
input = "3"
[[prices.tiers]]
above_input_tokens = 200_000
usd_per_million_tokens = { input = "6" }
"""


def test_a_card_in_toml_is_read_with_every_field() -> None:
    """It is what people write by hand, with comments."""
    card = RateCard.from_text(TOML, "prices.toml")
    at = datetime(2026, 11, 20, tzinfo=UTC)

    ours = card(PriceQuery("openai", None, "gpt-9000", tokens(1_000, 100, cache_read=400), at))
    acme = card(
        PriceQuery(
            "acme",
            None,
            "large",
            tokens(200_001),
            at,
            service_tier="flex",
            server_address="llm.internal",
            external_customer_id="user_42",
        )
    )

    assert isinstance(ours, Price)
    assert isinstance(acme, Price)
    assert (ours.usd, ours.source) == (Decimal("0.00022"), "prices.toml 2026-11")
    assert acme.usd == Decimal("1.201006")


def test_a_card_in_json_is_the_same_card() -> None:
    """It is what programs write; its numbers are read exactly, 0.1 as a tenth."""
    fields = {
        "provider": "openai",
        "model": "gpt-9",
        "usd_per_million_tokens": {"input": 0.1, "output": "0.60"},
        "from": "2026-07-01",
        "until": "2027-01-01T00:00:00Z",
    }
    card = RateCard.from_text(json.dumps({"prices": [fields]}), "PRICES.JSON")

    price = card(PriceQuery("openai", None, "gpt-9", tokens(1), datetime(2026, 11, 20, tzinfo=UTC)))

    assert isinstance(price, Price)
    assert price.usd == Decimal("1E-7")


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('provider = "openai"\n', "", "line 4, prices[0]: provider is missing"),
        ('model = "large"', "model = 5", "line 13, prices[1].model: 5 must be text"),
        ('"0.15"', '"0,15"', "line 7, prices[0].usd_per_million_tokens.input: '0,15' is not an amount"),
        ('"0.15"', "-1", "line 7, prices[0].usd_per_million_tokens.input: -1 is not an amount of at least 0"),
        ("cache_read", "cached", "line 7, prices[0].usd_per_million_tokens.cached: 'cached' is no bucket"),
        ("2026-07-01", "2028-07-01", "line 9, prices[0].until: 2026-12-31 must be later than from, 2028-07-01"),
        ("+01:00", "", "line 9, prices[0].until: 2027-01-01T00:00:00 must say its offset from UTC"),
        ('"0.001"', '"x"', "line 14, prices[1].usd_per_request: 'x' is not an amount"),
        ("usd_per_request", "fee", "line 14, prices[1].fee: no such field; the fields are provider, model"),
        ("200_000", "0", "line 21, prices[1].tiers[0].above_input_tokens: 0 must be a whole number above 0"),
        ('{ input = "6" }', '{ input = "six" }', "line 22, prices[1].tiers[0].input: 'six' is not an amount"),
        ("above_input_tokens", "above", "line 20, prices[1].tiers[0]: each tier has exactly above_input_tokens and"),
        ('customer = "user_42"', "customer = true", "line 15, prices[1].customer: True must be text"),
        ('"0.15"', '"0.00000015"', "line 7, prices[0].usd_per_million_tokens.input: 1.5E-7 US dollars per million"),
        ('"0.15"', "15000", "is beyond what any model costs (0.0001 to 10000): is it in another unit?"),
        ("0.075", "1e99999999999999999999", "1e99999999999999999999 is no amount"),
        ("2026-07-01", "0001-01-01T00:00:00+05:00", "is in no calendar in UTC; leave from out for ever"),
        ('provider = "acme"', 'provider = "langchain"', "line 12, prices[1].provider: 'langchain' is a framework"),
        ('version = "2026-11"', "versoin = 1", "prices.toml has 'versoin'; its fields are version, currency, prices"),
        ('version = "2026-11"', 'currency = "eur"', "currency is 'eur'; Polar takes costs in usd only"),
        ("[[prices]]", "[[price]]", "has 'price'"),
        ('model = "gpt-9*"', 'model = "gpt-9*', "prices.toml cannot be read: "),
        ('model = "large"', 'model = "large"\nmodel = "small"', "(at line 14, column "),
    ],
)
def test_a_wrong_card_is_refused_whole_with_line_and_field(before: str, after: str, why: str) -> None:
    """Half a card would bill the other half at list prices, and nobody would know."""
    assert before in TOML
    with pytest.raises(ConfigError) as caught:
        RateCard.from_text(TOML.replace(before, after, 1), "prices.toml")

    assert "rate card prices.toml" in str(caught.value)
    assert why in str(caught.value)


SAME = '{"model": "b", "provider": "a", "usd_per_request": 1}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("[]", "must be a JSON object, not list"),
        ("{}", "has no prices"),
        ('{"prices": []}', "has no prices"),
        ('{"prices": {}}', "has no prices"),
        ('{"prices": [5]}', "line 1, prices[0]: an entry is a table of fields, not int"),
        ('{"prices": [{}]}', "line 1, prices[0]: provider is missing"),
        ('{"prices": [\n{"provider": "a", "model": "b"}]}', "line 2, prices[0]: it has no price"),
        ('{"prices": [{"provider": "a", "provider": "b"}]}', "the key 'provider' stands twice"),
        ('{"prices": [{"usd_per_request": NaN}]}', "NaN is no amount"),
        ("[" * 100_000, "cannot be read"),
        (
            '{"prices": [{"provider": "a", "model": "b", "usd_per_request": 1},\n {"provider": "c",\n  "model": 5}]}',
            "line 3, prices[1].model: 5 must be text",
        ),
        (
            '{"prices": [{"provider": "a", "model": "b", "usd_per_million_tokens": 5}]}',
            "usd_per_million_tokens: prices are a table of buckets",
        ),
        (
            '{"prices": [{"provider": "a", "model": "b", "usd_per_request": 1, "from": "July"}]}',
            "from: 'July' must be a date such as 2026-07-01",
        ),
        (
            '{"prices": [{"provider": "a", "model": "b", "usd_per_request": 1, "from": 2026}]}',
            "from: 2026 must be a date such as 2026-07-01",
        ),
        (
            '{"prices": [{"provider": "a", "model": "b", "usd_per_request": 1, "tiers": 5}]}',
            "tiers: tiers are tables, [[prices.tiers]], not int",
        ),
        (
            f'{{"prices": [{SAME},\n{SAME.replace("b", "B", 1)}]}}',
            "line 2, prices[1]: it holds for the same calls as line 1, prices[0]",
        ),
        (
            '{"gpt-4o": {"promptTokens": 1e-6, "webSearch": 0.01}}',
            "webSearch: the number of web searches is on no span",
        ),
        ('{"gpt-4o": {"promptTokens": 1, "discount": 0.1}}', "'gpt-4o'.discount: write the price that holds after it"),
        ('{"gpt-4o": {"prompt": 1}}', "'gpt-4o'.prompt: no such field; they are promptTokens"),
        ('{"gpt-4o": {"promptTokens": "x"}}', "'gpt-4o': 'x' is not an amount"),
        ('{"gpt-4o": {}}', "'gpt-4o': it has no price"),
        ('{"gpt-4o": {"promptTokens": 2.5, "completionTokens": 10}}', "is it in another unit?"),
        ('{" ": {"promptTokens": 1e-6}}', "it has no price, or no name"),
        ('{"currency": ["usd"], "prices": []}', "currency is ['usd']"),
        ('{"version": {}, "prices": [{"provider": "a", "model": "b", "usd_per_request": 1}]}', "version is {}"),
    ],
)
def test_a_wrong_card_in_json_is_refused_with_its_place(text: str, why: str) -> None:
    """A program that writes cards is told which entry it got wrong."""
    with pytest.raises(ConfigError) as caught:
        RateCard.from_text(text, "prices.json")

    assert why in str(caught.value)


def test_entries_with_different_dates_or_customers_do_not_overlap() -> None:
    """That is what the fields are for."""
    base = {"provider": "a", "model": "b", "usd_per_request": 1}
    card = RateCard(
        {
            "prices": [
                {**base, "until": "2026-01-01"},
                {**base, "from": "2026-01-01"},
                {**base, "customer": "user_42"},
                {**base, "service_tier": "flex"},
                {**base, "server_address": "llm.internal"},
            ],
        }
    )

    assert card.customers == {"user_42"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("prices", "version", "provider", "model", "usd_per_million_tokens", "usd_per_request", "tiers"),
                    *("from", "until", "input", "output", "above_input_tokens", "promptTokens", "customer"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(card=st.dictionaries(st.sampled_from(["prices", "version", "gpt-4o"]), JSON_VALUES, max_size=3))
@settings(max_examples=500, deadline=None)
def test_any_mapping_is_a_card_or_refused(card: dict[str, Any]) -> None:
    """Never another error, which would end the application's start with a riddle."""
    try:
        RateCard(card)
    except ConfigError as error:
        message = str(error)
    else:
        message = "rate card"
    assert message.startswith("rate card")


@given(text=st.text(max_size=80), name=st.sampled_from(["a.toml", "a.json"]))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_card_or_refused(text: str, name: str) -> None:
    """A file may hold anything."""
    with pytest.raises(ConfigError):
        RateCard.from_text(text, name)
