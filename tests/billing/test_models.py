from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_polar.billing.models import same_model
from tests.billing.support import model_call


def are_one(one: str | None, other: str | None) -> bool:
    """Whether the model of two answers is taken for one."""
    return same_model(model_call(response_model=one), model_call(response_model=other))


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("gpt-4o-mini", "gpt-4o-mini", "equal"),
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "OpenAI's date"),
        ("gpt-4", "gpt-4-0613", "OpenAI's date of the early models"),
        ("gpt-4-1106-preview", "GPT-4-1106-Preview", "capitals"),
        ("claude-3-5-haiku", "claude-3-5-haiku-20241022", "Anthropic's date"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", "Anthropic's alias"),
        ("claude-3-5-haiku@20241022", "claude-3-5-haiku-20241022", "Vertex's date"),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", "claude-3-5-haiku", "Bedrock's vendor and version"),
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", "claude-3-5-haiku", "Bedrock's region as well"),
        ("us-gov.anthropic.claude-3-5-haiku-20241022-v1:0", "claude-3-5-haiku", "a region of two words"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-haiku-20241022-v1:0",
            "claude-3-5-haiku-20241022",
            "Bedrock's inference profile",
        ),
        ("claude-3-5-haiku-20241022-v1:0", "anthropic.claude-3-5-haiku-20241022-v1:0", "OpenLLMetry strips the vendor"),
        ("openai/gpt-4o-mini", "gpt-4o-mini", "OpenRouter's and litellm's vendor"),
        ("accounts/fireworks/models/llama-v3p1-8b", "llama-v3p1-8b", "Fireworks' path"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash", "Google's path"),
        ("gemini-1.5-pro-002", "gemini-1.5-pro", "Google's version"),
        (" gpt-4o ", "gpt-4o", "space around it"),
    ],
)
def test_one_model_under_two_names_is_one(one: str, other: str, reason: str) -> None:
    """A framework tells what was asked for, the client library what answered."""
    assert are_one(one, other), reason
    assert are_one(other, one), reason


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("gpt-4o", "gpt-4o-mini", "a name and the beginning of another"),
        ("gpt-4o-mini", "gpt-4.1-mini", "two generations"),
        ("gpt-4", "gpt-5", "two generations whose number is all that differs"),
        ("claude-opus-4", "claude-sonnet-4", "two sizes"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-5-20250929", "a number before the date is no date"),
        ("gemini-2.5-pro", "gemini-2.5-flash", "two sizes"),
        ("text-embedding-3-small", "text-embedding-3-large", "two sizes"),
        ("o1", "o3", "two models"),
    ],
)
def test_two_models_are_two(one: str, other: str, reason: str) -> None:
    """A fallback or a tool calls another model at the same time, and both are billed."""
    assert not are_one(one, other), reason


@pytest.mark.parametrize("model", [None, "gpt-4o", ""])
def test_a_call_that_names_no_model_may_be_of_any(model: str | None) -> None:
    """Some layers do not say, and that is no contradiction."""
    assert are_one(None, model)
    assert are_one(model, None)


def test_what_was_asked_for_counts_as_well_as_what_answered() -> None:
    """An alias of a proxy is answered by the model that the client library asked for."""
    alias = model_call(request_model="fast", response_model="gpt-4o-mini-2024-07-18")
    asked = model_call(request_model="gpt-4o-mini", response_model=None)

    assert same_model(alias, asked)
    assert not same_model(model_call(request_model="fast", response_model="gpt-4o"), asked)


@given(name=st.text(max_size=200))
def test_a_name_is_of_the_same_model_as_itself(name: str) -> None:
    """Whatever stands there, two equal names are no contradiction."""
    assert are_one(name, name)


@pytest.mark.timeout(2)
@pytest.mark.parametrize("part", ["-123", "-2024-07-18", "-1234567", ":v1:1"])
def test_no_name_takes_long_to_look_at(part: str) -> None:
    """Names come from whoever sends spans, and one of 200 characters must not stop the others."""
    hostile = part * (199 // len(part)) + "x"

    assert are_one(hostile, hostile)
