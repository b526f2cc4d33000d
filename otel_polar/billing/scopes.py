"""What is known of emitters by their instrumentation scope: where their numbers differ, and on which layer they sit.

Two spans about one call come from two layers: a framework calls the client library, which may have spans of its own.
Which layer a scope is on decides whether a span of it can be the outer one of such a pair where nothing else (a
response id, a common trace) tells that two spans are one call. Scopes that are not listed are on no known layer.
"""

from __future__ import annotations

from enum import IntEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, NamedTuple

INPUT_WITHOUT_CACHE_SCOPES: Final[frozenset[str]] = frozenset(
    {
        # These scopes set gen_ai.usage.input_tokens to the provider's own number, which leaves cached tokens out at
        # Bedrock and Anthropic, against the conventions ("SHOULD include all types of input tokens, including cached
        # tokens").
        "opentelemetry.instrumentation.botocore.bedrock-runtime",  # opentelemetry-instrumentation-botocore 0.66b2
        "opentelemetry.instrumentation.genai.bedrock",  # 1.3b0, extractors.py
        "opentelemetry.instrumentation.bedrock",  # opentelemetry-instrumentation-bedrock 0.62.4 (OpenLLMetry)
        "openlit.instrumentation.anthropic",  # openlit 1.45.0
    },
)

INPUT_WITHOUT_CACHE: Final = {
    # As above, but only for one provider, and not where an attribute is present by which a later version is known.
    ("ai", "anthropic"): "ai.usage.inputTokenDetails.noCacheTokens",  # Vercel AI SDK 5, unlike 7
}

UNMARKED_OPERATIONS: Final = frozenset(
    {
        # Vercel AI SDK 6 and 7 lack that attribute here, too (ai 6.0.326, @ai-sdk/otel 1.0.173).
        "ai.generateObject.doGenerate",
        "ai.streamObject.doStream",
    },
)
"""Operations of those scopes that have no attribute to know a later version by."""

OUTPUT_WITHOUT_REASONING: Final[frozenset[tuple[str, str]]] = frozenset(
    {
        # Scope and operation whose output leaves out the reasoning that stands beside it.
        ("opentelemetry.instrumentation.google_genai", "interactions.create"),  # 1.3b0, interactions.py
    },
)

TOTAL_ONLY_SCOPES: Final[frozenset[str]] = frozenset(
    {
        # No span per call, only one per agent run with the sum. It is billed if no call below it has been seen.
        "opentelemetry.instrumentation.agno",  # OpenLLMetry 0.62.4
    },
)


SCOPES_WITH_EXCEPTIONS: Final = (
    INPUT_WITHOUT_CACHE_SCOPES
    | TOTAL_ONLY_SCOPES
    | {scope for scope, _ in INPUT_WITHOUT_CACHE}
    | {scope for scope, _ in OUTPUT_WITHOUT_REASONING}
)
"""Scopes in any of the tables above."""


AGENT_ONLY_SCOPES: Final[frozenset[str]] = frozenset(
    {
        # Tokens on their agents are on no other span. They are not billed, because of what they are the sum is not
        # known, but that is said.
        "openinference.instrumentation.claude_agent_sdk",  # 0.1, one span for each query
        "opentelemetry.instrumentation.google_genai",  # 1.3b0, invoke_agent of an agent that runs elsewhere
    },
)


OWN_OPENAI_SCOPE: Final = "otel_polar.openai"
"""Spans of our own around requests of the ``openai`` client."""


class Layer(IntEnum):
    """How far a scope is from the provider."""

    PROVIDER_SDK = 0
    CLIENT = 1
    GATEWAY = 2
    FRAMEWORK = 3


class Place(NamedTuple):
    """A scope's layer; of a client library also its name, ``None`` where that is not known or there are several."""

    layer: Layer
    library: str | None = None


