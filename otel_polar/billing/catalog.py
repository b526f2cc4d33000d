"""List prices from genai-prices, behind the provider names OpenTelemetry uses.

Three habits of genai-prices are kept out here. Its provider look-up also matches fragments, so that
``my-openai-compatible-server`` would be billed at OpenAI's list price: only exact ids and the aliases below are priced.
A model that is listed without a price costs 0 there, and an unknown service tier costs the standard price: both are
:class:`Unpriced` here. And its process-wide price list can be swapped by another library (logfire, pydantic-ai): this
one holds the list that came with the package.

Source: genai-prices 0.2.3, ``DataSnapshot``, ``ModelInfo.get_prices``; OpenTelemetry ``gen_ai.provider.name`` values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from genai_prices import Usage, __version__
from genai_prices.data import providers as bundled_providers

from otel_polar.billing.pricing import EXACT, Cost, Unpriced, build_cost
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genai_prices.types import ModelInfo, Provider

    from otel_polar.billing.call import ModelCall

SOURCE: Final = f"genai-prices {__version__}"

# gen_ai.provider.name (and older gen_ai.system) -> genai-prices provider id
PROVIDER_ALIASES: Final = {
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "perplexity_ai": "perplexity",
    "togetherai": "together",
    "vertex_ai": "google",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "z_ai": "zai",
}
# Where the requested model says more than the answered one: Bedrock's regional profile carries a surcharge.
REQUEST_MODEL_FIRST: Final = frozenset({"aws"})
STANDARD_TIERS: Final = frozenset({"auto", "default", "standard"})

MAX_CACHED_MODELS: Final = 1024

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Catalog:
    """The list prices that came with genai-prices, as a :class:`~otel_polar.billing.pricing.PriceResolver`."""

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {provider.id: provider for provider in bundled_providers}
        # Bounded, unlike the look-up caches of genai-prices: model names come from spans, so from anybody.
        self._find_model = lru_cache(maxsize=MAX_CACHED_MODELS)(self._find_model_uncached)

    def __call__(self, call: ModelCall) -> Cost | Unpriced:
        """The list price of *call*, valid when it started."""
        if not isinstance(call.usage, TokenUsage):
            return Unpriced(call.usage.reason)
        if call.provider is None:
            return Unpriced("the span names no provider (gen_ai.provider.name)")
        provider = self._find_provider(call.provider)
        if provider is None:
            return Unpriced(f"{SOURCE} has no provider {call.provider!r}")
        model = next(filter(None, (self._find_model(provider.id, name) for name in _candidates(provider, call))), None)
        if model is None:
            return Unpriced(f"{SOURCE} has no model {call.model!r} of provider {call.provider!r}")
        return _price(call, call.usage, provider, model)

    def _find_provider(self, name: str) -> Provider | None:
        lowered = name.strip().lower()
        return self._providers.get(PROVIDER_ALIASES.get(lowered, lowered))

    def _find_model_uncached(self, provider_id: str, model_name: str) -> ModelInfo | None:
        return self._providers[provider_id].find_model(model_name.strip(), all_providers=list(bundled_providers))


def _candidates(provider: Provider, call: ModelCall) -> Iterator[str]:
    names = (call.response_model, call.request_model)
    if provider.id in REQUEST_MODEL_FIRST:
        names = names[::-1]
    return (name for name in names if name)


def _price(call: ModelCall, usage: TokenUsage, provider: Provider, model: ModelInfo) -> Cost | Unpriced:
    matched = f"{provider.id}/{model.id}"
    context = _price_context(call)
    try:
        at = _EPOCH + timedelta(microseconds=call.start_time_unix_nano // 1_000)
        if (reason := _why_unpriced(call, usage, provider, model, at)) is not None:
            return Unpriced(f"{SOURCE} {reason} {matched}")
        with localcontext(EXACT):
            usd = model.calc_price(
                _genai_usage(usage),
                provider,
                genai_request_timestamp=at,
                price_context=context,
            ).total_price
    except (LookupError, ValueError, OverflowError) as error:
        # An overflow is a start in no calendar.
        return Unpriced(f"{SOURCE} could not price {matched}: {error}")
    if usd == 0:
        return Unpriced(f"{SOURCE} prices at 0 {usage.total_tokens} tokens of {matched}")
    return build_cost(usd, SOURCE)


def _why_unpriced(
    call: ModelCall,
    usage: TokenUsage,
    provider: Provider,
    model: ModelInfo,
    at: datetime,
) -> str | None:
    """What genai-prices would pass over in silence, counting it as free or at the standard price."""
    standard = model.get_prices(at)
    context = _price_context(call)
    if not any(price is not None for price in vars(standard).values()):
        return "lists without a price"
    if usage.input_tokens and standard.input_mtok is None:
        return "has no price for input of"
    if usage.output_tokens and standard.output_mtok is None:
        return "has no price for output of"
    if usage.cache_write_1h_tokens and standard.cache_write_1h_mtok is None:
        return "has no price for cache writes of an hour of"
    # A model that is borrowed from another provider's list is priced there without the tier.
    is_borrowed = not any(model is own for own in provider.models)
    if context is not None and (is_borrowed or vars(standard) == vars(model.get_prices(at, context))):
        return f"has no price at service tier {call.service_tier!r} for"
    return None


def _genai_usage(usage: TokenUsage) -> Usage:
    # Zero buckets are left out: naming a bucket makes genai-prices demand a price for it.
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.all_cache_read_tokens,
        "cache_write_tokens": usage.all_cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
        # Where a model has no price of its own for audio or images, genai-prices takes that of text.
        "input_audio_tokens": usage.audio_input_tokens + usage.audio_cache_read_tokens,
        "cache_audio_read_tokens": usage.audio_cache_read_tokens,
        "output_audio_tokens": usage.audio_output_tokens,
        "input_image_tokens": usage.image_input_tokens + usage.image_cache_read_tokens,
        "cache_image_read_tokens": usage.image_cache_read_tokens,
        "output_image_tokens": usage.image_output_tokens,
    }
    return Usage(**{name: count for name, count in counts.items() if count})


def _price_context(call: ModelCall) -> dict[str, str] | None:
    if call.service_tier is None or call.service_tier in STANDARD_TIERS:
        return None
    return {"service_tier": call.service_tier}
