from __future__ import annotations

from typing import Final

import pytest

from otel_polar.billing.call import ModelCall
from otel_polar.billing.reading import read_call
from otel_polar.billing.usage import TokenUsage, Unmetered
from tests.billing.support import span, tokens

INPUT: Final = "gen_ai.usage.input_tokens"
OUTPUT: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
IMAGE_OUTPUT: Final = "gen_ai.usage.image.output_tokens"

BOTOCORE: Final = "opentelemetry.instrumentation.botocore.bedrock-runtime"
GENAI_BEDROCK: Final = "opentelemetry.instrumentation.genai.bedrock"
OPENLLMETRY_BEDROCK: Final = "opentelemetry.instrumentation.bedrock"
OPENLIT_ANTHROPIC: Final = "openlit.instrumentation.anthropic"
GOOGLE_GENAI: Final = "opentelemetry.instrumentation.google_genai"

CHAT: Final[dict[str, object]] = {"gen_ai.operation.name": "chat"}
OPENAI: Final = tokens(1_457, 120, cache_read=1_024, reasoning=64)
ANTHROPIC: Final = TokenUsage(21, 77, cache_read_tokens=2_000, cache_write_tokens=200, cache_write_1h_tokens=100)


def call_of(attributes: dict[str, object], scope: str) -> ModelCall:
    call = read_call(span(attributes, scope_name=scope))
    assert isinstance(call, ModelCall), call
    return call


def read(attributes: dict[str, object], scope_name: str = "") -> TokenUsage | Unmetered:
    """The tokens of a chat, or of the operation that *attributes* name."""
    return call_of({**CHAT, **attributes}, scope_name).usage


