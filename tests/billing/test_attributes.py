from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing import semconv
from otel_polar.billing.attributes import MAX_NAME_CHARACTERS, Found, find

INPUT: Final = "gen_ai.usage.input_tokens"
PROVIDER: Final = "gen_ai.provider.name"

SPELLINGS: Final = [
    ("gen_ai.provider.name", "provider", "OpenTelemetry"),
    ("gen_ai.system", "provider", "OpenTelemetry before 1.37"),
    ("llm.provider", "provider", "OpenInference: who hosts the model"),
    ("llm.system", "provider", "OpenInference: who made it"),
    ("ai.model.provider", "provider", "Vercel AI SDK"),
    ("gen_ai.request.model", "request_model", "OpenTelemetry"),
    ("ai.model.id", "request_model", "Vercel AI SDK"),
    ("gen_ai.response.model", "response_model", "OpenTelemetry"),
    ("ai.response.model", "response_model", "Vercel AI SDK"),
    ("llm.model_name", "response_model", "OpenInference"),
    ("embedding.model_name", "response_model", "OpenInference"),
    ("gen_ai.response.id", "response_id", "OpenTelemetry"),
    ("ai.response.id", "response_id", "Vercel AI SDK"),
    ("otel_polar.service_tier", "service_tier", "the application's own word"),
    ("openai.response.service_tier", "service_tier", "OpenTelemetry"),
    ("gen_ai.openai.response.service_tier", "service_tier", "OpenTelemetry before 1.37"),
    ("anthropic.response.service_tier", "service_tier", "Anthropic's own spans"),
    ("llm.openai.service_tier", "service_tier", "litellm"),
    ("server.address", "server_address", "OpenTelemetry"),
    ("gen_ai.usage.input_tokens", "input_tokens", "OpenTelemetry"),
    ("gen_ai.usage.prompt_tokens", "input_tokens", "OpenTelemetry before 1.27, OpenLLMetry's Cohere, Strands"),
    ("llm.token_count.prompt", "input_tokens", "OpenInference"),
    ("ai.usage.inputTokens", "input_tokens", "Vercel AI SDK, streamText"),
    ("ai.usage.promptTokens", "input_tokens", "Vercel AI SDK 5, generateText"),
    ("ai.usage.tokens", "input_tokens", "Vercel AI SDK, embeddings"),
    ("llm.usage.prompt_tokens", "input_tokens", "OpenLLMetry before 0.20"),
    ("gen_ai.usage.output_tokens", "output_tokens", "OpenTelemetry"),
    ("gen_ai.usage.completion_tokens", "output_tokens", "OpenTelemetry before 1.27"),
    ("llm.token_count.completion", "output_tokens", "OpenInference"),
    ("ai.usage.outputTokens", "output_tokens", "Vercel AI SDK, streamText"),
    ("ai.usage.completionTokens", "output_tokens", "Vercel AI SDK 5, generateText"),
    ("llm.usage.completion_tokens", "output_tokens", "OpenLLMetry before 0.20"),
    ("gen_ai.usage.cache_read.input_tokens", "cache_read_tokens", "OpenTelemetry"),
    ("gen_ai.usage.cache_read_input_tokens", "cache_read_tokens", "OpenLLMetry, Strands"),
    ("llm.token_count.prompt_details.cache_read", "cache_read_tokens", "OpenInference"),
    ("ai.usage.inputTokenDetails.cacheReadTokens", "cache_read_tokens", "Vercel AI SDK 7"),
    ("ai.usage.cachedInputTokens", "cache_read_tokens", "Vercel AI SDK 5"),
    ("gen_ai.usage.cache_write.input_tokens", "cache_write_tokens", "OpenTelemetry"),
    ("gen_ai.usage.cache_creation.input_tokens", "cache_write_tokens", "before semantic-conventions-genai #440"),
    ("gen_ai.usage.cache_write_input_tokens", "cache_write_tokens", "Strands"),
    ("gen_ai.usage.cache_creation_input_tokens", "cache_write_tokens", "OpenLLMetry"),
    ("llm.token_count.prompt_details.cache_write", "cache_write_tokens", "OpenInference"),
    ("ai.usage.inputTokenDetails.cacheWriteTokens", "cache_write_tokens", "Vercel AI SDK 7"),
    ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens", "cache_write_1h_tokens", "Anthropic's own spans"),
    ("gen_ai.usage.reasoning.output_tokens", "reasoning_tokens", "OpenTelemetry"),
    ("gen_ai.usage.reasoning_tokens", "reasoning_tokens", "OpenLLMetry, OpenLIT"),
    ("llm.token_count.completion_details.reasoning", "reasoning_tokens", "OpenInference"),
    ("ai.usage.outputTokenDetails.reasoningTokens", "reasoning_tokens", "Vercel AI SDK 7"),
    ("ai.usage.reasoningTokens", "reasoning_tokens", "Vercel AI SDK 5"),
    ("gen_ai.usage.details.reasoning_tokens", "reasoning_tokens", "pydantic-ai"),
    ("gen_ai.usage.details.thoughts_tokens", "reasoning_tokens", "pydantic-ai, Gemini"),
    ("gen_ai.usage.audio.input_tokens", "audio_input_tokens", "OpenTelemetry"),
    ("llm.token_count.prompt_details.audio", "audio_input_tokens", "OpenInference"),
    ("gen_ai.usage.details.audio_prompt_tokens", "audio_input_tokens", "pydantic-ai, Gemini"),
    ("gen_ai.usage.details.input_audio_tokens", "audio_input_tokens", "pydantic-ai, OpenAI"),
    ("gen_ai.usage.audio.cache_read.input_tokens", "audio_cache_read_tokens", "OpenTelemetry"),
    ("gen_ai.usage.details.audio_cache_tokens", "audio_cache_read_tokens", "pydantic-ai, Gemini"),
    ("gen_ai.usage.details.cache_audio_read_tokens", "audio_cache_read_tokens", "pydantic-ai"),
    ("gen_ai.usage.audio.output_tokens", "audio_output_tokens", "OpenTelemetry"),
    ("llm.token_count.completion_details.audio", "audio_output_tokens", "OpenInference"),
    ("gen_ai.usage.details.audio_candidates_tokens", "audio_output_tokens", "pydantic-ai, Gemini"),
    ("gen_ai.usage.details.output_audio_tokens", "audio_output_tokens", "pydantic-ai, OpenAI"),
    ("gen_ai.usage.image.input_tokens", "image_input_tokens", "OpenTelemetry"),
    ("gen_ai.usage.details.image_prompt_tokens", "image_input_tokens", "pydantic-ai, Gemini"),
    ("gen_ai.usage.image.cache_read.input_tokens", "image_cache_read_tokens", "OpenTelemetry"),
    ("gen_ai.usage.image.output_tokens", "image_output_tokens", "OpenTelemetry"),
    ("gen_ai.usage.details.image_candidates_tokens", "image_output_tokens", "pydantic-ai, Gemini"),
]
NAMES: Final = ("provider", "request_model", "response_model", "response_id", "service_tier", "server_address")
OF_NAMES: Final = [row for row in SPELLINGS if row[1] in NAMES]
OF_COUNTS: Final = [row for row in SPELLINGS if row[1] not in NAMES]


