from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from otel_polar.billing.pricing import Price, PriceQuery, Unpriced
from otel_polar.billing.rate_card import RateCard, as_rate_card
from otel_polar.billing.usage import TokenUsage
from otel_polar.errors import ConfigError
from tests.billing.support import POLAR_ID, START, tokens

MILLION: Final = tokens(1_000_000)


def entry(provider: str, model: str, price: str, **fields: Any) -> dict[str, Any]:
    """An entry by which a million input tokens cost *price* dollars."""
    return {"provider": provider, "model": model, "usd_per_million_tokens": {"input": price, "output": price}, **fields}


def card_of(*entries: dict[str, Any]) -> RateCard:
    return RateCard({"version": "7", "prices": list(entries)})


def query(provider: str | None, model: str | None, *, at: str = START, **fields: Any) -> PriceQuery:
    """A call of a million input tokens."""
    return PriceQuery(provider, fields.pop("request_model", None), model, MILLION, datetime.fromisoformat(at), **fields)


def usd(card: RateCard, asked: PriceQuery) -> str | None:
    """What the card answers: dollars, the reason for none, or None."""
    answer = card(asked)
    if isinstance(answer, Price):
        return format(answer.usd.normalize(), "f")
    return None if answer is None else answer.reason


PRECEDENCE: Final = card_of(
    entry("openai", "gpt-*", "2"),
    entry("openai", "gpt-4o*", "3"),
    entry("*", "*", "1"),
    entry("openai", "gpt-4.1", "10", service_tier="*"),
    entry("openai", "gpt-4.1", "11", service_tier="flex"),
    entry("openai", "gpt-4.1", "12", service_tier="flex", server_address="llm.internal"),
    entry("openai", "gpt-4o", "4"),
    entry("openai", "*", "5", customer="user_42"),
    entry("openai", "gpt-4o", "6", customer="user_42"),
    entry("openai", "gpt-4o", "7", customer=POLAR_ID),
    entry("openai", "gpt-4o", "8", service_tier="flex"),
    entry("openai", "gpt-4o", "9", server_address="*.internal", customer="acme"),
)


UNSAID: Final = (
    "service tier 'flex' was asked for and the span does not say which one answered (provider 'openai', model 'gpt-4o')"
)


@pytest.mark.parametrize(
    ("asked", "price", "reason"),
    [
        (query("openai", "gpt-4o"), "4", "the exact name"),
        (query("openai", "gpt-4o-mini"), "2", "patterns in the order they stand in"),
        (query("openai", "o3"), "1", "the last resort"),
        (query(None, "anything"), "1", "even of nobody"),
        (query("openai", None, request_model="gpt-4o"), "4", "by what was asked for, where nothing answered"),
        (query("openai", "gpt-4o-2024-08-06", request_model="gpt-4o"), "4", "an exact name before a pattern"),
        (query("openai", "gpt-5-2025-08-07", request_model="gpt-4o"), "2", "what answered, before a name for anything"),
        (query("openai", "o3-2025-04-16", request_model="gpt-4o"), "1", "even by the last resort"),
        (query("OpenAI", " GPT-4o "), "4", "in any case"),
        (query("openai", "gpt-4o", external_customer_id="user_42"), "6", "the customer's own, exact"),
        (query("openai", "o3", external_customer_id="user_42"), "5", "the customer's own pattern before all others"),
        (query("openai", "gpt-4o", customer_id=POLAR_ID), "7", "by Polar's id"),
        (query("openai", "gpt-4o", external_customer_id="user_43"), "4", "another customer"),
        (query("openai", "gpt-4o", service_tier="flex"), "8", "that tier's"),
        (
            query("openai", "gpt-4o", service_tier="priority"),
            "rate card 7 has openai/gpt-4o, but not at tier 'priority'",
            "no list price where there is one of one's own",
        ),
        (
            query("openai", "gpt-4o", requested_service_tier="flex"),
            UNSAID,
            "neither of the two is certain",
        ),
        (
            query("openai", "gpt-4o", external_customer_id="acme", server_address="llm.internal"),
            "9",
            "at that host",
        ),
        (query("openai", "gpt-4o", external_customer_id="acme", server_address="api.openai.com"), "4", "elsewhere"),
        (query("openai", "gpt-4.1"), "10", "whatever the tier"),
        (query("openai", "gpt-4.1", service_tier="flex"), "11", "that tier before any"),
        (query("openai", "gpt-4.1", service_tier="flex", server_address="llm.internal"), "12", "that host before any"),
    ],
)
def test_the_most_special_entry_counts(asked: PriceQuery, price: str, reason: str) -> None:
    """A customer's own, then exact names, then patterns."""
    assert usd(PRECEDENCE, asked) == price, reason


