"""The span attributes that are read, as tables: the first name that is present wins, and none are added up.

One table serves every dialect, because no two use one name for different things; what an emitter means by a number
nevertheless (whether its input includes cached tokens) is in :mod:`otel_polar.billing.scopes`. Newest spelling first.

Sources: the OpenTelemetry GenAI semantic conventions (open-telemetry/semantic-conventions-genai, model/gen-ai);
OpenInference's (Arize-ai/openinference, spec/semantic_conventions.md); and the code of the emitters named beside a
spelling. The names are written out here because ``opentelemetry.semconv`` marks every ``gen_ai.*`` constant as
deprecated since the conventions moved house.
"""

from typing import Final, TypeAlias

Names: TypeAlias = tuple[str, ...]

# What kind of span it is: see otel_polar.billing.operation.
OPERATION_NAME: Final = "gen_ai.operation.name"
OPENINFERENCE_KIND: Final = "openinference.span.kind"
REQUEST_TYPE: Final = "llm.request.type"  # OpenLLMetry, where it does not set gen_ai.operation.name
VERCEL_OPERATION: Final = "ai.operationId"  # Vercel AI SDK 5, and 7 with its legacy integration
TRACELOOP_KIND: Final = "traceloop.span.kind"
LANGSMITH_KIND: Final = "langsmith.span.kind"
LOGFIRE_KIND: Final = "logfire.span_type"

PROVIDER_NAME: Final[Names] = (
    "gen_ai.provider.name",
    "gen_ai.system",  # before semantic conventions 1.37
    "llm.provider",  # OpenInference: who hosts the model
    "llm.system",  # OpenInference: who made it
    "ai.model.provider",  # Vercel AI SDK
)
REQUEST_MODEL: Final[Names] = (
    "gen_ai.request.model",
    "ai.model.id",  # Vercel AI SDK
)
RESPONSE_MODEL: Final[Names] = (
    "gen_ai.response.model",
    "ai.response.model",  # Vercel AI SDK
    "llm.model_name",  # OpenInference: the model that answered, where the answer named it
    "embedding.model_name",  # OpenInference
)
RESPONSE_ID: Final[Names] = (
    "gen_ai.response.id",
    "ai.response.id",  # Vercel AI SDK
)
SERVICE_TIER: Final[Names] = (
    "otel_polar.service_tier",  # the application's own word, such as for what it fetches of a batch
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",  # before semantic conventions 1.37
    "anthropic.response.service_tier",  # anthropic 1.14 and later, its own spans
    "llm.openai.service_tier",  # litellm
)
REQUESTED_SERVICE_TIER: Final[Names] = (
    "openai.request.service_tier",
    "gen_ai.openai.request.service_tier",  # before semantic conventions 1.37
    "anthropic.request.service_tier",  # anthropic 1.14 and later, its own spans
)
INVOCATION_PARAMETERS: Final = "llm.invocation_parameters"
"""OpenInference: what was asked for, but for the content, as JSON; of the answer's service tier it says nothing."""

SERVER_ADDRESS: Final[Names] = ("server.address",)
REQUEST_STREAM: Final = "gen_ai.request.stream"
USAGE_IS_ESTIMATED: Final = "otel_polar.usage.estimated"
"""True where the tokens are our own guess, because the provider's usage never came."""

SERVICE_NAME: Final = "service.name"
SDK_LANGUAGE: Final = "telemetry.sdk.language"
ERROR_TYPE: Final = "error.type"

INPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",  # deprecated in semantic conventions 1.27; Strands writes both
    "llm.token_count.prompt",  # OpenInference
    "ai.usage.inputTokens",  # Vercel AI SDK
    "ai.usage.promptTokens",  # Vercel AI SDK, generateText
    "ai.usage.tokens",  # Vercel AI SDK, embeddings
    "llm.usage.prompt_tokens",  # OpenLLMetry before 0.20
)
OUTPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",  # deprecated in semantic conventions 1.27
    "llm.token_count.completion",  # OpenInference
    "ai.usage.outputTokens",  # Vercel AI SDK
    "ai.usage.completionTokens",  # Vercel AI SDK, generateText
    "llm.usage.completion_tokens",  # OpenLLMetry before 0.20
)
CACHE_READ_TOKENS: Final[Names] = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",  # OpenLLMetry, Strands
    "llm.token_count.prompt_details.cache_read",  # OpenInference
    "ai.usage.inputTokenDetails.cacheReadTokens",  # Vercel AI SDK 7
    "ai.usage.cachedInputTokens",  # Vercel AI SDK 5
)
CACHE_WRITE_TOKENS: Final[Names] = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",  # renamed in semantic-conventions-genai #440
    "gen_ai.usage.cache_write_input_tokens",  # Strands
    "gen_ai.usage.cache_creation_input_tokens",  # OpenLLMetry
    "llm.token_count.prompt_details.cache_write",  # OpenInference
    "ai.usage.inputTokenDetails.cacheWriteTokens",  # Vercel AI SDK 7
)
CACHE_WRITE_1H_TOKENS: Final[Names] = (
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",  # anthropic 2.11.0, its own spans; part of the above
)
REASONING_TOKENS: Final[Names] = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",  # OpenLLMetry, OpenLIT
    "llm.token_count.completion_details.reasoning",  # OpenInference
    "ai.usage.outputTokenDetails.reasoningTokens",  # Vercel AI SDK 7
    "ai.usage.reasoningTokens",  # Vercel AI SDK 5
    "gen_ai.usage.details.reasoning_tokens",  # pydantic-ai
    "gen_ai.usage.details.thoughts_tokens",  # pydantic-ai, Gemini
)
AUDIO_INPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.audio.input_tokens",
    "llm.token_count.prompt_details.audio",  # OpenInference
    "gen_ai.usage.details.audio_prompt_tokens",  # pydantic-ai, Gemini
    "gen_ai.usage.details.input_audio_tokens",  # pydantic-ai, OpenAI
)
AUDIO_CACHE_READ_TOKENS: Final[Names] = (
    "gen_ai.usage.audio.cache_read.input_tokens",
    "gen_ai.usage.details.audio_cache_tokens",  # pydantic-ai, Gemini
    "gen_ai.usage.details.cache_audio_read_tokens",  # pydantic-ai
)
AUDIO_OUTPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.audio.output_tokens",
    "llm.token_count.completion_details.audio",  # OpenInference
    "gen_ai.usage.details.audio_candidates_tokens",  # pydantic-ai, Gemini
    "gen_ai.usage.details.output_audio_tokens",  # pydantic-ai, OpenAI
)
IMAGE_INPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.image.input_tokens",
    "gen_ai.usage.details.image_prompt_tokens",  # pydantic-ai, Gemini
)
IMAGE_CACHE_READ_TOKENS: Final[Names] = ("gen_ai.usage.image.cache_read.input_tokens",)
IMAGE_OUTPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.image.output_tokens",
    "gen_ai.usage.details.image_candidates_tokens",  # pydantic-ai, Gemini
)

PROVIDER_USAGE: Final[Names] = (
    "gen_ai.usage.raw",  # logfire
    "langsmith.metadata.usage_metadata",  # langsmith
    "metadata.usage_object",  # litellm
    "ai.response.providerMetadata",  # Vercel AI SDK
)
"""The provider's usage as text, on spans of which the attributes do not tell the parts: see ``provider_usage``."""

EVENT_NAME: Final = "otel_polar.event.name"
"""A span with this is usage of its own: an event of that name."""

EVENT_METADATA_PREFIX: Final = "otel_polar.event.metadata."
"""What stands behind it is a key of the metadata of that event."""

EVENT_WHY_HELD: Final = "otel_polar.event.why_held"
"""What is wrong with the numbers of that event, so that it is held."""

MODEL_CALL_MARKERS: Final = frozenset({OPERATION_NAME, PROVIDER_NAME[1], OPENINFERENCE_KIND, VERCEL_OPERATION})
"""A span with none of these is not our business. Kept few: they are looked for on every span of the application.

They are enough: OpenTelemetry's conventions since 1.27 require the first, emitters of earlier ones set the second,
OpenInference the third, Vercel's SDK the fourth."""
