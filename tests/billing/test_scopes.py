from __future__ import annotations

import pytest

from otel_polar.billing.scopes import (
    INPUT_WITHOUT_CACHE,
    INPUT_WITHOUT_CACHE_SCOPES,
    OUTPUT_WITHOUT_REASONING,
    TOTAL_ONLY_SCOPES,
    Layer,
    Place,
    bills,
    place_of,
    sits_above,
)


def test_only_these_scopes_count_beside_what_others_include() -> None:
    """Each was read off recorded calls; a scope too many is billed twice, one too few is billed short."""
    assert {
        "opentelemetry.instrumentation.botocore.bedrock-runtime",
        "opentelemetry.instrumentation.genai.bedrock",
        "opentelemetry.instrumentation.bedrock",
        "openlit.instrumentation.anthropic",
    } == INPUT_WITHOUT_CACHE_SCOPES
    assert {("ai", "anthropic")} == INPUT_WITHOUT_CACHE.keys()
    assert {("opentelemetry.instrumentation.google_genai", "interactions.create")} == OUTPUT_WITHOUT_REASONING


def test_only_agno_of_openllmetry_tells_nothing_but_the_total() -> None:
    """A total of any other scope is that of calls with spans of their own."""
    assert {"opentelemetry.instrumentation.agno"} == TOTAL_ONLY_SCOPES


@pytest.mark.parametrize(
    ("scope", "layer", "library", "reason"),
    [
        ("com.anthropic.sdk.python", Layer.PROVIDER_SDK, "anthropic", "the library's own spans"),
        ("com.anthropic.sdk.python.bedrock", Layer.PROVIDER_SDK, "anthropic", "the same, of another platform"),
        ("mistralai_sdk_tracer", Layer.PROVIDER_SDK, "mistralai", "the same, of Mistral's"),
        ("opentelemetry.instrumentation.openai_v2", Layer.CLIENT, "openai", "official"),
        ("opentelemetry.instrumentation.genai.openai", Layer.CLIENT, "openai", "its successor"),
        ("opentelemetry.instrumentation.openai.v1", Layer.CLIENT, "openai", "OpenLLMetry, with a version behind"),
        ("openinference.instrumentation.openai", Layer.CLIENT, "openai", "OpenInference"),
        ("openlit.instrumentation.openai", Layer.CLIENT, "openai", "OpenLIT"),
        ("logfire.openai", Layer.CLIENT, "openai", "logfire"),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", Layer.CLIENT, "bedrock", "official"),
        ("opentelemetry.instrumentation.bedrock", Layer.CLIENT, "bedrock", "OpenLLMetry"),
        ("opentelemetry.instrumentation.google_generativeai", Layer.CLIENT, "google_genai", "one library, two names"),
        ("opentelemetry.instrumentation.vertexai", Layer.CLIENT, "google_genai", "and a third"),
        ("opentelemetry.util.genai.handler", Layer.CLIENT, None, "whatever uses util-genai directly"),
        ("litellm", Layer.GATEWAY, None, "calls the client libraries, and is called by frameworks"),
        ("opentelemetry.instrumentation.litellm", Layer.GATEWAY, None, "the same by OpenLLMetry"),
        ("opentelemetry.instrumentation.genai.portkey", Layer.GATEWAY, None, "another gateway"),
        ("opentelemetry.instrumentation.langchain", Layer.FRAMEWORK, None, "OpenLLMetry"),
        ("openinference.instrumentation.langchain", Layer.FRAMEWORK, None, "OpenInference"),
        ("opentelemetry.instrumentation.openai_agents", Layer.FRAMEWORK, None, "not the client library"),
        ("pydantic-ai", Layer.FRAMEWORK, None, "a whole name"),
        ("ai", Layer.FRAMEWORK, None, "Vercel AI SDK"),
        ("gen_ai", Layer.FRAMEWORK, None, "Vercel AI SDK 7"),
        ("gcp.vertex.agent", Layer.FRAMEWORK, None, "Google ADK, a name with dots"),
        ("strands.telemetry.tracer", Layer.FRAMEWORK, None, "Strands"),
        (
            "semantic_kernel.utils.telemetry.model_diagnostics.decorators",
            Layer.FRAMEWORK,
            None,
            "Semantic Kernel, one scope for each module",
        ),
    ],
)
def test_a_scope_sits_on_the_layer_of_what_it_instruments(
    scope: str, layer: Layer, library: str | None, reason: str
) -> None:
    """Of two spans about one call, it tells which can be the outer one."""
    assert place_of(scope) == Place(layer, library), reason


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("", "no name at all"),
        ("my.framework", "an application's own"),
        ("opentelemetry.instrumentation.httpx", "no model's client"),
        ("com.anthropic.sdk.pythonic", "only a beginning up to a dot"),
        ("opentelemetry.instrumentation.openai.v2", "only the version that OpenLLMetry has"),
    ],
)
def test_an_unknown_scope_is_on_no_layer(scope: str, reason: str) -> None:
    """A guess could take two calls for one, and the second would never be billed."""
    assert place_of(scope) is None, reason


