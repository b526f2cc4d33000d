"""Names as spans have them, in the spelling of genai-prices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_polar.billing.provider import canonical_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVIDER_IDS: Final = {
    # a provider's canonical name (see otel_polar.billing.provider) -> its id in genai-prices, where they differ
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "perplexity_ai": "perplexity",
    "voyage": "voyageai",
    "voyage_ai": "voyageai",
    "x_ai": "x-ai",
    "z_ai": "zai",
}

REQUEST_MODEL_FIRST: Final = frozenset({"aws"})
"""Where the requested model says more than the answered one: Bedrock's regional profile carries a surcharge.

Elsewhere the answer's comes first: Azure's request names a deployment, and an alias stands for another model next year.
"""

_MODELS_PATH: Final = re.compile(r"(?:^|.*/)models/(?=.)")
_DATE: Final = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_AZURE_GPT_35: Final = "gpt-35-"
_FINE_TUNED: Final = re.compile(r"(ft:[^:]+):.*")


def provider_id(name: str) -> str | None:
    """The provider's id in genai-prices, if it has one under that very name; no fragments, no guesses."""
    canonical = canonical_provider(name)
    return None if canonical is None else PROVIDER_IDS.get(canonical, canonical)


def candidates(provider: str, request_model: str | None, response_model: str | None) -> Iterator[str]:
    """The names to look for in the list of *provider* (an id of genai-prices), the most telling first."""
    names = (request_model, response_model) if provider in REQUEST_MODEL_FIRST else (response_model, request_model)
    seen: set[str] = set()
    for name in names:
        for spelling in spellings(name or "", provider):
            if spelling not in seen:
                seen.add(spelling)
                yield spelling


def without_date(name: str) -> str | None:
    """The name of a dated snapshot without its date; ``None`` if it has none."""
    undated = _DATE.sub("", name)
    return None if undated == name or not undated else undated


def with_dashed_date(name: str) -> str:
    """``gpt-5.2-2025-12-11`` for ``gpt-5.2-20251211``, as genai-prices looks for it."""
    return _COMPACT_DATE.sub(r"-\1-\2-\3", name)


def fine_tuned_base(name: str) -> str | None:
    """``ft:gpt-4o-mini`` of ``ft:gpt-4o-mini:acme::abc123``; ``None`` of what is not OpenAI's fine-tuned model."""
    found = _FINE_TUNED.fullmatch(name)
    return None if found is None else found[1]


def spellings(name: str, provider: str) -> Iterator[str]:
    """A model's name in lower case, then without what some emitters put before it: a path, or the provider's name."""
    name = name.strip().lower()
    if not name:
        return
    yield name
    if provider == "azure" and name.startswith(_AZURE_GPT_35):
        yield name.replace(_AZURE_GPT_35, "gpt-3.5-", 1)
    # models/gemini-2.5-pro, publishers/google/models/…, projects/…/locations/…/publishers/…/models/…
    bare = _MODELS_PATH.sub("", name)
    if bare != name:
        yield bare
    for separator in "/:":
        prefix, found, rest = bare.partition(separator)
        if found and rest and provider_id(prefix) == provider:
            yield rest
