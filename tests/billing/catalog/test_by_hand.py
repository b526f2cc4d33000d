"""Money worked out by hand, in dollars, from the providers' own price pages."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_polar.billing.catalog.catalog import SOURCE, Catalog
from otel_polar.billing.pricing import Price, Unpriced, price_call
from otel_polar.billing.usage import TokenUsage, Unmetered
from tests.billing.support import START, model_call, tokens, unix_nano

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

PRICES: Final = Catalog()

PRICE_PAGES: Final = {
    # whose list a row is priced by -> where its figures stand
    "anthropic": "platform.claude.com/docs/en/about-claude/pricing",
    "aws": "aws.amazon.com/bedrock/pricing",
    "cohere": "cohere.com/pricing",
    "deepseek": "api-docs.deepseek.com/quick_start/pricing",
    "google": "ai.google.dev/gemini-api/docs/pricing",
    "groq": "groq.com/pricing",
    "mistral": "mistral.ai/pricing",
    "moonshotai": "platform.moonshot.ai/docs/pricing/chat",
    "openai": "developers.openai.com/api/docs/pricing",
    "openrouter": "openrouter.ai/models",
    "voyageai": "docs.voyageai.com/docs/pricing",
    "x-ai": "docs.x.ai/docs/models",
    "zai": "docs.z.ai/guides/overview/pricing",
}

SONNET: Final = "claude-sonnet-4-5-20250929"
SONNET_BEDROCK: Final = f"anthropic.{SONNET}-v1:0"


def call_of(provider: str, model: str | None, usage: TokenUsage, *, at: str = START, **fields: Any) -> ModelCall:
    """A call that *model* answered at the time *at*."""
    return model_call(
        provider=provider, response_model=model, usage=usage, start_time_unix_nano=unix_nano(at), **fields
    )


def usage_of(**buckets: int) -> TokenUsage:
    """Usage with these buckets, the others empty."""
    return TokenUsage(**{"uncached_input_tokens": 0, "visible_output_tokens": 0, **buckets})


BY_HAND: Final[list[tuple[ModelCall, str, str]]] = [
    # OpenAI
    (
        call_of("openai", "gpt-4o-mini", tokens(812, 142, cache_read=512)),
        "0.0001686",
        "300 x 0.15 + 512 x 0.075 + 142 x 0.60 per million = 45 + 38.4 + 85.2",
    ),
    (call_of("openai", "gpt-4o-mini", tokens(1)), "0.00000015", "1 x 0.15 per million: the least there is"),
    (call_of("openai", "gpt-4o-mini", tokens(1_000, 500)), "0.00045", "1000 x 0.15 + 500 x 0.60 = 150 + 300"),
    (
        call_of("openai", "gpt-4o-mini-2024-07-18", tokens(1_000, cache_read=1_000)),
        "0.000075",
        "all cached: 1000 x 0.075, half price; a dated name is the same model",
    ),
    (call_of("openai", "GPT-4o-Mini", tokens(1_000)), "0.00015", "1000 x 0.15: names are one in any case"),
    (
        call_of("openai", "gpt-4o", tokens(1_200, 300, cache_read=1_024)),
        "0.00472",
        "176 x 2.50 + 1024 x 1.25 + 300 x 10 = 440 + 1280 + 3000",
    ),
    (
        call_of("openai", "o3-mini", tokens(1_000, 500, reasoning=400)),
        "0.0033",
        "1000 x 1.10 + 500 x 4.40 = 1100 + 2200: reasoning is part of the output, billed once",
    ),
    (
        call_of("openai", "gpt-4-turbo", tokens(1_000, 100, cache_read=600)),
        "0.013",
        "1000 x 10 + 100 x 30 = 10000 + 3000: no price for cached, so none is off",
    ),
    (
        call_of("openai", "gpt-4o-mini", tokens(1_000, cache_write=600)),
        "0.00015",
        "1000 x 0.15: OpenAI writes its cache for nothing",
    ),
    (call_of("openai", "text-embedding-3-small", tokens(1_000)), "0.00002", "1000 x 0.02"),
    (call_of("openai", "text-embedding-3-large", tokens(12_345)), "0.00160485", "12345 x 0.13 = 1604.85"),
    (call_of("openai", "text-embedding-ada-002", tokens(8)), "0.0000008", "8 x 0.10 = 0.8"),
    (
        call_of("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", tokens(1_000, 100)),
        "0.00042",
        "fine-tuned, at twice the price: 1000 x 0.30 + 100 x 1.20 = 300 + 120",
    ),
    (
        call_of("openai", "gpt-5.4", tokens(272_000, 10)),
        "0.68015",
        "at the tier's edge: 272000 x 2.50 + 10 x 15 = 680000 + 150",
    ),
    (
        call_of("openai", "gpt-5.4", tokens(272_001, 10)),
        "1.36023",
        "one token more, all at the higher tier: 272001 x 5 + 10 x 22.50 = 1360005 + 225",
    ),
    # OpenAI's service tiers
    (
        call_of("openai", "gpt-5", tokens(1_000, 100, cache_read=200)),
        "0.002025",
        "800 x 1.25 + 200 x 0.125 + 100 x 10 = 1000 + 25 + 1000",
    ),
    (
        call_of("openai", "gpt-5", tokens(1_000, 100, cache_read=200), service_tier="flex"),
        "0.0010125",
        "flex, half: 800 x 0.625 + 200 x 0.0625 + 100 x 5 = 500 + 12.5 + 500",
    ),
    (
        call_of("openai", "gpt-5", tokens(1_000, 100, cache_read=200), service_tier="priority"),
        "0.00405",
        "priority, double: 800 x 2.50 + 200 x 0.25 + 100 x 20 = 2000 + 50 + 2000",
    ),
    (
        call_of("openai", "gpt-5", tokens(1_000, 100), service_tier="default"),
        "0.00225",
        "default is the standard price: 1000 x 1.25 + 100 x 10 = 1250 + 1000",
    ),
    # Anthropic
    (
        call_of("anthropic", SONNET, tokens(10_000, 700, cache_read=8_000, cache_write=1_500)),
        "0.020025",
        "500 x 3 + 8000 x 0.30 + 1500 x 3.75 + 700 x 15 = 1500 + 2400 + 5625 + 10500",
    ),
    (call_of("anthropic", "claude-haiku-4-5", tokens(3, 5)), "0.000028", "3 x 1 + 5 x 5 = 28"),
    (
        call_of("anthropic", SONNET, TokenUsage(21, 77, 2_000, 200, cache_write_1h_tokens=100)),
        "0.003168",
        "21 x 3 + 2000 x 0.30 + 200 x 3.75 + 100 x 6 + 77 x 15 per million = 63 + 600 + 750 + 600 + 1155",
    ),
    (
        call_of("anthropic", "claude-opus-4-1", tokens(2_000, 10, cache_write=2_000)),
        "0.03825",
        "all written to the cache: 2000 x 18.75 + 10 x 75 = 37500 + 750",
    ),
    (
        call_of("anthropic", "claude-3-5-haiku-20241022", tokens(1_000, 100, cache_read=900)),
        "0.000552",
        "100 x 0.80 + 900 x 0.08 + 100 x 4 = 80 + 72 + 400",
    ),
    (
        call_of("anthropic", SONNET, tokens(200_001, 1)),
        "1.2000285",
        "above 200000, everything at the higher tier: 200001 x 6 + 1 x 22.50",
    ),
    # Google
    (
        call_of("gcp.gemini", "gemini-2.5-pro", tokens(200_000, 1_000)),
        "0.26",
        "at the tier's edge: 200000 x 1.25 + 1000 x 10 = 250000 + 10000",
    ),
    (
        call_of("gcp.gemini", "gemini-2.5-pro", tokens(200_001, 1_000)),
        "0.5150025",
        "one token more, also the output dearer: 200001 x 2.50 + 1000 x 15 = 500002.5 + 15000",
    ),
    (
        call_of("gcp.gemini", "gemini-2.5-pro", tokens(200_001, cache_read=150_000)),
        "0.1625025",
        "cached tokens count for the tier: 50001 x 2.50 + 150000 x 0.25 = 125002.5 + 37500",
    ),
    (
        call_of("gcp.vertex_ai", "gemini-2.5-flash", tokens(1_000, 200, reasoning=150)),
        "0.0008",
        "1000 x 0.30 + 200 x 2.50 = 300 + 500: thinking is output",
    ),
    (call_of("gcp.gen_ai", "gemini-embedding-001", tokens(500)), "0.000075", "500 x 0.15"),
    # Bedrock
    (
        call_of("aws.bedrock", SONNET_BEDROCK, tokens(1_000, 100), request_model=f"us.{SONNET_BEDROCK}"),
        "0.00495",
        "a regional profile, 10 % more: 1000 x 3.30 + 100 x 16.50 = 3300 + 1650",
    ),
    (
        call_of("aws.bedrock", SONNET_BEDROCK, tokens(1_000, 100), request_model=f"global.{SONNET_BEDROCK}"),
        "0.0045",
        "asked for by the global profile, answered by the bare name: 1000 x 3 + 100 x 15 = 3000 + 1500",
    ),
    (
        call_of("aws_bedrock", "amazon.nova-micro-v1:0", tokens(1_000, 100, cache_read=800)),
        "0.000028",
        "200 x 0.035 + 800 x 0.00875 + 100 x 0.14 = 7 + 7 + 14",
    ),
    # Azure
    (
        call_of("azure.ai.openai", "gpt-4o-mini-2024-07-18", tokens(1_000, 100), request_model="my-deployment"),
        "0.00021",
        "the deployment's name says nothing, the answer's does: 1000 x 0.15 + 100 x 0.60 = 150 + 60",
    ),
    (call_of("az.ai.openai", "gpt-4o", tokens(1_000, 10)), "0.0026", "1000 x 2.50 + 10 x 10 = 2500 + 100"),
    # Under the names of OpenTelemetry and of some emitters
    (
        call_of("x_ai", "grok-4", tokens(1_000, 100, cache_read=600)),
        "0.00315",
        "400 x 3 + 600 x 0.75 + 100 x 15 = 1200 + 450 + 1500",
    ),
    (call_of("xai", "grok-4", tokens(1_000)), "0.003", "1000 x 3"),
    (call_of("mistral_ai", "codestral-latest", tokens(1_000, 100)), "0.00039", "1000 x 0.30 + 100 x 0.90 = 300 + 90"),
    (call_of("groq", "llama-3.3-70b-versatile", tokens(1_000, 1_000)), "0.00138", "1000 x 0.59 + 1000 x 0.79"),
    (call_of("cohere", "command-r-plus", tokens(100, 10)), "0.00035", "100 x 2.50 + 10 x 10 = 250 + 100"),
    (
        call_of("moonshot_ai", "kimi-k2-0905-preview", tokens(1_000, 100, cache_read=500)),
        "0.000625",
        "500 x 0.60 + 500 x 0.15 + 100 x 2.50 = 300 + 75 + 250",
    ),
    (call_of("z_ai", "glm-4.6", tokens(1_000, 100)), "0.00082", "1000 x 0.60 + 100 x 2.20 = 600 + 220"),
    (call_of("openrouter", "openai/gpt-4o-mini", tokens(1_000, 100)), "0.00021", "1000 x 0.15 + 100 x 0.60"),
    (call_of(" OpenAI ", " gpt-4o-mini ", tokens(1_000)), "0.00015", "1000 x 0.15: spaces and capitals are no names"),
    # Prices that changed
    (
        call_of("openai", "o3", tokens(1_000, 100), at="2025-06-09T23:59:59Z"),
        "0.014",
        "the day before the cut: 1000 x 10 + 100 x 40 = 10000 + 4000",
    ),
    (
        call_of("openai", "o3", tokens(1_000, 100), at="2025-06-10T00:00:00Z"),
        "0.0028",
        "from the cut on: 1000 x 2 + 100 x 8 = 2000 + 800",
    ),
    (
        call_of("mistral_ai", "mistral-small-latest", tokens(1_000, 1_000), at="2026-03-15T12:00:00Z"),
        "0.0004",
        "1000 x 0.10 + 1000 x 0.30",
    ),
    (
        call_of("mistral_ai", "mistral-small-latest", tokens(1_000, 1_000), at="2026-03-16T12:00:00Z"),
        "0.00075",
        "the alias moved to a newer model: 1000 x 0.15 + 1000 x 0.60",
    ),
    (
        call_of("gcp.gemini", "gemini-4-argon", tokens(1_000, 100), at="2026-11-30T23:59:59Z"),
        "0.003",
        "the introductory price: 1000 x 2 + 100 x 10 = 2000 + 1000",
    ),
    (
        call_of("gcp.gemini", "gemini-4-argon", tokens(1_000, 100), at="2026-12-01T00:00:00Z"),
        "0.006",
        "and when it ends: 1000 x 4 + 100 x 20 = 4000 + 2000",
    ),
    (
        call_of("deepseek", "deepseek-v4-flash", tokens(1_000, 1_000), at="2026-11-20T12:00:00Z"),
        "0.00075",
        "off the peak: 1000 x 0.15 + 1000 x 0.60",
    ),
    (
        call_of("deepseek", "deepseek-v4-flash", tokens(1_000, 1_000), at="2026-11-20T02:00:00Z"),
        "0.0015",
        "at the peak, double: 1000 x 0.30 + 1000 x 1.20",
    ),
    # Audio and images
    (
        call_of(
            "openai",
            "gpt-audio",
            usage_of(uncached_input_tokens=100, audio_input_tokens=1_000, audio_output_tokens=500),
        ),
        "0.06425",
        "100 x 2.50 + 1000 x 32 + 500 x 64 = 250 + 32000 + 32000: audio has its own price both ways",
    ),
    (
        call_of(
            "openai",
            "gpt-realtime",
            usage_of(
                uncached_input_tokens=200,
                audio_input_tokens=300,
                audio_cache_read_tokens=400,
                image_input_tokens=50,
                visible_output_tokens=20,
                audio_output_tokens=100,
            ),
        ),
        "0.01753",
        "200 x 4 + 300 x 32 + 400 x 0.40 + 50 x 5 + 20 x 16 + 100 x 64 = 800 + 9600 + 160 + 250 + 320 + 6400",
    ),
    (
        call_of(
            "gcp.gemini",
            "gemini-2.5-flash",
            usage_of(uncached_input_tokens=100, audio_input_tokens=1_000, audio_cache_read_tokens=500),
        ),
        "0.00108",
        "100 x 0.30 + 1000 x 1 + 500 x 0.10 = 30 + 1000 + 50",
    ),
    (
        call_of("gcp.gemini", "gemini-2.5-pro", usage_of(uncached_input_tokens=100, audio_input_tokens=1_000)),
        "0.001375",
        "one price for text, audio and images: 1100 x 1.25",
    ),
    (
        call_of("gcp.gemini", "gemini-2.5-flash-image", usage_of(uncached_input_tokens=10, image_output_tokens=1_290)),
        "0.038703",
        "an image: 10 x 0.30 + 1290 x 30 = 3 + 38700",
    ),
    (
        call_of(
            "openai",
            "gpt-image-1",
            usage_of(uncached_input_tokens=20, image_input_tokens=300, image_output_tokens=1_056),
            operation="image_generation",
        ),
        "0.04534",
        "20 x 5 + 300 x 10 + 1056 x 40 = 100 + 3000 + 42240",
    ),
    # Batches and speed
    (
        call_of("openai", "gpt-5", tokens(1_000, 100, cache_read=200), service_tier="batch"),
        "0.0010125",
        "a batch, half: 800 x 0.625 + 200 x 0.0625 + 100 x 5 = 500 + 12.5 + 500",
    ),
    (
        call_of(
            "anthropic",
            SONNET,
            usage_of(
                uncached_input_tokens=1_000, cache_write_tokens=100, cache_write_1h_tokens=10, visible_output_tokens=100
            ),
            service_tier="batch",
        ),
        "0.0024675",
        "a batch, half: 1000 x 1.50 + 100 x 1.875 + 10 x 3 + 100 x 7.50 = 1500 + 187.5 + 30 + 750",
    ),
    (
        call_of("gcp.gemini", "gemini-2.5-pro", tokens(200_001, 10), service_tier="batch"),
        "0.25007625",
        "a batch above the tier's edge: 200001 x 1.25 + 10 x 7.50 = 250001.25 + 75",
    ),
    (
        call_of("openai", "gpt-5.4", tokens(1_000, 100), service_tier="priority"),
        "0.008",
        "double: 1000 x 5 + 100 x 30 = 5000 + 3000",
    ),
    (
        call_of("openai", "gpt-5.4", tokens(1_000, 100), service_tier="fast"),
        "0.008",
        "priority by its new name: 1000 x 5 + 100 x 30",
    ),
    (
        call_of("anthropic", "claude-opus-4-8", tokens(1_000, 100), service_tier="fast"),
        "0.015",
        "fast mode, double: 1000 x 10 + 100 x 50 = 10000 + 5000",
    ),
    (
        call_of(
            "anthropic",
            "claude-opus-5",
            usage_of(uncached_input_tokens=10, cache_read_tokens=1_000, cache_write_1h_tokens=500),
        ),
        "0.00555",
        "10 x 5 + 1000 x 0.50 + 500 x 10 = 50 + 500 + 5000",
    ),
    # Regions of Bedrock
    (
        call_of("aws.bedrock", None, tokens(1_000, 100), request_model="us.anthropic.claude-opus-4-6-v1:0"),
        "0.00825",
        "a regional profile, 10 % more: 1000 x 5.50 + 100 x 27.50 = 5500 + 2750",
    ),
    (
        call_of("aws.bedrock", None, tokens(1_000, 100), request_model="global.anthropic.claude-opus-4-6-v1:0"),
        "0.0075",
        "the global profile: 1000 x 5 + 100 x 25 = 5000 + 2500",
    ),
    (
        call_of(
            "aws.bedrock",
            None,
            usage_of(uncached_input_tokens=10, cache_write_1h_tokens=1_000),
            request_model="eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        "0.002211",
        "10 x 1.10 + 1000 x 2.20 = 11 + 2200: an hour's cache, regional",
    ),
    (
        call_of(
            "aws.bedrock",
            None,
            tokens(1_000, 100),
            request_model=f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET_BEDROCK}",
        ),
        "0.00495",
        "a profile's whole name: 1000 x 3.30 + 100 x 16.50",
    ),
    (
        call_of("aws.bedrock", None, tokens(1_000), request_model="amazon.titan-embed-text-v2:0"),
        "0.00002",
        "1000 x 0.02",
    ),
    # Where the call really went
    (
        call_of("openai", "deepseek-v4-pro", tokens(1_000, 100), server_address="api.deepseek.com"),
        "0.000858",
        "the openai client at DeepSeek's address: 1000 x 0.66 + 100 x 1.98 = 660 + 198",
    ),
    (
        call_of("openai", "anthropic/claude-sonnet-4.5", tokens(1_000, 100), server_address="openrouter.ai"),
        "0.0045",
        "... at OpenRouter's: 1000 x 3 + 100 x 15 = 3000 + 1500",
    ),
    (
        call_of(
            "anthropic",
            None,
            tokens(1_000, 100),
            request_model=f"us.{SONNET_BEDROCK}",
            server_address="bedrock-runtime.us-east-1.amazonaws.com",
        ),
        "0.00495",
        "the anthropic client at Bedrock's: 1000 x 3.30 + 100 x 16.50",
    ),
    (
        call_of("openai", "gpt-4o-mini", tokens(1_000, 100), server_address="https://api.openai.com/v1/"),
        "0.00021",
        "at OpenAI's own, as a URL: 150 + 60",
    ),
    # Names in other spellings
    (call_of("gcp.gemini", "models/gemini-2.5-pro", tokens(1_000)), "0.00125", "1000 x 1.25"),
    (
        call_of("gcp.vertex_ai", "publishers/google/models/gemini-2.5-flash", tokens(1_000)),
        "0.0003",
        "1000 x 0.30",
    ),
    (call_of("openai", "openai/gpt-4o", tokens(1_000)), "0.0025", "1000 x 2.50"),
    (call_of("anthropic", f"anthropic/{SONNET}", tokens(1_000)), "0.003", "1000 x 3"),
    (call_of("gcp.vertex_ai", "claude-sonnet-4-5@20250929", tokens(1_000)), "0.003", "1000 x 3"),
    (
        call_of("gcp.gemini", "gemini-2.5-flash-preview-05-20", tokens(1_000), at="2025-06-01T00:00:00Z"),
        "0.00015",
        "the preview's price then: 1000 x 0.15",
    ),
    # Free, and said to be
    (call_of("openrouter", "google/gemma-3-27b-it:free", tokens(1_000, 100)), "0", "free by its name"),
    (call_of("voyage_ai", "voyage-3.5", tokens(1_000)), "0.00006", "1000 x 0.06"),
    (call_of("cohere", "embed-v4.0", tokens(1_000)), "0.00012", "1000 x 0.12"),
]


UNKNOWN: Final[list[tuple[ModelCall, str, str]]] = [
    (call_of("acme-llm", "gpt-4o-mini", tokens(10, 1)), "has no provider 'acme-llm'", "nobody knows it"),
    (
        call_of("my-openai-compatible", "gpt-4o-mini", tokens(10, 1)),
        "has no provider 'my-openai-compatible'",
        "a fragment of a name is not a name: somebody's own server costs nothing like OpenAI",
    ),
    (call_of("vllm-openai", "gpt-4o-mini", tokens(10, 1)), "has no provider 'vllm-openai'", "the same"),
    (call_of("gateway/openai", "gpt-4o-mini", tokens(10, 1)), "has no provider 'gateway/openai'", "the same"),
    (call_of("ollama", "llama3.2", tokens(10, 1)), "has no provider 'ollama'", "runs at home"),
    (call_of("", "gpt-4o-mini", tokens(10, 1)), "has no provider ''", "an empty name"),
    (
        model_call(provider=None),
        "names no provider (gen_ai.provider.name)",
        "the model alone does not say who is paid",
    ),
    (
        call_of("openai", "gpt-9000", tokens(10, 1)),
        "has no model 'gpt-9000' of provider 'openai'",
        "not in the list yet",
    ),
    (
        call_of("openai", "gpt-4o-mini-2027-01-01", tokens(10, 1)),
        "has no model 'gpt-4o-mini-2027-01-01' of provider 'openai', only openai/gpt-4o-mini",
        "a newer snapshot may have a newer price",
    ),
    (call_of("openai", SONNET, tokens(10, 1)), f"has no model '{SONNET}'", "another provider's model"),
    (
        call_of("azure.ai.openai", "my-deployment", tokens(10, 1), request_model="my-deployment"),
        "has no model 'my-deployment'",
        "a deployment's name is not a model's",
    ),
    (
        call_of("openai", None, tokens(10, 1)),
        "has no model None of provider 'openai'",
        "the span names no model",
    ),
    (call_of("openai", "", tokens(10, 1)), "has no model", "nor does an empty one"),
    (
        call_of("gcp.gemini", "gemma-3", tokens(10, 1)),
        "lists without a price google/gemma-3",
        "free, or unknown: the list does not say which",
    ),
    (
        call_of("groq", "whisper-large-v3", tokens(10, 1)),
        "has no price for input, output of groq/whisper-large-v3",
        "priced by the hour, and no hours are on the span",
    ),
    (
        call_of("openai", "text-embedding-3-small", tokens(0, 5)),
        "has no price for output of openai/text-embedding-3-small",
        "no price for what was used",
    ),
    (
        call_of("openai", "gpt-5", tokens(10, 1), service_tier="scale"),
        "no price at service tier 'scale' for openai/gpt-5",
        "the standard price would be a guess",
    ),
    (
        call_of("openai", "gpt-4o-mini", tokens(10, 1), service_tier="flex"),
        "no price at service tier 'flex' for openai/gpt-4o-mini",
        "this model is not sold at that tier",
    ),
    (
        call_of("openai", "gpt-5", tokens(10, 1), service_tier="flex", at="2026-10-11T12:00:00Z"),
        "no price at service tier 'flex' for openai/gpt-5",
        "the list has the tier from the 12th only",
    ),
    (
        model_call(usage=Unmetered("no token counts: the call failed")),
        "no token counts: the call failed",
        "nothing to multiply by",
    ),
    # Prices of the list that are known to be wrong, or not all of the cost
    (call_of("perplexity_ai", "sonar", tokens(1_000, 100)), "a fee for searches", "the greater part of the cost"),
    (call_of("perplexity", "sonar-deep-research", tokens(10, 1)), "a fee for searches", "so are its searches"),
    (call_of("deepseek", "deepseek-chat", tokens(10, 1)), "a schedule of February 2025", "a price of long ago"),
    (call_of("mistral_ai", "mistral-large-latest", tokens(10, 1)), "now stands for another", "an alias has moved"),
    (
        call_of("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", tokens(10, 1)),
        "the provider has re-priced it",
        "a price of long ago",
    ),
    (call_of("azure.ai.inference", "DeepSeek-R1", tokens(10, 1)), "prices of its own", "not DeepSeek's own price"),
    # Models of which the totals alone say too little, and what is more than tokens
    (call_of("gcp.gemini", "gemini-2.5-flash-image", tokens(10, 1_290)), "were audio or images", "an image, or text?"),
    (call_of("openai", "gpt-4o-transcribe", tokens(1_000, 10)), "were audio or images", "audio, most likely"),
    (call_of("openai", "gpt-5-search-api", tokens(10, 1)), "a fee for searches", "each call has one"),
    (call_of("openrouter", "perplexity/sonar", tokens(10, 1)), "a fee for searches", "resold"),
    (call_of("openai", "gpt-oss-120b", tokens(10, 1)), "OpenAI does not sell it", "the openai client at somebody's"),
    (
        call_of("deepseek", "deepseek-v4-flash", tokens(10, 1), at="2026-11-21T02:00:00Z"),
        "peak prices hold on working days",
        "a Saturday",
    ),
    (
        call_of("deepseek", "deepseek-v4-pro", tokens(10, 1), at="2026-08-14T02:00:00Z"),
        "peak prices hold on working days, and since 2026-08-17",
        "before there were any",
    ),
    (
        call_of(
            "aws.bedrock",
            "claude-sonnet-4-5-20250929",
            tokens(10, 1),
            request_model="arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
        ),
        "what is provisioned, imported or behind a profile",
        "paid by the hour",
    ),
    # Names that are like others
    (
        call_of("gcp.gemini", "gemini-1.5-flash-8b", tokens(10, 1)),
        "has no model 'gemini-1.5-flash-8b' of provider 'gcp.gemini', only google/gemini-1.5-flash",
        "half the price of the one that the list takes it for",
    ),
    (call_of("gcp.gemini", "gemini-3.8-flash-cyber", tokens(10, 1)), "only google/gemini-3.8-flash", "five times it"),
    (
        call_of("openai", "ft:gpt-4.1-2025-04-14:acme::abc", tokens(10, 1)),
        "has no model 'ft:gpt-4.1-2025-04-14:acme::abc'",
        "fine-tuned, it costs more than its base",
    ),
    (
        call_of("openai", "ft:gpt-4o-mini:acme::abc", tokens(10, 1)),
        "only openai/ft:gpt-4o-mini",
        "of which snapshot is not said",
    ),
    (
        call_of("azure.ai.openai", "my-model-v2", tokens(10, 1), request_model="gpt-4o"),
        "has no model 'my-model-v2'",
        "Azure's request names a deployment, and anything can be deployed as gpt-4o",
    ),
    # Buckets without a price
    (
        call_of("openai", "gpt-4o-audio-preview", usage_of(audio_input_tokens=1_000)),
        "no price for audio_input of openai/gpt-4o-audio-preview",
        "its text costs a sixteenth",
    ),
    (
        call_of("gcp.gemini", "gemini-2.5-pro", usage_of(image_output_tokens=10)),
        "no price for image_output",
        "an image costs twelve times as much as text where it has a price",
    ),
    (
        call_of("openai", "gpt-4o-mini", usage_of(uncached_input_tokens=10, cache_write_1h_tokens=5)),
        "no price for cache_write_1h of openai/gpt-4o-mini",
        "genai-prices takes the price of five minutes, in silence",
    ),
    # Places with other prices
    (
        call_of("aws.bedrock", None, tokens(10, 1), request_model=f"us-gov.{SONNET_BEDROCK}"),
        "AWS GovCloud",
        "20 % more, which the list does not have",
    ),
    (
        call_of(
            "aws.bedrock", SONNET_BEDROCK, tokens(10, 1), server_address="bedrock-runtime.us-gov-west-1.amazonaws.com"
        ),
        "AWS GovCloud",
        "the same by the host",
    ),
    (
        call_of("azure.ai.openai", "gpt-4o", tokens(10, 1), server_address="acme.openai.azure.us"),
        "Azure Government",
        "37 % more",
    ),
    # Tiers
    (
        call_of("anthropic", SONNET, tokens(10, 1), service_tier="priority"),
        "no price at service tier 'priority'",
        "bought in advance, by contract",
    ),
    (
        call_of("azure.ai.openai", "gpt-5", tokens(10, 1), service_tier="priority"),
        "no price at service tier 'priority'",
        "genai-prices drops the tier of a model it borrows from another provider's list",
    ),
    (
        call_of("anthropic", SONNET, tokens(10, 1), service_tier="standard in us"),
        "no price at service tier 'standard in us'",
        "a surcharge of 10 % for some models",
    ),
    (
        call_of("openai", "gpt-5", tokens(10, 1), requested_service_tier="flex"),
        "service tier 'flex' was asked for and the span does not say which one answered",
        "half the price, or all of it",
    ),
    (
        call_of("anthropic", SONNET, tokens(10, 1), service_tier="batch", at="2026-10-13T23:59:59Z"),
        "no price at service tier 'batch'",
        "the list has it from the 14th of October only",
    ),
]


@pytest.mark.parametrize(("call", "usd", "working"), BY_HAND)
def test_a_call_costs_what_the_providers_price_page_says(call: ModelCall, usd: str, working: str) -> None:
    """The cost on the event must be the cost on the invoice."""
    price = price_call(call, [PRICES])

    assert isinstance(price, Price), working
    page = PRICE_PAGES[price.matched.partition("/")[0]]
    assert (price.usd, price.source) == (Decimal(usd), SOURCE), f"{working} ({page})"


def test_the_table_is_long_enough_to_be_one() -> None:
    """One example is not enough: cached tokens billed twice survive until such a table exists."""
    assert len(BY_HAND) >= 60


@pytest.mark.parametrize(
    ("call", "why", "reason"),
    UNKNOWN,
)
def test_a_call_without_a_certain_price_is_unpriced_and_told_why(call: ModelCall, why: str, reason: str) -> None:
    """A silent zero is a call given away, and a guess is a wrong bill."""
    answer = price_call(call, [PRICES])

    assert isinstance(answer, Unpriced), reason
    assert why in answer.reason, reason