EMITTERS: Final[list[tuple[str, dict[str, object], TokenUsage, str]]] = [
    (
        "opentelemetry.instrumentation.genai.openai",
        {**CHAT, INPUT: 1_457, OUTPUT: 120, CACHE_READ: 1_024, REASONING: 64},
        OPENAI,
        "OpenTelemetry, current names",
    ),
    (
        "opentelemetry.instrumentation.openai_v2",
        {**CHAT, INPUT: 1_457, OUTPUT: 120},
        tokens(1_457, 120),
        "tells totals only",
    ),
    (
        "com.anthropic.sdk.python",
        {
            **CHAT,
            INPUT: 2_321,
            OUTPUT: 77,
            CACHE_READ: 2_000,
            CACHE_WRITE: 300,
            "anthropic.usage.cache_creation.ephemeral_5m_input_tokens": 200,
            "anthropic.usage.cache_creation.ephemeral_1h_input_tokens": 100,
        },
        ANTHROPIC,
        "the Anthropic SDK tells writes of an hour apart",
    ),
    (
        "opentelemetry.instrumentation.openai.v1",
        {
            **CHAT,
            INPUT: 1_457,
            OUTPUT: 120,
            "gen_ai.usage.total_tokens": 1_577,
            "gen_ai.usage.cache_read_input_tokens": 1_024,
            "gen_ai.usage.reasoning_tokens": 64,
        },
        OPENAI,
        "OpenLLMetry",
    ),
    (
        "opentelemetry.instrumentation.anthropic",
        {
            **CHAT,
            INPUT: 2_321,
            OUTPUT: 77,
            "gen_ai.usage.cache_read_input_tokens": 2_000,
            "gen_ai.usage.cache_creation_input_tokens": 300,
        },
        tokens(2_321, 77, cache_read=2_000, cache_write=300),
        "OpenLLMetry, Anthropic",
    ),
    (
        "opentelemetry.instrumentation.cohere",
        {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2},
        tokens(10, 2),
        "OpenLLMetry, Cohere: names of before 1.27",
    ),
    (
        "opentelemetry.instrumentation.openai",
        {"llm.request.type": "chat", "llm.usage.prompt_tokens": 10, "llm.usage.completion_tokens": 2},
        tokens(10, 2),
        "OpenLLMetry before 0.20",
    ),
    (
        "mistralai_sdk_tracer",
        {**CHAT, "gen_ai.usage.prompt_tokens": 10, OUTPUT: 2},
        tokens(10, 2),
        "generations mixed: each name on its own",
    ),
    (
        "openinference.instrumentation.openai",
        {
            "openinference.span.kind": "LLM",
            "llm.token_count.prompt": 1_457,
            "llm.token_count.completion": 120,
            "llm.token_count.total": 1_577,
            "llm.token_count.prompt_details.cache_read": 1_024,
            "llm.token_count.prompt_details.audio": 0,
            "llm.token_count.completion_details.reasoning": 64,
            "llm.token_count.completion_details.audio": 0,
        },
        OPENAI,
        "OpenInference",
    ),
    (
        "ai",
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.provider": "openai.chat",
            INPUT: 1_457,
            OUTPUT: 120,
            "ai.usage.totalTokens": 1_577,
            "ai.usage.inputTokens": 1_457,
            "ai.usage.outputTokens": 120,
            "ai.usage.cachedInputTokens": 1_024,
            "ai.usage.reasoningTokens": 64,
        },
        OPENAI,
        "Vercel AI SDK 5: two dialects on one span",
    ),
    (
        "ai",
        {"ai.operationId": "ai.embed.doEmbed", "ai.model.provider": "openai.embedding", "ai.usage.tokens": 8},
        tokens(8),
        "Vercel AI SDK, vectors",
    ),
    (
        "pydantic-ai",
        {**CHAT, INPUT: 64, OUTPUT: 9, "gen_ai.usage.details.input_audio_tokens": 44},
        tokens(20, 9)._replace(audio_input_tokens=44),
        "pydantic-ai, OpenAI hears",
    ),
    (
        "pydantic-ai",
        {
            **CHAT,
            INPUT: 17_713,
            OUTPUT: 889,
            CACHE_READ: 17_379,
            "gen_ai.usage.details.thoughts_tokens": 821,
            "gen_ai.usage.details.audio_prompt_tokens": 1_917,
            "gen_ai.usage.details.audio_cache_tokens": 1_881,
            "gen_ai.usage.details.input_audio_tokens": 1_917,
            "gen_ai.usage.details.cache_audio_read_tokens": 1_881,
            "gen_ai.usage.details.video_prompt_tokens": 15_780,
            "gen_ai.usage.details.video_cache_tokens": 15_483,
        },
        TokenUsage(298, 68, 15_498, 0, 821, audio_input_tokens=36, audio_cache_read_tokens=1_881),
        "pydantic-ai, Gemini watches a video: two names for its sound, and its pictures are text to us",
    ),
    (
        "pydantic-ai",
        {
            **CHAT,
            INPUT: 14,
            OUTPUT: 1_457,
            "gen_ai.usage.details.thoughts_tokens": 174,
            "gen_ai.usage.details.image_candidates_tokens": 1_120,
        },
        TokenUsage(14, 163, reasoning_tokens=174, image_output_tokens=1_120),
        "pydantic-ai, Gemini draws",
    ),
    (
        "opentelemetry.instrumentation.genai.portkey",
        {
            **CHAT,
            INPUT: 100,
            OUTPUT: 20,
            CACHE_READ: 40,
            CACHE_WRITE: 30,
            REASONING: 7,
            "gen_ai.usage.text.input_tokens": 50,
            "gen_ai.usage.audio.input_tokens": 25,
            "gen_ai.usage.image.input_tokens": 25,
            "gen_ai.usage.audio.output_tokens": 5,
        },
        TokenUsage(
            uncached_input_tokens=0,
            visible_output_tokens=8,
            cache_read_tokens=20,
            cache_write_tokens=30,
            reasoning_tokens=7,
            audio_input_tokens=5,
            audio_cache_read_tokens=20,
            audio_output_tokens=5,
            image_input_tokens=25,
        ),
        "util-genai: 50 heard and seen, of which 30 were new",
    ),
    (
        "strands.telemetry.tracer",
        {
            **CHAT,
            INPUT: 2_321,
            "gen_ai.usage.prompt_tokens": 2_321,
            OUTPUT: 77,
            "gen_ai.usage.completion_tokens": 77,
            "gen_ai.usage.cache_read_input_tokens": 2_000,
            "gen_ai.usage.cache_write_input_tokens": 300,
            "gen_ai.usage.total_tokens": 2_398,
        },
        tokens(2_321, 77, cache_read=2_000, cache_write=300),
        "Strands: two generations side by side",
    ),
    (
        "logfire.openai",
        {
            **CHAT,
            "logfire.span_type": "log",
            INPUT: 1_457,
            OUTPUT: 120,
            "gen_ai.usage.raw": '{"prompt_tokens_details":{"cached_tokens":1024},"completion_tokens_details":'
            '{"reasoning_tokens":64}}',
        },
        OPENAI,
        "logfire: parts in text",
    ),
    (
        "logfire.openai",
        {
            "gen_ai.system": "openai",
            "url": "/audio/transcriptions",
            INPUT: 14,
            OUTPUT: 45,
            "gen_ai.usage.raw": '{"input_tokens":14,"output_tokens":45,"input_token_details":{"audio_tokens":14}}',
        },
        tokens(0, 45)._replace(audio_input_tokens=14),
        "logfire: a transcription hears 14 and writes 45",
    ),
    (
        "langsmith",
        {
            **CHAT,
            "langsmith.span.kind": "llm",
            INPUT: 1_457,
            OUTPUT: 120,
            "gen_ai.usage.total_tokens": 1_577,
            "langsmith.metadata.usage_metadata": '{"input_token_details":{"audio":0,"cache_read":1024},'
            '"output_token_details":{"audio":0,"reasoning":64}}',
        },
        OPENAI,
        "langsmith: parts in text",
    ),
    (
        "litellm",
        {
            **CHAT,
            INPUT: 1_457,
            OUTPUT: 120,
            "metadata.usage_object": "{'completion_tokens_details': {'audio_tokens': None, 'reasoning_tokens': 64},"
            " 'prompt_tokens_details': {'audio_tokens': None, 'cached_tokens': 1024}}",
        },
        OPENAI,
        "litellm: parts in text, as Python writes it",
    ),
]


