from __future__ import annotations

import pytest
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    MatchLogic,
)

from otel_polar.billing.catalog.matching import is_certain

FLASH = ClauseContains("gemini-1.5-flash")
SONNET = ClauseStartsWith("claude-sonnet-4-5")
NOVA = ClauseContains("amazon.nova-lite")
NOT_SPEECH = ClauseRegex(r"^(?!.*-tts(?:$|-))")


@pytest.mark.parametrize(
    ("clause", "name", "reason"),
    [
        (ClauseEquals("GPT-4o"), "gpt-4o", "the whole name"),
        (FLASH, "gemini-1.5-flash", "nothing besides"),
        (FLASH, "gemini-1.5-flash-002", "a version of three digits"),
        (FLASH, "gemini-1.5-flash-latest", "the latest"),
        (FLASH, "gemini-1.5-flash-preview-05-20", "a preview of a day"),
        (FLASH, "gemini-1.5-flash-preview-09-2025", "of a month"),
        (FLASH, "models/gemini-1.5-flash", "behind a path"),
        (SONNET, "claude-sonnet-4-5-20250929", "a date"),
        (SONNET, "claude-sonnet-4-5@20250929", "as Vertex writes it"),
        (SONNET, "claude-sonnet-4-5-2025-09-29", "with dashes"),
        (NOVA, "us.amazon.nova-lite-v1:0", "a region before it and a version behind"),
        (NOVA, "apac.amazon.nova-lite-v1:0:300k", "and the size of its context"),
        (NOVA, "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "a whole ARN"),
        (ClauseContains("amazon.titan-embed-text-v2"), "amazon.titan-embed-text-v2:0", "half a version behind"),
        (ClauseStartsWith("ft:gpt-4o-mini-2024-"), "ft:gpt-4o-mini-2024-07-18:acme:name:abc", "names of its owner"),
        (ClauseStartsWith("mixtral-8x7b"), "mixtral-8x7b-instruct-v0.1", "Mistral's version"),
        (ClauseEndsWith("claude-fable-5"), "publishers/anthropic/models/claude-fable-5", "a path before the end"),
        (ClauseRegex(r"^claude-opus-5[-@]\d{8}$"), "claude-opus-5-20261001", "an expression says it all"),
        (ClauseOr([ClauseEquals("o3"), SONNET]), "claude-sonnet-4-5-latest", "one of several"),
        (ClauseAnd([ClauseStartsWith("gemini-3.8-flash"), NOT_SPEECH]), "gemini-3.8-flash-preview", "each of several"),
    ],
)
def test_a_fragment_with_a_date_or_a_version_is_the_model(clause: MatchLogic, name: str, reason: str) -> None:
    """Dated snapshots have no entries of their own."""
    assert is_certain(clause, name), reason


@pytest.mark.parametrize(
    ("clause", "name", "reason"),
    [
        (ClauseEquals("gpt-4o"), "gpt-4o-mini", "another name"),
        (FLASH, "gemini-1.5-flash-8b", "a smaller model, at half the price"),
        (FLASH, "my-gemini-1.5-flash", "somebody's deployment"),
        (SONNET, "claude-sonnet-4-5-1m", "a larger context, at twice the price"),
        (ClauseStartsWith("claude-sonnet-4"), "claude-sonnet-4-9", "another version"),
        (ClauseStartsWith("deepseek-r1"), "deepseek-r1-distill-llama-70b", "made of it"),
        (ClauseContains("o4-mini"), "o4-mini-deep-research", "five times the price"),
        (ClauseAnd([ClauseStartsWith("gemini-3.8-flash"), NOT_SPEECH]), "gemini-3.8-flash-cyber", "twice the price"),
        (ClauseAnd([ClauseStartsWith("gemini-3.8-flash"), NOT_SPEECH]), "gemini-3.8-flash-tts", "excluded"),
        (ClauseEndsWith("claude-fable-5"), "mini-claude-fable-5", "a word before it"),
        (NOVA, "nothing", "not there at all"),
    ],
)
def test_a_fragment_with_another_word_may_be_another_model(clause: MatchLogic, name: str, reason: str) -> None:
    """A price that is twice too high is no price."""
    assert not is_certain(clause, name), reason