def everything(attributes: dict[str, object], length_limit: int | None = None) -> dict[str, object]:
    """All that is found, by field; what is absent is left out."""
    found = find(attributes, length_limit)
    return {field: value for field, value in zip(Found._fields, found, strict=True) if value is not None}


@pytest.mark.parametrize(("name", "field", "dialect"), OF_NAMES)
def test_a_name_is_found_under_every_spelling(name: str, field: str, dialect: str) -> None:
    """Emitters of four years are in use at once; a model that is not found has no price."""
    assert everything({name: "x"}) == {field: "x"}, dialect


@pytest.mark.parametrize(("name", "field", "dialect"), OF_COUNTS)
def test_a_count_is_found_under_every_spelling(name: str, field: str, dialect: str) -> None:
    """A spelling that is not read is a bucket billed wrongly."""
    assert everything({name: 7}) == {field: 7}, dialect


def test_every_spelling_is_specified_and_means_one_thing() -> None:
    """A name in two tables would be billed as two things."""
    tables = [value for name, value in vars(semconv).items() if name.endswith(("_TOKENS", "_NAME", "_MODEL", "_ID"))]
    tables += [semconv.SERVICE_TIER, semconv.SERVER_ADDRESS]
    names = [name for table in tables if isinstance(table, tuple) for name in table]

    assert sorted(names) == sorted(name for name, _, _ in SPELLINGS)


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("provider", semconv.PROVIDER_NAME),
        ("request_model", semconv.REQUEST_MODEL),
        ("response_model", semconv.RESPONSE_MODEL),
        ("response_id", semconv.RESPONSE_ID),
        ("service_tier", semconv.SERVICE_TIER),
        ("server_address", semconv.SERVER_ADDRESS),
        ("input_tokens", semconv.INPUT_TOKENS),
        ("output_tokens", semconv.OUTPUT_TOKENS),
        ("cache_read_tokens", semconv.CACHE_READ_TOKENS),
        ("cache_write_tokens", semconv.CACHE_WRITE_TOKENS),
        ("reasoning_tokens", semconv.REASONING_TOKENS),
        ("audio_input_tokens", semconv.AUDIO_INPUT_TOKENS),
        ("audio_cache_read_tokens", semconv.AUDIO_CACHE_READ_TOKENS),
        ("audio_output_tokens", semconv.AUDIO_OUTPUT_TOKENS),
        ("image_input_tokens", semconv.IMAGE_INPUT_TOKENS),
        ("image_output_tokens", semconv.IMAGE_OUTPUT_TOKENS),
    ],
)
def test_the_newest_spelling_wins_whatever_the_order_on_the_span(field: str, names: semconv.Names) -> None:
    """Strands writes both generations side by side: added, the call would be billed twice."""
    values: dict[str, object] = {name: str(place) if field in NAMES else place for place, name in enumerate(names)}
    turned = dict(reversed(values.items()))

    assert everything(values) == everything(turned) == {field: values[names[0]]}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gen_ai.usage.total_tokens", "input and output once more"),
        ("llm.token_count.total", "the same"),
        ("ai.usage.totalTokens", "the same"),
        ("gen_ai.aggregated_usage.input_tokens", "pydantic-ai: the sum of the calls below"),
        ("gen_ai.usage.details.audio_tokens", "pydantic-ai: input or output, nobody knows"),
        ("gen_ai.usage.text.input_tokens", "what is left when all else has been taken out"),
        ("openai.request.service_tier", "asked for is not got: never billed by"),
        ("gen_ai.usage.cost", "others' prices are not ours"),
    ],
)
def test_what_repeats_or_guesses_is_not_read(name: str, reason: str) -> None:
    """A number that is read where it does not belong is worse than none."""
    assert everything({name: 7}) == {}, reason
    assert everything({name: "flex"}) == {}, reason


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({}, {}, "nothing at all"),
        ({PROVIDER: "", "gen_ai.system": "b"}, {"provider": "b"}, "empty is absent"),
        ({PROVIDER: 7, "gen_ai.system": "b"}, {"provider": "b"}, "a number names nobody"),
        ({PROVIDER: ("a",), "llm.system": "b"}, {"provider": "b"}, "nor does an array"),
        ({PROVIDER: None}, {}, "nor does nothing"),
        ({"gen_ai.request.model": ""}, {}, "empty, and no other spelling"),
        ({"gen_ai.response.id": 123}, {}, "a counter is no id"),
    ],
)
def test_a_name_is_the_first_that_is_text(
    attributes: dict[str, object], expected: dict[str, object], reason: str
) -> None:
    """Some write rubbish beside the truth."""
    assert everything(attributes) == expected, reason


