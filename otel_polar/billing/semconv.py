"""The span attributes that are read, newest spelling first: the first name that is present wins, and none are added up.

Sources: the OpenTelemetry GenAI semantic conventions (open-telemetry/semantic-conventions-genai, model/gen-ai), and the
code of the instrumentations named beside a spelling. The names are written out here because
``opentelemetry.semconv`` marks every ``gen_ai.*`` constant as deprecated since the conventions moved house.
"""

from typing import Final, TypeAlias

Names: TypeAlias = tuple[str, ...]

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final[Names] = (
    "gen_ai.provider.name",
    "gen_ai.system",  # before semantic conventions 1.37
)
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
REQUEST_STREAM: Final = "gen_ai.request.stream"
SERVICE_TIER: Final[Names] = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",  # before semantic conventions 1.37
)
SERVER_ADDRESS: Final = "server.address"
SERVICE_NAME: Final = "service.name"
ERROR_TYPE: Final = "error.type"

INPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",  # deprecated in semantic conventions 1.27
)
OUTPUT_TOKENS: Final[Names] = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",  # deprecated in semantic conventions 1.27
)
CACHE_READ_TOKENS: Final[Names] = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",  # OpenLLMetry, Strands
)
CACHE_WRITE_TOKENS: Final[Names] = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",  # renamed in semantic-conventions-genai #440
    "gen_ai.usage.cache_write_input_tokens",  # Strands
    "gen_ai.usage.cache_creation_input_tokens",  # OpenLLMetry
)
CACHE_WRITE_1H_TOKENS: Final[Names] = (
    "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",  # anthropic 2.11.0, its own spans; part of the above
)
REASONING_TOKENS: Final[Names] = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",  # OpenLLMetry, OpenLIT
)

MODEL_CALL_MARKERS: Final = frozenset({OPERATION_NAME, PROVIDER_NAME[1]})
"""A span with none of these is not our business. Kept few: they are looked for on every span of the application.

Two are enough: the conventions since 1.27 require the first, and emitters of earlier ones set the second."""
