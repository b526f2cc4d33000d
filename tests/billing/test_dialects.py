from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.call import ModelCall
from otel_polar.billing.reading import read_call
from otel_polar.billing.usage import TokenUsage
from tests.billing.support import span

if TYPE_CHECKING:
    from collections.abc import Callable

INPUT: Final = "gen_ai.usage.input_tokens"
OUTPUT: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
CHAT: Final[dict[str, object]] = {"gen_ai.operation.name": "chat"}
BOTOCORE: Final = "opentelemetry.instrumentation.botocore.bedrock-runtime"


class Facts(NamedTuple):
    """What is true of a call. Tokens are in buckets; what a dialect cannot tell is ``None`` or 0."""

    provider: str
    request_model: str | None
    response_model: str
    response_id: str | None
    uncached: int
    visible: int
    cache_read: int
    cache_write: int
    reasoning: int

    @property
    def input(self) -> int:
        return self.uncached + self.cache_read + self.cache_write

    @property
    def output(self) -> int:
        return self.visible + self.reasoning


class Dialect(NamedTuple):
    """How an emitter tells of a call: on which scope, in which words, and what it never tells."""

    scope: str
    tell: Callable[[Facts], dict[str, object]]
    untold: tuple[str, ...] = ()


def conventions(facts: Facts) -> dict[str, object]:
    return {
        **CHAT,
        "gen_ai.provider.name": facts.provider,
        "gen_ai.request.model": facts.request_model,
        "gen_ai.response.model": facts.response_model,
        "gen_ai.response.id": facts.response_id,
        INPUT: facts.input,
        OUTPUT: facts.output,
    }


def opentelemetry(facts: Facts) -> dict[str, object]:
    parts = {CACHE_READ: facts.cache_read, CACHE_WRITE: facts.cache_write, REASONING: facts.reasoning}
    return {**conventions(facts), **parts}


def opentelemetry_1_26(facts: Facts) -> dict[str, object]:
    told = conventions(facts)
    told["gen_ai.system"] = told.pop("gen_ai.provider.name")
    told["gen_ai.usage.prompt_tokens"] = told.pop(INPUT)
    told["gen_ai.usage.completion_tokens"] = told.pop(OUTPUT)
    return told


def openllmetry(facts: Facts) -> dict[str, object]:
    told = {**conventions(facts), "llm.request.type": "chat"}
    del told["gen_ai.operation.name"]
    told["gen_ai.usage.cache_read_input_tokens"] = facts.cache_read
    told["gen_ai.usage.cache_creation_input_tokens"] = facts.cache_write
    told["gen_ai.usage.reasoning_tokens"] = facts.reasoning
    return told


def openinference(facts: Facts) -> dict[str, object]:
    return {
        "openinference.span.kind": "LLM",
        "llm.provider": facts.provider,
        "llm.system": "another",
        "llm.model_name": facts.response_model,
        "llm.token_count.prompt": facts.input,
        "llm.token_count.completion": facts.output,
        "llm.token_count.prompt_details.cache_read": facts.cache_read,
        "llm.token_count.prompt_details.cache_write": facts.cache_write,
        "llm.token_count.completion_details.reasoning": facts.reasoning,
    }


def vercel(facts: Facts) -> dict[str, object]:
    return {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": f"{facts.provider}.chat",
        "ai.model.id": facts.request_model,
        "ai.response.model": facts.response_model,
        "ai.response.id": facts.response_id,
        "ai.usage.inputTokens": facts.input,
        "ai.usage.outputTokens": facts.output,
        "ai.usage.cachedInputTokens": facts.cache_read,
        "ai.usage.reasoningTokens": facts.reasoning,
    }


def vercel_7(facts: Facts) -> dict[str, object]:
    return {
        **vercel(facts),
        "ai.usage.inputTokenDetails.noCacheTokens": facts.uncached,
        "ai.usage.inputTokenDetails.cacheReadTokens": facts.cache_read,
        "ai.usage.inputTokenDetails.cacheWriteTokens": facts.cache_write,
        "ai.usage.outputTokenDetails.reasoningTokens": facts.reasoning,
    }


def pydantic_ai(facts: Facts) -> dict[str, object]:
    return {
        **conventions(facts),
        CACHE_READ: facts.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": facts.cache_write,
        "gen_ai.usage.details.reasoning_tokens": facts.reasoning,
    }


