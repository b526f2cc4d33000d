from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_polar.billing import semconv
from otel_polar.billing.attributes import MAX_NAME_CHARACTERS
from otel_polar.billing.call import ModelCall, NotBilled, external_id
from otel_polar.billing.customer import NOBODY
from otel_polar.billing.operation import BILLABLE_OPERATIONS
from otel_polar.billing.reading import read_call
from otel_polar.billing.usage import TokenUsage, Unmetered
from tests.billing.support import SPAN_ID, START, TRACE_ID, USER, span, tokens, unix_nano

TOKENS: Final[dict[str, object]] = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
STRONG_ID: Final = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"
UNKNOWN: Final = "operation is not a known model call"
NAMELESS: Final = "no gen_ai.operation.name"


def read(attributes: dict[str, object], **fields: Any) -> ModelCall:
    """The call that a chat span with these attributes is."""
    call = read_call(span({"gen_ai.operation.name": "chat", **TOKENS, **attributes}, **fields))
    assert isinstance(call, ModelCall)
    return call


def test_a_call_is_read_whole() -> None:
    """Every field prices, attributes, identifies or explains it."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.id": STRONG_ID,
        "openai.response.service_tier": "default",
        "server.address": "api.openai.com",
        **TOKENS,
    }

    seen = span(
        attributes, resource_attributes={"service.name": "chat-api"}, parent_span_id="53995c3f42cd8ad8", process="pod-1"
    )

    call = read_call(seen, USER, {"plan": "pro"})

    assert call == ModelCall(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        start_time_unix_nano=unix_nano(START),
        end_time_unix_nano=unix_nano(START) + 1_000_000_000,
        scope_name="opentelemetry.instrumentation.openai_v2",
        operation="chat",
        provider="openai",
        request_model="gpt-4o-mini",
        response_model="gpt-4o-mini-2024-07-18",
        response_id=STRONG_ID,
        service_tier="default",
        server_address="api.openai.com",
        service_name="chat-api",
        usage=tokens(10, 2),
        customer=USER,
        tags={"plan": "pro"},
        parent_span_id="53995c3f42cd8ad8",
        process="pod-1",
        dialect="OpenTelemetry GenAI",
        is_total=False,
    )


def test_nothing_of_the_content_is_read() -> None:
    """Prompts, completions and headers never enter an event, a log line or the outbox."""
    secret = "the patient's name"
    attributes: dict[str, object] = {
        "gen_ai.input.messages": secret,
        "gen_ai.output.messages": secret,
        "gen_ai.system_instructions": secret,
        "gen_ai.tool.call.arguments": secret,
        "gen_ai.prompt.0.content": secret,
        "http.request.header.authorization": secret,
        "user.id": secret,
    }

    assert secret not in repr(read(attributes, name=secret))


@pytest.mark.parametrize(
    ("attributes", "dialect", "reason"),
    [
        ({"gen_ai.operation.name": "chat"}, "OpenTelemetry GenAI", "the conventions"),
        ({"openinference.span.kind": "LLM"}, "OpenInference", "Arize's"),
        ({"llm.request.type": "chat"}, "OpenLLMetry", "Traceloop's"),
        ({"ai.operationId": "ai.streamText.doStream"}, "Vercel AI SDK", "Vercel's"),
    ],
)
def test_a_call_says_whose_convention_told_of_it(attributes: dict[str, object], dialect: str, reason: str) -> None:
    """Whoever asks why a span was billed is shown by which rule."""
    call = read_call(span({**attributes, **TOKENS}))

    assert isinstance(call, ModelCall), reason
    assert (call.dialect, call.operation, call.usage) == (dialect, "chat", tokens(10, 2)), reason


def test_a_total_is_marked_as_one() -> None:
    """OpenLLMetry's Agno has no span per call; where another instrumentation has, the sum is billed a second time."""
    agent = {"gen_ai.system": "agno", "traceloop.span.kind": "agent", **TOKENS}

    call = read_call(span(agent, scope_name="opentelemetry.instrumentation.agno"))

    assert isinstance(call, ModelCall)
    assert (call.is_total, call.provider, call.usage) == (True, None, tokens(10, 2))
    assert not read({}).is_total


