"""One price table of genai-prices as :class:`~otel_polar.billing.rates.Rates`, bucket by bucket.

genai-prices prices a token by the most special of the prices that fit it: a cached audio token by that of cached audio
if there is one, else by that of cached tokens, else by that of input. Each of our buckets is one kind of token, so the
prices that fit it can be written down in that order, once, and the result must equal ``ModelPrice.calc_price`` for
every usage (a property of the tests, over the whole list).

Where the most general price would be a guess at another order of magnitude, the bucket has none: OpenAI's audio costs
sixteen times its text, and a list that has no price for it has simply left it out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from genai_prices.types import TieredPrices

from otel_polar.billing.money import EXACT, ZERO
from otel_polar.billing.rates import BUCKETS, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

KEYS: Final = {
    # bucket -> keys of its price, the most special first
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    # Twice the input's price at Anthropic; where the list has none, the one of five minutes would be too low.
    "cache_write_1h": ("cache_write_1h_mtok",),
    "audio_input": ("input_audio_mtok",),
    "audio_cache_read": ("cache_audio_read_mtok",),
    "audio_output": ("output_audio_mtok",),
    "image_input": ("input_image_mtok", "input_mtok"),
    "image_cache_read": ("cache_image_read_mtok", "cache_read_mtok", "input_image_mtok", "input_mtok"),
    "image_output": ("output_image_mtok",),
}
SPEECH_MODEL_KEYS: Final = {"audio_output": ("output_audio_mtok", "output_mtok")}
"""A model for speech answers with nothing else, so its output's price is that of audio."""

IMAGE_MODEL_KEYS: Final = {"image_output": ("output_image_mtok", "output_mtok")}
"""The same for OpenAI's models for images (gpt-image-1)."""

GOOGLE_KEYS: Final = {
    # Google names a price for audio where it differs (ai.google.dev/gemini-api/docs/pricing).
    "audio_input": ("input_audio_mtok", "input_mtok"),
    "audio_cache_read": ("cache_audio_read_mtok", "cache_read_mtok", "input_audio_mtok", "input_mtok"),
}

_REQUESTS: Final = "requests_kcount"
_KNOWN_KEYS: Final = frozenset(key for keys in KEYS.values() for key in keys) | {
    _REQUESTS,
    # Fees for what is not on a span, and units of models that are not sold by the token.
    *("audio_hours", "input_audio_hours", "output_audio_hours", "input_mchars", "input_gpixels"),
    *("input_document_kpages", "input_annotated_document_kpages", "input_text_messages_kcount"),
    *("rerank_searches_kcount", "web_searches_kcount", "social_searches_kcount", "storage_searches_kcount"),
    *("code_executions_kcount", "input_video_mtok", "output_video_mtok", "output_citation_mtok"),
}


def rates_of(prices: ModelPrice, provider: str, model: str) -> Rates | str:
    """The rates in *prices* of a model of a provider (ids of genai-prices), or why there are none."""
    told: dict[str, Decimal | TieredPrices] = {key: price for key, price in vars(prices).items() if price is not None}
    if not told:
        return "lists without a price"
    if unknown := told.keys() - _KNOWN_KEYS:
        return f"has a price of a kind that is not known here ({', '.join(sorted(unknown))}) for"
    if not all(_is_exact(price) for price in told.values()):
        return "has a price that is no amount for"
    keys = _keys(provider, model)
    tiered = [price for price in told.values() if isinstance(price, TieredPrices)]
    starts = {0}.union(*({tier.start for tier in price.tiers} for price in tiered))
    fee = told.get(_REQUESTS, ZERO)
    if isinstance(fee, TieredPrices):
        return "has a fee per request that depends on the context for"
    return Rates.of_tiers(
        ((start, tuple(_price(told, keys[bucket], start) for bucket in BUCKETS)) for start in sorted(starts)),
        EXACT.scaleb(fee, -3),
    )


def _keys(provider: str, model: str) -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = dict(KEYS)
    if provider == "google":
        keys |= GOOGLE_KEYS
    if "tts" in model:
        keys |= SPEECH_MODEL_KEYS
    if provider in {"openai", "azure"} and "image" in model:
        keys |= IMAGE_MODEL_KEYS
    return keys


def _price(told: dict[str, Decimal | TieredPrices], keys: tuple[str, ...], start: int) -> Decimal | None:
    price = next((told[key] for key in keys if key in told), None)
    if not isinstance(price, TieredPrices):
        return price
    # The highest tier that begins at or below this start: both hold for more input than their start.
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)


def _is_exact(price: Decimal | TieredPrices) -> bool:
    amounts = [price.base, *(tier.price for tier in price.tiers)] if isinstance(price, TieredPrices) else [price]
    return all(isinstance(amount, Decimal) and amount.is_finite() and amount >= 0 for amount in amounts)
