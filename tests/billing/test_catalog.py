from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Context, Decimal, FloatOperation, Inexact, Rounded, Subnormal, localcontext
from typing import TYPE_CHECKING, Any, Final

import pytest
from genai_prices import Usage, __version__
from genai_prices.data import providers as bundled_providers
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice

from otel_polar.billing.catalog import PROVIDER_ALIASES, SOURCE, Catalog
from otel_polar.billing.pricing import Cost, Unpriced
from otel_polar.billing.usage import TokenUsage, Unmetered
from tests.billing.support import START, model_call, tokens, unix_nano

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.billing.call import ModelCall

PRICES: Final = Catalog()

SONNET: Final = "claude-sonnet-4-5-20250929"
SONNET_BEDROCK: Final = f"anthropic.{SONNET}-v1:0"


def call_of(provider: str, model: str | None, usage: TokenUsage, *, at: str = START, **fields: Any) -> ModelCall:
    """A call that *model* answered at the time *at*."""
    return model_call(
        provider=provider, response_model=model, usage=usage, start_time_unix_nano=unix_nano(at), **fields
    )


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
        call_of("perplexity_ai", "sonar", tokens(1_000, 100)),
        "0.0131",
        "1000 x 1 + 100 x 1 = 1100 per million, and one request at 12 per thousand",
    ),
    (
        call_of("perplexity", "sonar-deep-research", tokens(1_000, 400, reasoning=300)),
        "0.0037",
        "reasoning has its own price: 1000 x 2 + 100 x 8 + 300 x 3 = 2000 + 800 + 900",
    ),
    (
        call_of("moonshot_ai", "kimi-k2-0905-preview", tokens(1_000, 100, cache_read=500)),
        "0.000625",
        "500 x 0.60 + 500 x 0.15 + 100 x 2.50 = 300 + 75 + 250",
    ),
    (call_of("z_ai", "glm-4.6", tokens(1_000, 100)), "0.00082", "1000 x 0.60 + 100 x 2.20 = 600 + 220"),
    (
        call_of("togetherai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", tokens(1_000, 1_000)),
        "0.00176",
        "2000 x 0.88",
    ),
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
]


@pytest.mark.parametrize(("call", "usd", "reason"), BY_HAND)
def test_a_call_costs_what_the_price_list_says(call: ModelCall, usd: str, reason: str) -> None:
    """Money worked out by hand, from the providers' price pages, in dollars."""
    assert PRICES(call) == Cost(femto_usd=int(Decimal(usd) * 10**15), source=f"genai-prices {__version__}"), reason


@pytest.mark.parametrize(
    ("call", "why", "reason"),
    [
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
            "has no model 'gpt-4o-mini-2027-01-01'",
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
            "has no price for input of groq/whisper-large-v3",
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
            call_of("openai", "gpt-5", tokens(10, 1), service_tier="Flex"),
            "no price at service tier 'Flex' for openai/gpt-5",
            "a tier the list spells otherwise",
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
    ],
)
def test_a_call_without_a_certain_price_is_unpriced_and_told_why(call: ModelCall, why: str, reason: str) -> None:
    """A silent zero is a call given away, and a guess is a wrong bill."""
    answer = PRICES(call)

    assert isinstance(answer, Unpriced), reason
    assert why in answer.reason, reason


def test_a_call_of_1000_dollars_or_more_is_unpriced() -> None:
    """Polar refuses the whole batch for it; below, it is taken to the last token."""
    below = PRICES(call_of("openai", "gpt-4-turbo", tokens(99_999_999)))
    at = PRICES(call_of("openai", "gpt-4-turbo", tokens(100_000_000)))

    assert below == Cost(femto_usd=999_999_990_000_000_000, source=SOURCE)
    assert isinstance(at, Unpriced)
    assert "Polar takes less than 1000 USD on one event" in at.reason