@pytest.mark.parametrize(
    ("attributes", "why", "reason"),
    [
        ({"gen_ai.operation.name": "speech"}, UNKNOWN, "billed by the provider, and not known here"),
        ({"gen_ai.operation.name": "CHAT"}, UNKNOWN, "names are case-sensitive"),
        ({"gen_ai.operation.name": "chat "}, UNKNOWN, "and exact"),
        ({"gen_ai.operation.name": ""}, UNKNOWN, "present and empty"),
        ({"gen_ai.operation.name": ("chat",)}, UNKNOWN, "an array is no name"),
        ({"openinference.span.kind": "LLM", "gen_ai.operation.name": "realtime"}, UNKNOWN, "a kind is no name"),
        ({}, NAMELESS, "an emitter of before the operation name"),
        ({"gen_ai.system": "openai", "url": "/audio/speech"}, NAMELESS, "logfire: a request that is not known here"),
    ],
)
def test_an_unknown_operation_with_tokens_is_suspicious(attributes: dict[str, object], why: str, reason: str) -> None:
    """Not billed, because it may be a sum, but said, because it may be a loss."""
    zeros = dict.fromkeys(TOKENS, 0)

    assert read_call(span({**attributes, **TOKENS})) == NotBilled(why, suspicious=True), reason
    assert read_call(span({**attributes, "llm.token_count.prompt": 5})) == NotBilled(why, suspicious=True), reason
    assert read_call(span(attributes)) == NotBilled(why, suspicious=False), reason
    assert read_call(span({**attributes, **zeros})) == NotBilled(why, suspicious=False), reason


@pytest.mark.parametrize(
    ("name", "attributes", "why", "reason"),
    [
        (
            "invoke_agent",
            {"gen_ai.operation.name": "invoke_agent"},
            "operation invoke_agent is not a single call",
            "the sum of the calls below it",
        ),
        (
            "agent",
            {"openinference.span.kind": "AGENT"},
            "openinference.span.kind is not LLM or EMBEDDING",
            "the same in OpenInference",
        ),
        (
            "ai.generateText",
            {"ai.operationId": "ai.generateText"},
            "Vercel AI SDK: not a single call (ai.….do…)",
            "the same in Vercel's SDK",
        ),
        (
            "responses.retrieve gpt-4o",
            {"gen_ai.operation.name": "chat"},
            "a request that is free: retrieve or count_tokens",
            "the usage of the call that made the answer",
        ),
    ],
)
def test_tokens_that_others_carry_are_not_billed_and_nothing_to_warn_about(
    name: str, attributes: dict[str, object], why: str, reason: str
) -> None:
    """Billing an agent and its calls bills everything twice; a warning each time would be noise."""
    assert read_call(span({**attributes, **TOKENS}, name=name)) == NotBilled(why, suspicious=False), reason


def test_a_call_without_tokens_is_still_a_call() -> None:
    """It is held with its reason; only spans that are no calls are left out."""
    call = read_call(span({"gen_ai.operation.name": "chat"}))

    assert isinstance(call, ModelCall)
    assert isinstance(call.usage, Unmetered)


def test_a_call_names_nobody_and_no_tags_unless_told() -> None:
    """Reading a span never guesses who pays."""
    call = read({})

    assert (call.customer, dict(call.tags)) == (NOBODY, {})


@pytest.mark.parametrize(
    ("attributes", "field", "expected", "reason"),
    [
        ({"gen_ai.provider.name": "Azure"}, "provider", "azure.ai.openai", "one name, whatever the emitter calls it"),
        ({"gen_ai.provider.name": "strands-agents"}, "provider", None, "a framework is no provider"),
        ({"gen_ai.provider.name": "  "}, "provider", None, "nor is space"),
        ({"gen_ai.provider.name": 7, "gen_ai.system": "openai"}, "provider", "openai", "a number names nobody"),
        ({"openai.request.service_tier": "flex"}, "service_tier", None, "asked for is not got: never billed by"),
        ({"gen_ai.openai.response.service_tier": "flex"}, "service_tier", "flex", "the older name"),
        ({"gen_ai.request.model": ""}, "request_model", None, "empty is absent"),
        ({"gen_ai.response.id": ""}, "response_id", None, "an empty id would make all calls one"),
        ({"gen_ai.response.id": 123}, "response_id", None, "a counter is no id"),
        ({"server.address": "x" * 300}, "server_address", "x" * 200, "cut: it must not fill the disk"),
    ],
)
def test_names_are_read_as_they_are_meant(
    attributes: dict[str, object], field: str, expected: object, reason: str
) -> None:
    """Generations of emitters are in use at once, and some write rubbish beside the truth."""
    assert getattr(read(attributes), field) == expected, reason