def strands(facts: Facts) -> dict[str, object]:
    return {
        **conventions(facts),
        "gen_ai.usage.prompt_tokens": facts.input,
        "gen_ai.usage.completion_tokens": facts.output,
        "gen_ai.usage.cache_read_input_tokens": facts.cache_read,
        "gen_ai.usage.cache_write_input_tokens": facts.cache_write,
    }


def bedrock(facts: Facts) -> dict[str, object]:
    return {**opentelemetry(facts), INPUT: facts.uncached}


def logfire(facts: Facts) -> dict[str, object]:
    usage = {
        "prompt_tokens_details": {"cached_tokens": facts.cache_read, "cache_write_tokens": facts.cache_write},
        "completion_tokens_details": {"reasoning_tokens": facts.reasoning},
    }
    return {**conventions(facts), "logfire.span_type": "span", "gen_ai.usage.raw": json.dumps(usage)}


def langsmith(facts: Facts) -> dict[str, object]:
    usage = {
        "input_token_details": {"cache_creation": facts.cache_write, "cache_read": facts.cache_read},
        "output_token_details": {"reasoning": facts.reasoning},
    }
    return {**conventions(facts), "langsmith.metadata.usage_metadata": json.dumps(usage)}


def litellm(facts: Facts) -> dict[str, object]:
    usage = {
        "completion_tokens_details": {"reasoning_tokens": facts.reasoning, "audio_tokens": None},
        "prompt_tokens_details": {"cached_tokens": facts.cache_read},
        "cache_creation_input_tokens": facts.cache_write,
    }
    return {**conventions(facts), "metadata.usage_object": repr(usage)}


DIALECTS: Final = [
    Dialect("opentelemetry.instrumentation.openai_v2", opentelemetry_1_26, ("cache_read", "cache_write", "reasoning")),
    Dialect("opentelemetry.instrumentation.openai.v1", openllmetry),
    Dialect("openinference.instrumentation.openai", openinference, ("request_model", "response_id")),
    Dialect("ai", vercel, ("cache_write",)),
    Dialect("ai", vercel_7),
    Dialect("pydantic-ai", pydantic_ai),
    Dialect("strands.telemetry.tracer", strands, ("reasoning",)),
    Dialect(BOTOCORE, bedrock),
    Dialect("logfire.openai", logfire),
    Dialect("langsmith", langsmith),
    Dialect("litellm", litellm),
]
COUNT: Final = st.integers(0, 10**6)
NAME: Final = st.text(alphabet="abcdefghij-0123456789", min_size=1, max_size=60)
ANY_FACTS: Final = st.builds(
    Facts,
    provider=st.sampled_from(["openai", "azure.ai.openai", "gcp.gemini", "mistral_ai"]),
    request_model=NAME,
    response_model=NAME,
    response_id=NAME,
    uncached=st.integers(1, 10**6),
    visible=COUNT,
    cache_read=COUNT,
    cache_write=COUNT,
    reasoning=COUNT,
)


def call_of(told: dict[str, object], scope: str) -> ModelCall:
    attributes = {name: value for name, value in told.items() if value is not None}
    call = read_call(span(attributes, scope_name=scope))
    assert isinstance(call, ModelCall), call
    return call


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.tell.__name__)
@given(facts=ANY_FACTS)
@settings(max_examples=50, deadline=None)
def test_a_call_is_the_same_call_in_whatever_dialect_it_is_told(dialect: Dialect, facts: Facts) -> None:
    """A customer pays for the call, not for the instrumentation that saw it."""
    missing: dict[str, Any] = {name: 0 if isinstance(getattr(facts, name), int) else None for name in dialect.untold}
    facts = facts._replace(**missing)

    call = call_of(dialect.tell(facts), dialect.scope)
    reference = call_of(opentelemetry(facts), "opentelemetry.instrumentation.genai.openai")

    assert call.scope_name == dialect.scope
    assert call._replace(scope_name="", dialect="") == reference._replace(scope_name="", dialect="")
    assert call.usage == TokenUsage(facts.uncached, facts.visible, facts.cache_read, facts.cache_write, facts.reasoning)