@pytest.mark.parametrize("tier", [None, "auto", "default", "standard"])
def test_the_ordinary_tiers_cost_the_ordinary_price(tier: str | None) -> None:
    """OpenAI and Anthropic name a tier on every answer; that alone must not hold anything up."""
    call = call_of("openai", "text-embedding-3-small", tokens(1_000), service_tier=tier)

    assert PRICES(call) == Cost(femto_usd=20_000_000_000, source=SOURCE)


def test_the_model_that_answered_is_priced_and_the_one_asked_for_only_if_that_is_unknown() -> None:
    """An alias answers with what it stands for."""
    usage = tokens(1_000)
    answered = call_of("openai", "gpt-4o-mini", usage, request_model="gpt-4o")
    unlisted = call_of("openai", "gpt-4o-2099-01-01", usage, request_model="gpt-4o")
    unsaid = call_of("openai", None, usage, request_model="gpt-4o")

    assert [PRICES(call) for call in (answered, unlisted, unsaid)] == [
        Cost(femto_usd=150_000_000_000, source=SOURCE),
        Cost(femto_usd=2_500_000_000_000, source=SOURCE),
        Cost(femto_usd=2_500_000_000_000, source=SOURCE),
    ]


@pytest.mark.parametrize("alias", sorted(PROVIDER_ALIASES))
def test_every_alias_stands_for_a_provider_of_the_list(alias: str) -> None:
    """A slip of the pen there is a provider that is never priced."""
    answer = PRICES(call_of(alias, "no-such-model", tokens(1)))

    assert isinstance(answer, Unpriced)
    assert "has no model 'no-such-model'" in answer.reason


def test_the_price_is_that_of_the_start() -> None:
    """A call across midnight costs what it cost when it was sent, however late it is delivered."""
    call = call_of("openai", "o3", tokens(1_000, 100), at="2025-06-09T23:59:59Z")

    later = call._replace(end_time_unix_nano=unix_nano("2025-06-11T00:00:00Z"))

    assert PRICES(later) == Cost(femto_usd=14_000_000_000_000, source=SOURCE)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (Context(prec=6), "few digits"),
        (Context(prec=1), "next to none"),
        (Context(prec=6, traps=[Inexact, Rounded, FloatOperation]), "traps on every rounding"),
        (Context(prec=3, Emax=3, Emin=-3, traps=[Subnormal]), "small exponents"),
    ],
)
def test_the_applications_decimal_context_changes_no_price(context: Context, reason: str) -> None:
    """The worker's thread may inherit whatever the application set for its own sums."""
    fresh = Catalog()
    with localcontext(context):
        answers = [fresh(call) for call, _, _ in BY_HAND]

    assert answers == [PRICES(call) for call, _, _ in BY_HAND], reason


@pytest.fixture
def _free_for_all() -> Iterator[None]:
    """Another library has put its own, empty price list in the place of the bundled one."""
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
    yield
    set_custom_snapshot(None)


@pytest.mark.usefixtures("_free_for_all")
def test_another_librarys_price_list_changes_no_price() -> None:
    """Logfire and pydantic-ai replace the list of the whole process; a bill must not depend on them."""
    assert [PRICES(call) for call, _, _ in BY_HAND] == [Catalog()(call) for call, _, _ in BY_HAND]
    assert isinstance(Catalog()(BY_HAND[0][0]), Cost)


def test_a_price_does_not_depend_on_what_was_asked_before() -> None:
    """In one release of genai-prices, a look-up for one provider answered for another."""
    calls = [call for call, _, _ in BY_HAND]
    forwards, backwards = Catalog(), Catalog()

    assert [forwards(call) for call in calls] == [backwards(call) for call in reversed(calls)][::-1]


