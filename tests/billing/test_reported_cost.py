from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from otel_polar.billing.pricing import Price, PriceQuery, Unpriced
from otel_polar.billing.reported_cost import resolve_reported_cost, with_reported_cost
from tests.billing.support import model_call, tokens

TRUSTED = (("openrouter", "gen_ai.usage.cost"), ("acme*", "cost"))


def answer_of(attributes: dict[str, Any], *, provider: str = "openrouter", model: str = "openai/gpt-4o") -> Any:
    """What the resolver says of a call whose span has these attributes."""
    call = with_reported_cost(model_call(provider=provider, response_model=model), attributes, TRUSTED)
    at = datetime(2026, 11, 20, tzinfo=UTC)
    return resolve_reported_cost(
        PriceQuery(provider, None, model, tokens(10), at, reported_cost_usd=call.reported_cost_usd)
    )


@pytest.mark.parametrize(
    ("value", "usd"),
    [
        (0.00021375, "0.00021375"),
        (7.199999999999999e-05, "0.000072"),
        ("0.00014", "0.00014"),
        (1, "1"),
        ('{"prompt_tokens":10,"cost":0.00095,"is_byok":false}', "0.00095"),
        ('{"cost": 1.5e-05, "cost_details": {"upstream_inference_cost": 7}}', "0.000015"),
        ('{"x": {"cost": 5.0}, "cost": 0.1}', "0.1"),
        ('{"cost":0.00045,"is_byok":true,"cost_details":{"upstream_inference_cost":0.009}}', "0.00945"),
        (" 0.5 ", "0.5"),
    ],
)
def test_a_trusted_providers_cost_is_believed(value: object, usd: str) -> None:
    """OpenRouter's answer has the very amount that is on its invoice."""
    answer = answer_of({"gen_ai.usage.cost": value})

    assert answer == Price(Decimal(usd), "reported by openrouter", "openai/gpt-4o")


@pytest.mark.parametrize(
    ("attributes", "provider"),
    [
        ({}, "openrouter"),
        ({"gen_ai.usage.cost": 0.5}, "openai"),
        ({"operation.cost": 0.5}, "openrouter"),
        ({"cost": 0.5}, "openrouter"),
    ],
)
def test_nobody_elses_word_and_no_other_attribute_is_believed(attributes: dict[str, Any], provider: str) -> None:
    """Most costs on spans are somebody's multiplication by a list of another day."""
    assert answer_of(attributes, provider=provider) is None


def test_providers_can_be_named_by_a_pattern() -> None:
    """A gateway of one's own may have many names."""
    assert answer_of({"cost": "2"}, provider="acme-eu") == Price(Decimal(2), "reported by acme-eu", "openai/gpt-4o")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-0.5, "cannot be used: '-0.5' is not an amount"),
        ("a secret prompt", "cannot be used: 'text that is neither a number nor JSON' is not"),
        ("[0.5]", "cannot be used: 'JSON without a cost' is not an amount"),
        ('{"costs": 1}', "cannot be used: 'JSON without a cost' is not an amount"),
        ('{"cost": "a secret"}', "cannot be used: 'JSON without a cost' is not an amount"),
        ('{"cost": 0.5', "cannot be used: 'text that is neither a number nor JSON' is not"),
        ('{"cost":0.00045,"is_byok":true}', "cannot be used: 'a fee without the cost that it is for' is not"),
        (float("nan"), "cannot be used: 'nan' is not an amount"),
        (True, "cannot be used: 'of type bool' is not an amount"),
        ([1.0], "cannot be used: 'of type list' is not an amount"),
        (10**400, "cannot be used: 'a number of many digits'"),
        ("x" * 30_000, "cannot be used: 'of type str' is not an amount"),
        (0, "is 0, which may mean not known"),
        (0.0, "is 0, which may mean not known"),
    ],
)
def test_a_reported_cost_that_is_none_holds_the_call(value: object, why: str) -> None:
    """The list price is no answer where the provider was to be believed."""
    answer = answer_of({"gen_ai.usage.cost": value})

    assert isinstance(answer, Unpriced)
    assert why in answer.reason


def test_a_free_model_may_cost_nothing() -> None:
    """It says so in its name."""
    assert answer_of({"gen_ai.usage.cost": 0.0}, model="meta/llama:free") == Price(
        Decimal(0), "reported by openrouter", "meta/llama:free"
    )