@pytest.mark.parametrize(("scope", "attributes", "expected", "emitter"), EMITTERS)
def test_the_tokens_of_every_emitter_are_read_in_full(
    scope: str, attributes: dict[str, object], expected: TokenUsage, emitter: str
) -> None:
    """These are numbers of recorded spans, and a part that is missed is billed at another price."""
    assert call_of(attributes, scope).usage == expected, emitter


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        (BOTOCORE, "4 input beside 18131 cached, in a recorded Bedrock call"),
        (GENAI_BEDROCK, "the same number from the official successor"),
        (OPENLLMETRY_BEDROCK, "the same number, of Converse and InvokeModel"),
        (OPENLIT_ANTHROPIC, "21 input beside 2300 cached, in a recorded call"),
    ],
)
def test_scopes_that_leave_cached_tokens_out_of_the_input_have_them_added(scope: str, reason: str) -> None:
    """Bedrock's and Anthropic's own numbers exclude them; taken as included, the call is refused or under-billed."""
    usage = read({INPUT: 4, OUTPUT: 10, CACHE_READ: 18_000, CACHE_WRITE: 131}, scope_name=scope)

    assert usage == tokens(18_135, 10, cache_read=18_000, cache_write=131), reason


def test_a_scope_that_is_not_in_the_table_follows_the_conventions() -> None:
    """A guess from the numbers would bill twice."""
    usage = read({INPUT: 1_000, OUTPUT: 1, CACHE_READ: 400}, scope_name=f"{BOTOCORE}.mine")

    assert usage == tokens(1_000, 1, cache_read=400)


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        (
            {
                "ai.model.provider": "anthropic.messages",
                "ai.usage.inputTokens": 21,
                "ai.usage.cachedInputTokens": 2_000,
            },
            tokens(2_021, 77, cache_read=2_000),
            "of Anthropic, version 5 tells the provider's own number",
        ),
        (
            {
                "ai.model.provider": "anthropic.messages",
                "ai.usage.inputTokens": 2_321,
                "ai.usage.cachedInputTokens": 2_000,
                "ai.usage.inputTokenDetails.noCacheTokens": 21,
                "ai.usage.inputTokenDetails.cacheReadTokens": 2_000,
                "ai.usage.inputTokenDetails.cacheWriteTokens": 300,
            },
            tokens(2_321, 77, cache_read=2_000, cache_write=300),
            "version 7 under the same scope tells all of it, and what of it was not cached",
        ),
        (
            {"ai.model.provider": "openai.chat", "ai.usage.inputTokens": 1_457, "ai.usage.cachedInputTokens": 1_024},
            tokens(1_457, 77, cache_read=1_024),
            "of others, both tell all of it",
        ),
    ],
)
def test_input_of_vercels_sdk_includes_cached_tokens_but_for_anthropic_in_version_5(
    attributes: dict[str, object], expected: TokenUsage, reason: str
) -> None:
    """Added where they are included, cached tokens are billed twice."""
    operation = {"ai.operationId": "ai.streamText.doStream", "ai.usage.outputTokens": 77}

    assert call_of({**operation, **attributes}, "ai").usage == expected, reason


@pytest.mark.parametrize(
    ("scope", "operation", "expected", "reason"),
    [
        (
            GOOGLE_GENAI,
            "interactions.create",
            tokens(500, 967, reasoning=792),
            "175 visible tokens beside 792 thoughts",
        ),
        (GOOGLE_GENAI, "generate_content", tokens(500, 1_000, reasoning=792), "here they are included"),
        ("", "interactions.create", tokens(500, 1_000, reasoning=792), "of another scope nothing is known"),
    ],
)
def test_thoughts_beside_the_output_are_added_to_it(
    scope: str, operation: str, expected: TokenUsage, reason: str
) -> None:
    """google-genai's interactions leave them out of the output, and they are billed as output."""
    output = expected.output_tokens - (792 if scope and operation == "interactions.create" else 0)

    usage = read({"gen_ai.operation.name": operation, INPUT: 500, OUTPUT: output, REASONING: 792}, scope_name=scope)

    assert usage == expected, reason


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        (
            {"gen_ai.operation.name": "image", INPUT: 50, OUTPUT: 1_056},
            tokens(50)._replace(image_output_tokens=1_056),
            "gpt-image-1 draws, and says nothing",
        ),
        (
            {"gen_ai.operation.name": "image_generation", INPUT: 50, OUTPUT: 1_056, IMAGE_OUTPUT: 1_000},
            tokens(50, 56)._replace(image_output_tokens=1_000),
            "told by the emitter",
        ),
        (
            {"gen_ai.operation.name": "image_generation", INPUT: 50, OUTPUT: 1_056, REASONING: 56},
            tokens(50, 56, reasoning=56)._replace(image_output_tokens=1_000),
            "it thought before it drew",
        ),
        ({INPUT: 50, OUTPUT: 1_056}, tokens(50, 1_056), "of a chat, output is text"),
    ],
)
def test_the_output_of_a_request_for_images_is_images(
    attributes: dict[str, object], expected: TokenUsage, reason: str
) -> None:
    """They cost a multiple of text."""
    assert read(attributes) == expected, reason