def test_a_card_that_knows_nothing_leaves_the_call_to_the_next() -> None:
    """The catalogue knows the rest."""
    assert card_of(entry("openai", "gpt-4o", "1"))(query("openai", "gpt-4o-mini")) is None
    assert card_of(entry("anthropic", "gpt-4o", "1"))(query("openai", "gpt-4o")) is None


@pytest.mark.parametrize(
    ("general", "special", "asked"),
    [
        ({"service_tier": "*"}, {"service_tier": "flex"}, {"service_tier": "flex"}),
        ({}, {"server_address": "llm.internal"}, {"server_address": "llm.internal:8000"}),
        ({"server_address": "*.internal"}, {"server_address": "llm.internal"}, {"server_address": "LLM.internal"}),
    ],
)
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o*"])
def test_of_one_name_the_more_special_entry_counts_wherever_it_stands(
    model: str, general: dict[str, str], special: dict[str, str], asked: dict[str, str]
) -> None:
    """Else it could never be reached."""
    card = card_of(entry("openai", model, "1", **general), entry("openai", model, "2", **special))

    assert usd(card, query("openai", "gpt-4o", **asked)) == "2"


def test_a_pattern_for_a_provider_fits_either_of_its_names() -> None:
    """google/gemini is on the event as gcp.gemini."""
    card = card_of(entry("google*", "*", "1"), entry("gcp.*", "*", "2"))

    assert usd(card, query("gcp.vertex_ai", "gemini")) == "1"


def test_a_call_that_names_no_model_is_met_by_an_entry_for_any() -> None:
    """The lines that the log suggests for it must be of use."""
    assert usd(card_of(entry("openai", "*", "1")), query("openai", None)) == "1"
    assert card_of(entry("openai", "gpt*", "1"))(query("openai", None)) is None


def test_a_fee_alone_is_the_whole_price() -> None:
    """Some models are sold by the call."""
    card = RateCard({"prices": [{"provider": "acme", "model": "m", "usd_per_request": "0.01"}]})
    mapped = RateCard({"m": {"request": 0.01}})

    assert usd(card, query("acme", "m")) == usd(mapped, query("acme", "m")) == "0.01"


@pytest.mark.parametrize("tier", ["standard", "default", "AUTO"])
def test_the_ordinary_tier_may_be_named(tier: str) -> None:
    """It is what a call without a special one has."""
    assert usd(card_of(entry("acme", "m", "1", service_tier=tier)), query("acme", "m")) == "1"


@pytest.mark.parametrize("provider", ["aws.bedrock", "bedrock", "aws", "AWS_Bedrock"])
def test_a_provider_is_known_by_all_its_names(provider: str) -> None:
    """Nobody should have to know which of them is on the event."""
    assert usd(card_of(entry(provider, "nova", "1")), query("aws.bedrock", "nova")) == "1"


def test_a_card_without_the_prices_of_a_used_bucket_is_unpriced_and_says_which() -> None:
    """The catalogue's price would be another contract's."""
    card = card_of(entry("openai", "gpt-audio", "1"))
    asked = query("openai", "gpt-audio")._replace(usage=TokenUsage(5, 5, audio_input_tokens=5))

    reason = "rate card 7 has no price for audio_input in its entry openai/gpt-audio"
    assert card(asked) == Unpriced(reason, wants_entry=False)


def test_only_an_asterisk_and_a_question_mark_stand_for_something_else() -> None:
    """Cursor's models have brackets in their names."""
    card = card_of(entry("cursor", "grok-4.5[fast=*]", "1"), entry("cursor", "composer-2.5[fast=true]", "2"))

    assert usd(card, query("cursor", "grok-4.5[fast=false]")) == "1"
    assert usd(card, query("cursor", "composer-2.5[fast=true]")) == "2"
    assert card(query("cursor", "grok-4.5f")) is None