@pytest.mark.parametrize("value", [0, -1, True, 12.5, "12", (12,), 10**100])
def test_an_odd_count_is_not_overruled_by_an_older_spelling(value: object) -> None:
    """The emitter said something; another number beside it is no reason to believe that one."""
    assert everything({INPUT: value, "gen_ai.usage.prompt_tokens": 99}) == {"input_tokens": value}


@pytest.mark.parametrize(("name", "field", "dialect"), OF_NAMES)
def test_names_are_cut_at_200_characters(name: str, field: str, dialect: str) -> None:
    """A longer one names nothing, and must not fill the disk."""
    for size in (MAX_NAME_CHARACTERS, MAX_NAME_CHARACTERS + 1, 10_000):
        assert everything({name: "x" * size}) == {field: "x" * 200}, dialect


@pytest.mark.parametrize(("name", "field", "dialect"), OF_NAMES)
def test_a_name_as_long_as_the_span_limit_is_not_believed(name: str, field: str, dialect: str) -> None:
    """The SDK cuts values without a word: gpt-4o-mini becomes gpt-4o, at sixteen times the price."""
    assert everything({name: "gpt-4o"}, length_limit=7) == {field: "gpt-4o"}, dialect
    assert everything({name: "gpt-4o"}, length_limit=6) == {}, dialect
    assert everything({name: "x" * 250}, length_limit=300) == {field: "x" * 200}, dialect
    assert everything({name: "x" * 250}, length_limit=250) == {}, dialect


def test_an_older_name_stands_in_for_a_newer_one_that_was_cut() -> None:
    """It is the same fact, and may be shorter."""
    attributes: dict[str, object] = {PROVIDER: "azure.ai.openai", "gen_ai.system": "openai"}

    assert everything(attributes, length_limit=15) == {"provider": "openai"}


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({"gen_ai.usage.raw": "a"}, "a", "logfire"),
        ({"langsmith.metadata.usage_metadata": "a"}, "a", "langsmith"),
        ({"metadata.usage_object": "a"}, "a", "litellm"),
        ({"ai.response.providerMetadata": "a"}, "a", "Vercel AI SDK"),
        ({"metadata.usage_object": "b", "gen_ai.usage.raw": "a"}, "a", "the first in the table"),
        ({"gen_ai.usage.raw": "x" * 1_000}, "x" * 1_000, "not a name, so not cut"),
    ],
)
def test_the_providers_own_usage_is_found(attributes: dict[str, object], expected: str, reason: str) -> None:
    """It tells the parts of the totals on spans whose attributes do not."""
    assert everything(attributes) == {"provider_usage": expected}, reason


SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()


@given(
    attributes=st.dictionaries(
        st.sampled_from([name for name, _, _ in SPELLINGS]) | st.text(),
        SCALARS | st.lists(SCALARS) | st.dictionaries(st.text(), SCALARS),
    ),
    limit=st.none() | st.integers(0, 300),
)
@settings(max_examples=300, deadline=None)
def test_any_attributes_are_read_the_same_in_any_order_and_never_an_exception(
    attributes: dict[str, object], limit: int | None
) -> None:
    """It runs on the application's thread, on attributes anybody may have set."""
    found = everything(attributes, limit)

    assert found == everything(dict(reversed(attributes.items())), limit)
    assert all(isinstance(found[field], str) for field in NAMES if field in found)