@pytest.mark.parametrize(
    ("name", "expected", "reason"),
    [
        ("chat-api", "chat-api", "the usual"),
        ("x" * 200, "x" * MAX_NAME_CHARACTERS, "the longest"),
        ("x" * 300, "x" * MAX_NAME_CHARACTERS, "cut: as much somebody else's as the attributes are"),
        (7, None, "a number is no name"),
        (None, None, "nothing"),
    ],
)
def test_the_service_is_named_by_its_resource(name: object, expected: str | None, reason: str) -> None:
    """A bill can be traced to the service that ran it up."""
    assert read({}, resource_attributes={"service.name": name}).service_name == expected, reason


def test_a_response_id_is_never_cut() -> None:
    """Cut short, two different answers could become one, and the second would never be billed."""
    assert read({"gen_ai.response.id": "x" * 199}).response_id == "x" * 199
    assert [read({"gen_ai.response.id": "x" * size}).response_id for size in (200, 201)] == [None, None]


def test_a_name_as_long_as_the_span_limit_is_not_believed() -> None:
    """The SDK cuts values without a word: gpt-4o-mini becomes gpt-4o, at sixteen times the price."""
    whole = read({"gen_ai.request.model": "gpt-4o"}, attribute_length_limit=7)
    cut = read({"gen_ai.request.model": "gpt-4o"}, attribute_length_limit=6)

    assert (whole.request_model, cut.request_model) == ("gpt-4o", None)


SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES: Final[st.SearchStrategy[object]] = (
    st.sampled_from(["chat", "invoke_agent", "LLM", "llm", "agent", "ai.embed.doEmbed", STRONG_ID, 0, 5])
    | SCALARS
    | st.lists(SCALARS)
    | st.lists(SCALARS).map(tuple)
    | st.dictionaries(st.text(), SCALARS)
)
READ: Final = sorted(
    {
        *(value for value in vars(semconv).values() if isinstance(value, str) and "." in value and " " not in value),
        *(name for names in vars(semconv).values() if isinstance(names, tuple) for name in names),
    }
)


@given(
    attributes=st.dictionaries(st.sampled_from(READ), VALUES, max_size=12),
    resource=st.dictionaries(st.just("service.name"), VALUES),
    name=st.sampled_from(["chat gpt-4o", "Response", "openai.response"]) | st.text(),
    limit=st.none() | st.integers(0, 50),
)
@example(
    attributes={"gen_ai.operation.name": "chat", "langsmith.span.kind": {"a": "b"}}, resource={}, name="", limit=None
)
@settings(max_examples=500, deadline=None)
def test_any_span_is_a_call_or_not_one_and_never_an_exception(
    attributes: dict[str, object], resource: dict[str, object], name: str, limit: int | None
) -> None:
    """It runs on the application's thread, on attributes anybody may have set."""
    answer = read_call(span(attributes, resource_attributes=resource, name=name, attribute_length_limit=limit))

    if isinstance(answer, ModelCall):
        assert answer.operation in BILLABLE_OPERATIONS
        assert isinstance(answer.usage, (TokenUsage, Unmetered))
        assert external_id(answer).isascii()
    else:
        assert 0 < len(answer.reason) < 100


@pytest.mark.parametrize(
    ("scope", "attributes", "reason"),
    [
        (
            "openinference.instrumentation.claude_agent_sdk",
            {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 5, "llm.token_count.completion": 3},
            "one span for each query, and none for the calls in it",
        ),
        (
            "opentelemetry.instrumentation.google_genai",
            {"gen_ai.operation.name": "invoke_agent", **TOKENS},
            "an agent that runs elsewhere",
        ),
    ],
)
def test_tokens_that_stand_on_an_agent_only_are_not_billed_and_said(
    scope: str, attributes: dict[str, object], reason: str
) -> None:
    """What they are the sum of is not known; that nobody pays for them must be."""
    answer = read_call(span(attributes, scope_name=scope))

    assert isinstance(answer, NotBilled), reason
    assert answer.suspicious, reason
