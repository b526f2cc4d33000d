from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.card_suggestion import suggested_entry
from otel_polar.billing.pricing import Price, query_of
from otel_polar.billing.rate_card import RateCard
from otel_polar.billing.usage import TokenUsage
from tests.billing.support import model_call


def suggested(**fields: Any) -> dict[str, Any]:
    """The entry that is suggested for a call, as TOML reads it."""
    parsed = tomllib.loads(suggested_entry(model_call(**fields)))
    (entry,) = parsed["prices"]
    assert isinstance(entry, dict)
    return entry


def test_the_lines_name_the_model_and_every_bucket_that_was_used() -> None:
    """What is copied from a log and filled in must price that call."""
    call = model_call(
        provider="openai",
        response_model="gpt-9000",
        usage=TokenUsage(10, 10, cache_read_tokens=5, audio_output_tokens=7),
    )

    assert suggested_entry(call) == (
        '[[prices]]\nprovider = "openai"\nmodel = "gpt-9000"\n'
        'usd_per_million_tokens = { input = "?", output = "?", cache_read = "?", audio_output = "?" }'
    )
    card = RateCard.from_text(suggested_entry(call).replace("?", "1"), "prices.toml")
    assert isinstance(card(query_of(call)), Price)


@pytest.mark.parametrize(
    ("fields", "tier"),
    [
        ({}, None),
        ({"service_tier": "default"}, None),
        ({"service_tier": "Flex"}, "Flex"),
        ({"requested_service_tier": "flex"}, "*"),
    ],
)
def test_a_special_tier_is_in_the_lines(fields: dict[str, Any], tier: str | None) -> None:
    """Without it the entry would not be for that call."""
    assert suggested(**fields).get("service_tier") == tier


@given(name=st.text(st.characters(), max_size=20))
@settings(max_examples=200, deadline=None)
def test_no_name_breaks_the_lines(name: str) -> None:
    """Names come from spans: one with a line break must not write lines of its own into the log."""
    lines = suggested_entry(model_call(provider=name, response_model=name))

    assert len(lines.split("\n")) == 4
    assert lines.isascii()
    (entry,) = tomllib.loads(lines)["prices"]
    assert entry["model"] == (name.encode("utf-16", "surrogatepass").decode("utf-16", "replace") or "*")
