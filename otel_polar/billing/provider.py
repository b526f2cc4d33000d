"""One name for each provider, whatever an emitter calls it: OpenTelemetry's, where it has one.

Source: the values of ``gen_ai.provider.name`` in the registry (semantic-conventions-genai), and what emitters write.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

PROVIDERS: Final = {
    # what emitters write, in lower case -> OpenTelemetry's name, or that of genai-prices where it has none
    "amazon-bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "bedrock-mantle": "aws.bedrock",  # pydantic-ai: models of others on Bedrock
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "cohere_llm": "cohere",  # OpenLLMetry, LlamaIndex
    "fireworks_ai": "fireworks",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",  # Vercel AI SDK
    "google.vertex": "gcp.vertex_ai",
    "google_genai": "gcp.gemini",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "openai_llm": "openai",  # OpenLLMetry, LlamaIndex
    "together_ai": "together",
    "togetherai": "together",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "xai": "x_ai",
    "zai": "z_ai",
}

_API_SUFFIXES: Final = (".chat", ".completion", ".embedding", ".messages", ".responses", ".image", ".transcription")
"""Vercel's SDK names the API beside the provider: ``openai.chat``, ``anthropic.messages``."""


FRAMEWORKS: Final = frozenset(
    {"agno", "langchain", "langgraph", "microsoft.agent_framework", "semantic_kernel", "strands-agents", "unknown"},
)
"""What some frameworks write where the provider belongs: themselves. Nobody is paid under these names."""


@lru_cache(maxsize=1024)
def canonical_provider(name: str) -> str | None:
    """The name by which a provider is known on events, in lower case; ``None`` if it is none."""
    lowered = name.strip().lower()
    for suffix in _API_SUFFIXES:
        lowered = lowered.removesuffix(suffix)
    return None if not lowered or lowered in FRAMEWORKS else PROVIDERS.get(lowered, lowered)
