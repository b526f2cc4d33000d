from __future__ import annotations

import pytest

from otel_polar.billing.catalog.names import (
    candidates,
    fine_tuned_base,
    provider_id,
    spellings,
    with_dashed_date,
    without_date,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai", "openai"),
        (" OpenAI ", "openai"),
        ("azure.ai.openai", "azure"),
        ("az.ai.inference", "azure"),
        ("aws.bedrock", "aws"),
        ("aws_bedrock", "aws"),
        ("gcp.gemini", "google"),
        ("gcp.gen_ai", "google"),
        ("vertex_ai", "google"),
        ("x_ai", "x-ai"),
        ("xai", "x-ai"),
        ("mistral_ai", "mistral"),
        ("moonshot_ai", "moonshotai"),
        ("perplexity_ai", "perplexity"),
        ("fireworks_ai", "fireworks"),
        ("togetherai", "together"),
        ("z_ai", "zai"),
        ("my-openai-compatible", "my-openai-compatible"),
        ("langchain", None),
        ("", None),
    ],
)
def test_a_provider_has_the_id_of_its_list_under_all_its_names(name: str, expected: str | None) -> None:
    """Whole names only: a fragment would bill somebody's own server at OpenAI's prices."""
    assert provider_id(name) == expected


@pytest.mark.parametrize(
    ("name", "provider", "expected"),
    [
        ("gpt-4o", "openai", ["gpt-4o"]),
        (" GPT-4o ", "openai", ["gpt-4o"]),
        ("openai/gpt-4o", "openai", ["openai/gpt-4o", "gpt-4o"]),
        ("openai:gpt-4o", "openai", ["openai:gpt-4o", "gpt-4o"]),
        ("models/gemini-2.5-pro", "google", ["models/gemini-2.5-pro", "gemini-2.5-pro"]),
        (
            "projects/p/locations/l/publishers/google/models/gemini-2.5-pro",
            "google",
            ["projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"],
        ),
        ("vertex_ai/gemini-2.5-pro", "google", ["vertex_ai/gemini-2.5-pro", "gemini-2.5-pro"]),
        ("bedrock/us.nova", "aws", ["bedrock/us.nova", "us.nova"]),
        ("openai/gpt-4o", "openrouter", ["openai/gpt-4o"]),
        ("openai/gpt-oss-120b", "groq", ["openai/gpt-oss-120b"]),
        ("ft:gpt-4o-mini:acme::abc", "openai", ["ft:gpt-4o-mini:acme::abc"]),
        ("amazon.nova-lite-v1:0", "aws", ["amazon.nova-lite-v1:0"]),
        ("models/", "google", ["models/"]),
        ("openai/", "openai", ["openai/"]),
        ("", "openai", []),
        (" ", "openai", []),
    ],
)
def test_what_emitters_put_before_a_model_is_taken_off(name: str, provider: str, expected: list[str]) -> None:
    """Its own provider's name and a path, never another provider's, which is part of the model's name there."""
    assert list(spellings(name, provider)) == expected


def test_the_answers_model_is_looked_for_first_and_on_bedrock_the_requests() -> None:
    """Bedrock's profile in the request carries a surcharge; Azure's request names a deployment."""
    assert list(candidates("openai", "asked", "answered")) == ["answered", "asked"]
    assert list(candidates("aws", "asked", "answered")) == ["asked", "answered"]
    assert list(candidates("openai", "same", "same")) == ["same"]
    assert list(candidates("openai", None, None)) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4o", None),
        ("claude-sonnet-4-5", None),
        ("-2024-08-06", None),
    ],
)
def test_a_date_can_be_taken_off(name: str, expected: str | None) -> None:
    """A version of one digit is no date: claude-sonnet-4-5 is another model than claude-sonnet-4."""
    assert without_date(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ft:gpt-4o-mini:acme::abc", "ft:gpt-4o-mini"),
        ("ft:gpt-4o-mini-2024-07-18:acme:name:abc", "ft:gpt-4o-mini-2024-07-18"),
        ("gpt-4o-mini", None),
        ("ft:gpt-4o-mini", None),
    ],
)
def test_a_fine_tuned_model_names_its_base(name: str, expected: str | None) -> None:
    """Never without ft:, which would be the price of the base itself."""
    assert fine_tuned_base(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-5.2-20251211", "gpt-5.2-2025-12-11"),
        ("gpt-5.2-20251311", "gpt-5.2-20251311"),
        ("gpt-5.2", "gpt-5.2"),
    ],
)
def test_a_compact_date_is_spelled_as_the_list_does(name: str, expected: str) -> None:
    """genai-prices finds it so, and what it found has to be compared with that."""
    assert with_dashed_date(name) == expected
