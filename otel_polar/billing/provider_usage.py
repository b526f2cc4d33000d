"""The provider's own usage, as some emitters attach it in text: the parts of the totals that the attributes lack.

logfire writes the answer's ``usage`` as JSON, langsmith LangChain's ``usage_metadata``, litellm its ``Usage`` object as
Python writes it, Vercel's SDK a JSON object per provider. All of them are read by looking for a key and the number that
follows it, not by parsing: the text may have been cut by the span limits, and what stands before the cut is still true.
A number must be followed by something, or it may have been cut itself. Within a text of JSON the quotes around keys are
escaped, and the backslash before the second one keeps any content from passing for a count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT_CHARACTERS: Final = 20_000
"""A usage object has a few hundred; what is longer is something else, and would cost the application time."""

_FIVE_MINUTES: Final = "cache_write_5m_tokens"

INPUT_PARTS: Final = {
    # within prompt_tokens_details (OpenAI chat), input_tokens_details (Responses), input_token_details (LangChain)
    "cached_tokens": "cache_read_tokens",
    "cache_read": "cache_read_tokens",
    "cache_creation": "cache_write_tokens",
    "cache_write_tokens": "cache_write_tokens",
    # LangChain, of OpenAI's special tiers
    "flex_cache_read": "cache_read_tokens",
    "priority_cache_read": "cache_read_tokens",
    "ephemeral_5m_input_tokens": _FIVE_MINUTES,
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
    "audio_tokens": "audio_input_tokens",
    "audio": "audio_input_tokens",
    "image_tokens": "image_input_tokens",
}
OUTPUT_PARTS: Final = {
    # within completion_tokens_details, output_tokens_details, output_token_details
    "reasoning_tokens": "reasoning_tokens",
    "reasoning": "reasoning_tokens",
    "flex_reasoning": "reasoning_tokens",
    "priority_reasoning": "reasoning_tokens",
    "audio_tokens": "audio_output_tokens",
    "audio": "audio_output_tokens",
    "image_tokens": "image_output_tokens",
}
WHOLE: Final = {
    # anywhere: Anthropic, and Vercel for Anthropic
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "ephemeral_5m_input_tokens": _FIVE_MINUTES,
    "cacheCreationInputTokens": "cache_write_tokens",
    "ephemeral_1h_input_tokens": "cache_write_1h_tokens",
}

_DETAILS: Final = re.compile(
    r"""["'](?:(?P<input>prompt|input)|completion|output)_tokens?_details["']\s*:\s*\{(?P<parts>[^{}]*\}?)""",
)
_COUNT: Final = re.compile(r"""["'](?P<key>\w{1,40})["']\s*:\s*(?P<count>\d{1,11})(?=\s*[,}])""")


def read_provider_usage(text: object) -> dict[str, int]:
    """The counts that *text* tells, by the field names of :class:`~otel_polar.billing.attributes.Found`.

    Of several of one thing the first counts, also if it is 0; what is 0 is left out, for an absent attribute means the
    same.
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return {}
    counts: dict[str, int] = {}
    for details in _DETAILS.finditer(text):
        _collect(details["parts"], INPUT_PARTS if details["input"] else OUTPUT_PARTS, counts)
    _collect(text, WHOLE, counts)
    five_minutes = counts.pop(_FIVE_MINUTES, 0)
    if not counts.get("cache_write_tokens"):
        # langchain-anthropic tells the total as 0 where it tells its parts.
        counts["cache_write_tokens"] = five_minutes + counts.get("cache_write_1h_tokens", 0)
    return {field: count for field, count in counts.items() if count}


def read_uncached_input(text: object) -> int | None:
    """Anthropic's own ``input_tokens``, which leave cached tokens out; ``None`` if *text* does not tell them."""
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        return None
    counts = (int(found["count"]) for found in _COUNT.finditer(text) if found["key"] == "input_tokens")
    return next(counts, None)


def _collect(text: str, fields: Mapping[str, str], counts: dict[str, int]) -> None:
    for found in _COUNT.finditer(text):
        field = fields.get(found["key"])
        if field is not None:
            counts.setdefault(field, int(found["count"]))