# Spans that the client library emits itself.
_PROVIDER_SDKS: Final = {
    "com.anthropic.sdk.python": "anthropic",  # anthropic 1.14
    "mistralai_sdk_tracer": "mistralai",
}
# The last part of a scope's name -> the client library it instruments.
_CLIENT_LIBRARIES: Final = {
    "anthropic": "anthropic",
    "bedrock": "bedrock",
    "bedrock-runtime": "bedrock",
    "cohere": "cohere",
    "google_genai": "google_genai",
    "google_generativeai": "google_genai",
    "groq": "groq",
    "mistralai": "mistralai",
    "ollama": "ollama",
    "openai": "openai",
    "openai_v2": "openai",
    "together": "together",
    "vertexai": "google_genai",
    "voyageai": "voyageai",
    "writer": "writer",
}
# The last part of a scope's name: libraries that call the client libraries, and are called by frameworks.
_GATEWAYS: Final = frozenset({"litellm", "portkey"})
# The last part of a scope's name.
_FRAMEWORKS: Final = frozenset(
    {
        *("agno", "autogen", "beeai", "crewai", "dspy", "google_adk", "guardrails", "haystack", "instructor"),
        *("langchain", "llama_index", "llamaindex", "openai_agents", "pipecat", "pydantic_ai"),
        *("qwen_agent", "smolagents", "strands"),
    },
)
_FAMILIES: Final = (
    "opentelemetry.instrumentation.",
    "openinference.instrumentation.",
    "openlit.instrumentation.",
    "logfire.",
)
"""How scopes begin of which the last part is the name of what they instrument."""

_FRAMEWORK_PREFIXES: Final = ("semantic_kernel.",)
_WHOLE_NAMES: Final = {
    **dict.fromkeys(
        ("agent_framework", "ai", "gcp.vertex.agent", "gen_ai", "langsmith", "pydantic-ai", "strands.telemetry.tracer"),
        Place(Layer.FRAMEWORK),
    ),
    "litellm": Place(Layer.GATEWAY),
    OWN_OPENAI_SCOPE: Place(Layer.CLIENT, "openai"),
    # Whatever uses opentelemetry-util-genai 0.x and 1.0 directly: mostly openai-v2.
    "opentelemetry.util.genai.handler": Place(Layer.CLIENT),
}
_LAST_PARTS: Final = {
    **{library: Place(Layer.FRAMEWORK) for library in _FRAMEWORKS},
    **{library: Place(Layer.GATEWAY) for library in _GATEWAYS},
    **{last: Place(Layer.CLIENT, library) for last, library in _CLIENT_LIBRARIES.items()},
}


@lru_cache(maxsize=1024)
def place_of(scope_name: str) -> Place | None:
    """Where a scope sits, ``None`` if that is not known."""
    for prefix, library in _PROVIDER_SDKS.items():
        if scope_name == prefix or scope_name.startswith(f"{prefix}."):
            return Place(Layer.PROVIDER_SDK, library)
    if scope_name.startswith(_FRAMEWORK_PREFIXES):
        return Place(Layer.FRAMEWORK)
    if scope_name.startswith(_FAMILIES):
        # OpenLLMetry has a version behind the name.
        return _LAST_PARTS.get(scope_name.removesuffix(".v1").rpartition(".")[2])
    return _WHOLE_NAMES.get(scope_name)


NOT_AMONG_BILL_SCOPES: Final = "the scope is not among bill_scopes"


@lru_cache(maxsize=1024)
def bills(scope_name: str, bill_scopes: tuple[str, ...]) -> bool:
    """Whether spans of a scope are billed where *bill_scopes* (``*`` stands for any text) names those that are.

    Without any, all are.
    """
    return not bill_scopes or any(fnmatchcase(scope_name, pattern) for pattern in bill_scopes)


def sits_above(outer_scope: str, inner_scope: str) -> bool:
    """Whether spans of one scope are known to be made around those of the other."""
    outer, inner = place_of(outer_scope), place_of(inner_scope)
    if outer is None or inner is None or outer_scope == inner_scope:
        return False
    if outer.layer > Layer.CLIENT:
        return outer.layer > inner.layer
    # Two instrumentations of one client library, in whichever order they were installed, or the library's own.
    same_library = outer.library is None or inner.library is None or outer.library == inner.library
    return same_library and outer.layer is Layer.CLIENT and inner.layer <= Layer.CLIENT