DATED: Final = card_of(
    entry("acme", "large", "1", until="2026-07-01"),
    entry("acme", "large", "2", **{"from": "2026-07-01", "until": "2026-07-02T12:00:00+02:00"}),
    entry("acme", "large", "3", **{"from": datetime.fromisoformat("2026-07-02T10:00:00Z")}),
)


@pytest.mark.parametrize(
    ("at", "price"),
    [
        ("2020-01-01T00:00:00Z", "1"),
        ("2026-06-30T23:59:59.999999Z", "1"),
        ("2026-07-01T00:00:00Z", "2"),
        ("2026-07-02T09:59:59Z", "2"),
        ("2026-07-02T10:00:00Z", "3"),
        ("2099-01-01T00:00:00Z", "3"),
    ],
)
def test_a_price_holds_from_its_first_moment_to_before_its_last(at: str, price: str) -> None:
    """Prices change at midnight UTC, or at a moment that is said; no call falls between two."""
    assert usd(DATED, query("acme", "large", at=at)) == price


def test_a_price_that_does_not_hold_yet_leaves_the_call_to_the_next() -> None:
    """A card may be written before the contract begins."""
    card = card_of(entry("openai", "gpt-4o", "1", **{"from": "2027-01-01"}))

    assert card(query("openai", "gpt-4o")) is None


def test_a_tier_of_context_is_a_cliff() -> None:
    """As everywhere in the field."""
    tier = {"above_input_tokens": 999_999, "usd_per_million_tokens": {"input": "9"}}
    card = card_of(entry("acme", "large", "1", tiers=[tier]))

    assert usd(card, query("acme", "large")) == "9"
    assert usd(card, query("acme", "large")._replace(usage=tokens(999_999))) == "0.999999"


def test_any_tier_can_be_meant() -> None:
    """Some contracts have one price for all."""
    card = card_of(entry("acme", "large", "1", service_tier="*"))

    assert usd(card, query("acme", "large", service_tier="flex")) == "1"
    assert usd(card, query("acme", "large")) == "1"
    assert usd(card, query("acme", "large", requested_service_tier="flex")) == "1"


def test_the_price_says_which_card_and_entry_it_is_by() -> None:
    """A bill of last month was by last month's card."""
    price = PRECEDENCE(query("openai", "gpt-4o", external_customer_id="user_42"))

    assert isinstance(price, Price)
    assert (price.source, price.matched) == ("rate card 7", "openai/gpt-4o")
    assert not price.is_approximate


def test_a_card_without_a_version_is_told_by_its_content() -> None:
    """Two cards of one name must not look the same on events."""
    one, same, other = (RateCard({"prices": [entry("acme", "large", price)]}) for price in ("1", "1", "2"))

    assert one.source == same.source != other.source
    assert one.source.startswith("rate card ")


AI_BILLING: Final = {
    "gpt-4o": {
        "promptTokens": 2.5 / 1_000_000,
        "completionTokens": 10 / 1_000_000,
        "inputCacheReadTokens": 1.25e-6,
        "inputCacheWriteTokens": 0,
        "internalReasoningTokens": 11e-6,
        "request": 0.01,
        "webSearch": 0,
    },
    "openai/gpt-oss-120b": {"promptTokens": 0.07 / 1_000_000, "completionTokens": 0.6 / 1_000_000},
}


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("gpt-4o", tokens(1_000, 100, cache_read=400), "0.0130"),
        ("gpt-4o", tokens(1_000, 100, cache_write=400, reasoning=100), "0.0126"),
        ("openai/gpt-oss-120b", tokens(1_000_000), "0.07"),
    ],
)
def test_the_mapping_of_ai_billings_object_resolver_is_taken(model: str, usage: TokenUsage, expected: str) -> None:
    """Dollars per token, by the model's name; whole, where ai-billing rounds the price of a token to nanos first."""
    answer = RateCard(AI_BILLING)(query("whoever", model)._replace(usage=usage))

    assert isinstance(answer, Price)
    assert answer.usd == Decimal(expected)


def test_a_card_is_taken_as_it_is_and_a_mapping_as_a_card() -> None:
    """Either is what somebody has."""
    card = RateCard(AI_BILLING)

    assert as_rate_card(card) is card
    assert as_rate_card(AI_BILLING).source == card.source
    with pytest.raises(ConfigError, match=r"rate card must be a RateCard, a mapping or a file, not list"):
        as_rate_card([])
