from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_polar.billing.provider import PROVIDERS, canonical_provider


@pytest.mark.parametrize(
    "name",
    [
        *("openai", "anthropic", "aws.bedrock", "azure.ai.inference", "azure.ai.openai", "cohere", "deepseek"),
        *("gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai", "groq", "ibm.watsonx.ai", "mistral_ai", "moonshot_ai"),
        *("perplexity", "x_ai"),
    ],
)
def test_a_name_of_opentelemetrys_registry_stays_as_it_is(name: str) -> None:
    """Whoever follows the conventions finds on the event what is on the span."""
    assert canonical_provider(name) == name


@pytest.mark.parametrize(
    ("name", "expected", "reason"),
    [
        ("bedrock", "aws.bedrock", "pydantic-ai"),
        ("bedrock-mantle", "aws.bedrock", "pydantic-ai: models of others on Bedrock"),
        ("aws", "aws.bedrock", "OpenInference"),
        ("aws_bedrock", "aws.bedrock", "LangChain"),
        ("amazon-bedrock", "aws.bedrock", "Vercel AI SDK"),
        ("azure", "azure.ai.openai", "OpenInference"),
        ("az.ai.openai", "azure.ai.openai", "before semantic conventions 1.37"),
        ("azure-openai.chat", "azure.ai.openai", "Vercel AI SDK"),
        ("az.ai.inference", "azure.ai.inference", "before semantic conventions 1.37"),
        ("google", "gcp.gemini", "OpenInference, pydantic-ai"),
        ("gemini", "gcp.gemini", "google-genai 1.3b0"),
        ("google.generative-ai", "gcp.gemini", "Vercel AI SDK"),
        ("google_genai", "gcp.gemini", "LangChain"),
        ("vertex_ai", "gcp.vertex_ai", "google-genai 1.3b0"),
        ("vertexai", "gcp.vertex_ai", "OpenInference"),
        ("google.vertex.chat", "gcp.vertex_ai", "Vercel AI SDK"),
        ("mistral", "mistral_ai", "pydantic-ai"),
        ("mistralai", "mistral_ai", "OpenInference"),
        ("MistralAI", "mistral_ai", "OpenLLMetry"),
        ("Cohere", "cohere", "OpenLLMetry"),
        ("cohere_llm", "cohere", "OpenLLMetry, LlamaIndex"),
        ("openai_llm", "openai", "OpenLLMetry, LlamaIndex"),
        ("OpenAI", "openai", "OpenInference, Agno"),
        ("TogetherAI", "together", "OpenLLMetry"),
        ("together_ai", "together", "litellm"),
        ("fireworks_ai", "fireworks", "litellm"),
        ("xai", "x_ai", "pydantic-ai"),
        ("zai", "z_ai", "pydantic-ai"),
        ("moonshotai", "moonshot_ai", "pydantic-ai"),
        ("Ollama", "ollama", "not in the registry: as it is, in lower case"),
        (" openai ", "openai", "space around it is nobody's name"),
    ],
)
def test_a_provider_has_one_name_whatever_an_emitter_calls_it(name: str, expected: str, reason: str) -> None:
    """A meter that filters by provider must not lose half of it, and a price is looked up under one name."""
    assert canonical_provider(name) == expected, reason


@pytest.mark.parametrize(
    "name",
    [
        *("openai.chat", "openai.completion", "openai.embedding", "openai.responses", "openai.image"),
        *("openai.transcription", "OpenAI.Chat"),
    ],
)
def test_the_api_that_vercel_names_beside_the_provider_is_cut_off(name: str) -> None:
    """Chat and embeddings are of one provider."""
    assert canonical_provider(name) == "openai"


@pytest.mark.parametrize(
    "name",
    [
        *("agno", "langchain", "langgraph", "microsoft.agent_framework", "semantic_kernel", "strands-agents"),
        *("unknown", "LangChain"),
    ],
)
def test_a_framework_is_no_provider(name: str) -> None:
    """It writes its own name where the provider's belongs, and nobody is paid under it."""
    assert canonical_provider(name) is None


@pytest.mark.parametrize("name", ["", "  ", "\n", ".chat"])
def test_nothing_is_no_provider(name: str) -> None:
    """Absent is ``None``: an empty name would be another provider beside it."""
    assert canonical_provider(name) is None


def test_a_canonical_name_is_its_own() -> None:
    """Names are canonical once, however often they are asked for."""
    assert {name: canonical_provider(name) for name in PROVIDERS.values()} == {
        name: name for name in PROVIDERS.values()
    }
    assert [name for name in PROVIDERS if name != name.lower()] == []


@given(name=st.text())
def test_upper_and_lower_case_never_make_two_providers(name: str) -> None:
    """Emitters do not agree about capitals."""
    assert canonical_provider(name.lower()) == canonical_provider(name)