FRAMEWORK = "opentelemetry.instrumentation.langchain"
GATEWAY = "litellm"
CLIENT = "opentelemetry.instrumentation.genai.openai"
OTHER_CLIENT = "opentelemetry.instrumentation.openai.v1"
ANTHROPIC = "opentelemetry.instrumentation.anthropic"
ANTHROPIC_SDK = "com.anthropic.sdk.python"
HANDLER = "opentelemetry.util.genai.handler"


@pytest.mark.parametrize(
    ("outer", "inner", "reason"),
    [
        (FRAMEWORK, GATEWAY, "a framework calls a gateway"),
        (FRAMEWORK, CLIENT, "or the client library"),
        (FRAMEWORK, ANTHROPIC_SDK, "which may have spans of its own"),
        (GATEWAY, CLIENT, "a gateway calls the client library"),
        (GATEWAY, ANTHROPIC_SDK, "the same"),
        (ANTHROPIC, ANTHROPIC_SDK, "an instrumentation is around the library's own spans"),
        (CLIENT, OTHER_CLIENT, "two instrumentations of one library"),
        (OTHER_CLIENT, CLIENT, "in whichever order they were installed"),
        (HANDLER, CLIENT, "it may be of any library"),
        (CLIENT, HANDLER, "the same from outside"),
    ],
)
def test_a_scope_sits_above_those_it_is_made_around(outer: str, inner: str, reason: str) -> None:
    """Two spans of one call are often in two traces, and nothing else tells which is around which."""
    assert sits_above(outer, inner), reason


@pytest.mark.parametrize(
    ("outer", "inner", "reason"),
    [
        (CLIENT, FRAMEWORK, "a client library calls no framework"),
        (CLIENT, GATEWAY, "nor a gateway"),
        (GATEWAY, FRAMEWORK, "a gateway calls no framework"),
        (FRAMEWORK, "pydantic-ai", "two frameworks are two applications"),
        (GATEWAY, "opentelemetry.instrumentation.genai.portkey", "nor does a gateway call another"),
        (FRAMEWORK, FRAMEWORK, "a layer is not above itself"),
        (CLIENT, CLIENT, "the same"),
        (ANTHROPIC_SDK, ANTHROPIC, "the library's own spans are innermost"),
        (ANTHROPIC_SDK, "com.anthropic.sdk.python.bedrock", "the same"),
        (CLIENT, ANTHROPIC, "two libraries: a tool of one calls the other"),
        (CLIENT, ANTHROPIC_SDK, "the same"),
        ("my.framework", CLIENT, "not known"),
        (FRAMEWORK, "my.client", "not known"),
    ],
)
def test_any_other_two_scopes_are_two_calls(outer: str, inner: str, reason: str) -> None:
    """Where nothing is known, both are billed: a call too few is never found again."""
    assert not sits_above(outer, inner), reason


@pytest.mark.parametrize(
    ("scope", "bill_scopes", "expected", "reason"),
    [
        ("anything", (), True, "without any, all are billed"),
        ("", (), True, "even one without a name"),
        (CLIENT, (CLIENT,), True, "named"),
        (CLIENT, (FRAMEWORK,), False, "another one is named"),
        (CLIENT, (FRAMEWORK, CLIENT), True, "one of two"),
        (CLIENT, ("opentelemetry.instrumentation.*",), True, "a star stands for any text"),
        (CLIENT, ("*",), True, "whatever it is"),
        ("logfire.openai", ("LOGFIRE.*",), False, "names are case-sensitive"),
        ("logfire.openai", ("logfire",), False, "the whole name"),
    ],
)
def test_bill_scopes_names_those_that_are_billed(
    scope: str, bill_scopes: tuple[str, ...], expected: object, reason: str
) -> None:
    """Whoever has two layers instrumented can say which one counts."""
    assert bills(scope, bill_scopes) is expected, reason


@pytest.mark.parametrize("scope", ["mycompany.ai", "gen_ai.mine", "mycompany.openai", "openai", ""])
def test_a_scope_of_an_unknown_family_is_on_no_known_layer(scope: str) -> None:
    """A name that ends like a library's says nothing of what its spans are made around."""
    assert place_of(scope) is None