def test_a_price_for_cached_input_alone_is_none() -> None:
    """One bad entry of a new release must not stop the batch, nor be billed in part."""
    prices = Catalog()
    odd = ModelInfo(id="odd", match=ClauseEquals("odd"), prices=ModelPrice(cache_read_mtok=Decimal(1)))
    prices._providers["openai"] = replace(prices._providers["openai"], models=[odd])

    answer = prices(call_of("openai", "odd", tokens(10, cache_read=5)))

    assert isinstance(answer, Unpriced)
    assert answer.reason == f"{SOURCE} has no price for input of openai/odd"


def test_unknown_models_are_remembered_in_bounds() -> None:
    """Model names come from spans, so from anybody: they must not fill the memory."""
    prices = Catalog()
    for number in range(1_100):
        prices(call_of("openai", f"no-such-model-{number}", tokens(1)))

    assert prices._find_model.cache_info().currsize == 1_024


def genai_femto_usd(snapshot: DataSnapshot, provider_id: str, model_id: str, usage: TokenUsage) -> int:
    """What genai-prices' own function answers; 0 where it has no model, no price, or a price of 0."""
    counts = Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    try:
        price = snapshot.calc(counts, model_id, provider_id, None, datetime.fromisoformat(START))
    except LookupError:  # ids such as "ft:gpt-4o" match no name that an answer can carry, not even themselves
        return 0
    return int(price.total_price * 10**15)


EMBEDDING_MODELS = ("text-embedding", "gemini-embedding")


@pytest.mark.parametrize("provider_id", ["openai", "anthropic", "google"])
@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        (tokens(10_000, 700, cache_read=6_000, cache_write=500, reasoning=300), "every bucket"),
        (tokens(1_000, 100), "the usual"),
        (tokens(300_001, 10, cache_read=1), "above every tier"),
    ],
)
def test_every_listed_model_costs_what_genai_prices_itself_says(
    provider_id: str, usage: TokenUsage, reason: str
) -> None:
    """Our way around its traps must not lead past a price."""
    snapshot = DataSnapshot(providers=list(bundled_providers), from_auto_update=False)
    (provider,) = (listed for listed in bundled_providers if listed.id == provider_id)
    # An embedding model has no price for output, and would give it away.
    listed = [model for model in provider.models if not model.id.startswith(EMBEDDING_MODELS)]
    theirs = {model.id: genai_femto_usd(snapshot, provider_id, model.id, usage) for model in listed}

    ours = {model.id: PRICES(call_of(provider_id, model.id, usage)) for model in listed}

    priced = {model_id: cost.femto_usd for model_id, cost in ours.items() if isinstance(cost, Cost)}
    assert len(priced) > 20, reason
    assert priced == {model_id: femto_usd for model_id, femto_usd in theirs.items() if femto_usd}, reason


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_a_tier_that_is_not_applied_is_unpriced(tier: str) -> None:
    """genai-prices drops the tier of a model it borrows from another provider, and answers the standard price."""
    call = model_call(provider="azure.ai.openai", response_model="gpt-5", usage=tokens(1_000, 100), service_tier=tier)

    assert isinstance(PRICES(call), Unpriced)


@pytest.mark.parametrize("start", [10**21, -(10**21)])
def test_a_start_beyond_every_calendar_is_unpriced(start: int) -> None:
    """A span's times are whatever somebody wrote there."""
    assert isinstance(PRICES(model_call(start_time_unix_nano=start)), Unpriced)


def test_output_without_a_price_is_not_given_away() -> None:
    """The list of an embedding model has no price for output, and would count it as free."""
    call = model_call(response_model="text-embedding-3-small", usage=tokens(1_000, 500))

    assert isinstance(PRICES(call), Unpriced)


def test_cache_writes_of_an_hour_without_a_price_are_not_priced_as_shorter_ones() -> None:
    """genai-prices would take the price of five minutes in silence."""
    answer = Catalog()(call_of("openai", "gpt-4o-mini", TokenUsage(10, 1, 0, 5, cache_write_1h_tokens=5)))

    assert isinstance(answer, Unpriced)
    assert "no price for cache writes of an hour" in answer.reason
