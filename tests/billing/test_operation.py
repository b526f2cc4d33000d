from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_polar.billing import semconv
from otel_polar.billing.operation import AGGREGATES, BILLABLE_OPERATIONS, NoCall, Operation, read_operation
from tests.billing.support import span

NAME: Final = "gen_ai.operation.name"
KIND: Final = "openinference.span.kind"
UNKNOWN: Final = NoCall("operation is not a known model call")
NAMELESS: Final = NoCall("no gen_ai.operation.name")
FETCHED: Final = NoCall("fetches an answer, which was billed when it was made", repeats_others=True)
FREE: Final = NoCall("a request that is free: retrieve or count_tokens", repeats_others=True)
NOT_A_KIND: Final = NoCall("openinference.span.kind is not LLM or EMBEDDING", repeats_others=True)
NOT_DO: Final = NoCall("Vercel AI SDK: not a single call (ai.….do…)", repeats_others=True)
NO_TRACELOOP_CALL: Final = NoCall("traceloop.span.kind is not a single call", repeats_others=True)
NO_LANGSMITH_CALL: Final = NoCall("langsmith.span.kind is not llm or embedding", repeats_others=True)
PENDING: Final = NoCall("logfire: a pending span, which is repeated when it ends", repeats_others=True)
STREAMING: Final = NoCall("logfire: the tokens of a stream are on the log that follows", repeats_others=True)
RAW: Final = NoCall("litellm: the raw request, which is repeated by the span above it", repeats_others=True)

LOGFIRE: Final = "logfire.openai"
OPENLLMETRY: Final = "opentelemetry.instrumentation.openai.v1"
OI_OPENAI: Final = "openinference.instrumentation.openai"
AGNO: Final = "opentelemetry.instrumentation.agno"


def read(attributes: dict[str, object], scope: str = "", name: str = "a span") -> Operation | NoCall:
    return read_operation(span(attributes, scope_name=scope, name=name))


def stated(name: object, **others: object) -> dict[str, object]:
    return {NAME: name, **others}


def only(name: str, value: object) -> dict[str, object]:
    return {name: value}


def otel(name: str, stated_name: str | None = None) -> Operation:
    return Operation(name, stated_name or name, "OpenTelemetry GenAI")


@pytest.mark.parametrize(
    ("operation", "name", "reason"),
    [
        ("chat", "chat", "a request for an answer"),
        ("text_completion", "text_completion", "the older form of one"),
        ("generate_content", "generate_content", "Gemini's word for one"),
        ("embeddings", "embeddings", "a request for vectors"),
        ("interactions.create", "generate_content", "google-genai's newer way to ask"),
        ("responses", "chat", "OpenAI's newer way to ask, as litellm calls it"),
        ("aresponses", "chat", "the same, asynchronous"),
        ("completion", "chat", "litellm's completion() is a chat"),
        ("acompletion", "chat", "the same, asynchronous"),
        ("anthropic_messages", "chat", "litellm's endpoint in Anthropic's form"),
        ("agenerate_content", "generate_content", "litellm's endpoint in Google's form"),
        ("atext_completion", "text_completion", "litellm's older completion"),
        ("embedding", "embeddings", "litellm's word for vectors"),
        ("aembedding", "embeddings", "the same, asynchronous"),
        ("rerank", "rerank", "billed by tokens at Voyage and others"),
        ("arerank", "rerank", "the same, asynchronous"),
        ("image_generation", "image_generation", "litellm and logfire: gpt-image-1 is billed by tokens"),
        ("aimage_generation", "image_generation", "the same, asynchronous"),
        ("image", "image_generation", "OpenLIT's word for it"),
        ("speech_to_text", "speech_to_text", "OpenLIT: gpt-4o-transcribe is billed by tokens"),
        ("transcription", "speech_to_text", "litellm's and OpenLLMetry's word for it"),
        ("atranscription", "speech_to_text", "the same, asynchronous"),
    ],
)
def test_an_operation_that_is_one_request_to_a_model_is_billed_under_one_name(
    operation: str, name: str, reason: str
) -> None:
    """A meter that filters by operation must find the same work under one word, whoever told of it."""
    assert read(stated(operation)) == otel(name, operation), reason


def test_no_other_operation_is_billed() -> None:
    """An allow-list: what is not known to be one request may repeat the tokens of others."""
    assert set(BILLABLE_OPERATIONS) == {
        *("chat", "text_completion", "generate_content", "embeddings", "interactions.create", "responses"),
        *("aresponses", "completion", "acompletion", "anthropic_messages", "agenerate_content", "atext_completion"),
        *("embedding", "aembedding", "rerank", "arerank", "image_generation", "aimage_generation", "image"),
        *("speech_to_text", "transcription", "atranscription", "text_to_speech", "video_generation"),
    }


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("invoke_agent", "repeats the tokens of the calls below it; Strands even adds up over the agent's life"),
        ("invoke_workflow", "repeats those of its agents"),
        ("create_agent", "creates, and answers nothing"),
        ("agent_step", "Vercel's word for a turn of calls"),
        ("execute_tool", "the tool's own model calls have spans of their own"),
        ("plan", "a part of an agent's run"),
        ("retrieval", "a search; whatever it embeds has its own span"),
        ("fetch_response", "asks again for an answer that was billed"),
        ("execute_task", "OpenLLMetry: a node of a graph"),
        ("handoff", "OpenLLMetry: one agent to another"),
        ("guard", "OpenLLMetry: a check, made by calls"),
        ("execute_event_loop_cycle", "Strands: a turn of calls"),
        ("chain", "LangSmith: retry and fallback chains carry the tokens of the call below"),
        ("parser", "LangSmith: works on text"),
        ("prompt", "LangSmith: a template"),
        ("tool", "LangSmith's word for a tool"),
        ("retriever", "LangSmith's word for a search"),
        ("moderation", "OpenLIT: free of charge at OpenAI"),
    ],
)
def test_a_span_that_repeats_others_is_no_call(operation: str, reason: str) -> None:
    """Billing an agent and its calls bills everything twice; a warning each time would be noise."""
    assert read(stated(operation)) == NoCall(f"operation {operation} is not a single call", repeats_others=True), reason
    assert operation in AGGREGATES


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("speech", "billed by the provider, and not known here"),
        ("CHAT", "names are case-sensitive"),
        ("chat ", "and exact"),
        ("", "present and empty"),
        (("chat",), "an array is no name"),
        (7, "nor is a number"),
    ],
)
def test_an_unknown_operation_may_be_a_loss(operation: object, reason: str) -> None:
    """Not billed, because it may be a sum, and not known to repeat others, so that its tokens are spoken of."""
    assert read(stated(operation)) == UNKNOWN, reason


def test_the_reason_for_not_billing_never_repeats_an_unknown_operation() -> None:
    """Reasons are counted by their text: an attribute in it would make as many counters as there are values."""
    assert {read(stated(name)) for name in ("speech", "realtime", "x" * 500)} == {UNKNOWN}


OF_OPENAI: Final[dict[str, object]] = {"gen_ai.system": "openai"}

CALLS: Final[list[tuple[str, str, dict[str, object], Operation, str]]] = [
    ("opentelemetry.instrumentation.genai.openai", "chat gpt-4o", stated("chat"), otel("chat"), "the conventions"),
    (
        "logfire.openai",
        "a message",
        stated("chat", **{"logfire.span_type": "span"}),
        otel("chat"),
        "logfire, no stream",
    ),
    (
        "logfire.openai",
        "a log",
        stated("chat", **{"logfire.span_type": "log", "request_data": '{"stream":true}'}),
        otel("chat"),
        "logfire: the log of a stream is the call, even if no tokens came with it",
    ),
    ("langsmith", "ChatOpenAI", stated("chat", **{"langsmith.span.kind": "llm"}), otel("chat"), "langsmith: a call"),
    (
        "langsmith",
        "OpenAIEmbeddings",
        stated("embeddings", **{"langsmith.span.kind": "embedding"}),
        otel("embeddings"),
        "langsmith: vectors",
    ),
    (
        "opentelemetry.instrumentation.llamaindex",
        "OpenAI.task",
        stated("chat", **{"traceloop.span.kind": "task"}),
        otel("chat"),
        "OpenLLMetry's LlamaIndex names the call beside its own kind of span",
    ),
    (
        "litellm",
        "litellm_request",
        stated("chat", **{"llm.request.type": "acompletion"}),
        otel("chat"),
        "the operation is the one with a table, the type beside it is litellm's own word",
    ),
    (OPENLLMETRY, "openai.response", stated("chat", **{"gen_ai.request.model": "o3"}), otel("chat"), "asks a model"),
    (
        "opentelemetry.instrumentation.openai_agents",
        "openai.response",
        stated("chat"),
        otel("chat"),
        "the same span name, of a scope that never fetches",
    ),
    (
        OI_OPENAI,
        "ChatCompletion",
        {KIND: "LLM", "llm.invocation_parameters": "{}"},
        Operation("chat", "LLM", "OpenInference"),
        "only a Response without parameters is one that is fetched",
    ),
    (
        OI_OPENAI,
        "Response",
        {KIND: "LLM", "llm.invocation_parameters": '{"model": "gpt-5"}'},
        Operation("chat", "LLM", "OpenInference"),
        "a request has parameters",
    ),
    (OI_OPENAI, "CreateEmbeddings", {KIND: "EMBEDDING"}, Operation("embeddings", "EMBEDDING", "OpenInference"), "kind"),
    (
        "x",
        "cohere.chat",
        {"gen_ai.system": "Cohere", "llm.request.type": "chat"},
        Operation("chat", "chat", "OpenLLMetry"),
        "Cohere, Ollama, …",
    ),
    (
        "x",
        "ollama.completion",
        {"gen_ai.system": "Cohere", "llm.request.type": "completion"},
        Operation("text_completion", "completion", "OpenLLMetry"),
        "here completion is the older form, other than litellm's",
    ),
    (
        "x",
        "x",
        {"gen_ai.system": "Cohere", "llm.request.type": "embedding"},
        Operation("embeddings", "embedding", "OpenLLMetry"),
        "Mistral",
    ),
    (
        "x",
        "x",
        {"gen_ai.system": "Cohere", "llm.request.type": "rerank"},
        Operation("rerank", "rerank", "OpenLLMetry"),
        "Cohere",
    ),
    *(
        ("ai", operation, only("ai.operationId", operation), Operation(name, operation, "Vercel AI SDK"), "one request")
        for operation, name in (
            ("ai.generateText.doGenerate", "chat"),
            ("ai.streamText.doStream", "chat"),
            ("ai.generateObject.doGenerate", "chat"),
            ("ai.embed.doEmbed", "embeddings"),
            ("ai.embedMany.doEmbed", "embeddings"),
            ("ai.rerank.doRerank", "rerank"),
        )
    ),
    (
        AGNO,
        "agent.agent",
        {"gen_ai.system": "agno", "traceloop.span.kind": "agent"},
        Operation("chat", "agent", "OpenLLMetry", is_total=True),
        "the agent's span is the only one there is",
    ),
    *(
        (LOGFIRE, "OpenAI API call to {url!r}", {**OF_OPENAI, "url": url}, transcribed, "by its path")
        for url in ("/audio/transcriptions", "/audio/translations")
        for transcribed in (Operation("speech_to_text", url, "Logfire"),)
    ),
]


@pytest.mark.parametrize(("scope", "name", "attributes", "expected", "reason"), CALLS)
def test_a_single_request_is_told_from_the_spans_of_every_emitter(
    scope: str, name: str, attributes: dict[str, object], expected: Operation, reason: str
) -> None:
    """What is missed here is given away."""
    assert read(attributes, scope, name) == expected, reason


NO_CALLS: Final[list[tuple[str, str, dict[str, object], NoCall, str]]] = [
    ("x", "x", {}, NAMELESS, "anything at all"),
    *((OI_OPENAI, "x", only(KIND, kind), NOT_A_KIND, "spans around calls") for kind in ("AGENT", "CHAIN", "TOOL")),
    *(
        (OI_OPENAI, "x", only(KIND, kind), NOT_A_KIND, "no request for tokens")
        for kind in ("RETRIEVER", "RERANKER", "GUARDRAIL")
    ),
    *((OI_OPENAI, "x", only(KIND, kind), NOT_A_KIND, "exact, and text") for kind in ("llm", "", 7, ("LLM",))),
    ("x", "x", stated("chat", **{KIND: "AGENT"}), NOT_A_KIND, "the kind rules out what the name says"),
    ("x", "x", stated("chat", **{KIND: "CHAIN"}), NOT_A_KIND, "the same of a chain"),
    (
        "openinference.instrumentation.google_adk",
        "x",
        stated("invoke_workflow", **{KIND: "LLM"}),
        NoCall("operation invoke_workflow is not a single call", repeats_others=True),
        "the name rules out what the kind says",
    ),
    ("x", "x", stated("speech", **{KIND: "LLM"}), UNKNOWN, "a kind does not make an unknown name known"),
    ("x", "x", {"llm.request.type": "agent"}, NAMELESS, "not in OpenLLMetry's list of requests"),
    ("x", "x", {"llm.request.type": ("chat",)}, NAMELESS, "an array is no type"),
    *(
        ("ai", operation, only("ai.operationId", operation), NOT_DO, "repeats the ai.….do… below it")
        for operation in ("ai.generateText", "ai.streamText", "ai.embed", "ai.toolCall", "ai.generateText.doGenerate.x")
    ),
    ("x", "x", {"ai.operationId": "mine.doGenerate"}, NAMELESS, "not of Vercel's"),
    ("x", "x", {"ai.operationId": ("ai.embed.doEmbed",)}, NAMELESS, "an array is no name"),
    *(
        (AGNO, "x", only("traceloop.span.kind", kind), NO_TRACELOOP_CALL, "agno: only an agent has a sum")
        for kind in ("workflow", "task", "tool", ("agent",))
    ),
    ("traceloop.tracer", "x", {"traceloop.span.kind": "agent"}, NO_TRACELOOP_CALL, "an agent whose calls have spans"),
    ("langsmith", "x", stated("chat", **{"langsmith.span.kind": "prompt"}), NO_LANGSMITH_CALL, "a template, as chat"),
    ("langsmith", "x", stated("chat", **{"langsmith.span.kind": "chain"}), NO_LANGSMITH_CALL, "repeats the call below"),
    (LOGFIRE, "x", stated("chat", **{"logfire.span_type": "pending_span"}), PENDING, "sent when the call begins"),
    (
        LOGFIRE,
        "OpenAI API call to {url!r}",
        {"gen_ai.system": "openai", "url": "/audio/transcriptions", "logfire.span_type": "pending_span"},
        PENDING,
        "the same of a request that has no operation name",
    ),
    (LOGFIRE, "x", {"url": "/audio/speech"}, NAMELESS, "billed by characters"),
    (LOGFIRE, "x", {"url": ("/audio/transcriptions",)}, NAMELESS, "an array is no path"),
    ("my.client", "x", {"url": "/audio/transcriptions"}, NAMELESS, "another's url"),
    ("litellm", "raw_gen_ai_request", {"llm.openai.model": "gpt-4o"}, RAW, "a child of the call"),
    (OPENLLMETRY, "openai.response", stated("chat"), FETCHED, "whoever fetches names no model"),
    (OI_OPENAI, "Response", {KIND: "LLM", "llm.invocation_parameters": "{}"}, FETCHED, "a request has parameters"),
    ("openlit.instrumentation.openai", "responses.retrieve gpt-4o", stated("chat"), FREE, "OpenLIT"),
    ("com.anthropic.sdk.python", "anthropic.messages.count_tokens", {}, FREE, "Anthropic's own spans"),
    ("openinference.instrumentation.anthropic", "messages.count_tokens", {KIND: "LLM"}, FREE, "OpenInference"),
]


@pytest.mark.parametrize(("scope", "name", "attributes", "expected", "reason"), NO_CALLS)
def test_what_is_not_a_single_request_says_why(
    scope: str, name: str, attributes: dict[str, object], expected: NoCall, reason: str
) -> None:
    """Polling an answer or running an agent must not bill what was billed already."""
    assert read(attributes, scope, name) == expected, reason


def test_only_the_beginning_of_a_span_name_makes_it_free() -> None:
    """The rest is the model's name, which anybody may have chosen."""
    assert read(stated("chat"), name="chat my.retrieve") == otel("chat")


@pytest.mark.parametrize(
    ("request_data", "others", "expected", "reason"),
    [
        ('{"model":"gpt-4o","stream":true}', {}, STREAMING, "the log that follows has the tokens"),
        ('{"model": "gpt-4o", "stream": true}', {}, STREAMING, "however the JSON is written"),
        ('{"model":"gpt-4o","stream":false}', {}, otel("chat"), "no stream"),
        ('{"model":"gpt-4o"}', {}, otel("chat"), "no stream"),
        (r'{"messages":"say \"stream\":true"}', {}, otel("chat"), "a prompt, in which quotes are escaped"),
        ('{"stream":true}', {"gen_ai.usage.input_tokens": 5}, otel("chat"), "it has tokens itself"),
        (("stream",), {}, otel("chat"), "an array is no JSON text"),
        (None, {}, otel("chat"), "no request at all"),
    ],
)
def test_a_stream_of_logfire_is_billed_by_its_log(
    request_data: object, others: dict[str, object], expected: object, reason: str
) -> None:
    """Otherwise every stream would be held as a call without tokens, beside the log that is billed."""
    attributes = stated("chat", **{"logfire.span_type": "span", "request_data": request_data}, **others)

    assert read(attributes, LOGFIRE) == expected, reason


@pytest.mark.parametrize(("scope", "name", "attributes", "_expected", "_reason"), CALLS)
def test_every_call_carries_a_marker(
    scope: str, name: str, attributes: dict[str, object], _expected: Operation, _reason: str
) -> None:
    """A span without one is never read at all."""
    assert semconv.MODEL_CALL_MARKERS & attributes.keys(), (scope, name)


ANY_VALUE: Final[st.SearchStrategy[object]] = st.recursive(
    st.sampled_from(["chat", "invoke_agent", "LLM", "llm", "agent", "ai.embed.doEmbed", "/audio/translations", "span"])
    | st.none()
    | st.text()
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
NAMES: Final = (
    *(semconv.OPERATION_NAME, semconv.OPENINFERENCE_KIND, semconv.REQUEST_TYPE, semconv.VERCEL_OPERATION),
    *(semconv.TRACELOOP_KIND, semconv.LANGSMITH_KIND, semconv.LOGFIRE_KIND, "url", "request_data"),
    *("llm.invocation_parameters", "gen_ai.request.model"),
)


@given(
    attributes=st.dictionaries(st.sampled_from(NAMES), ANY_VALUE),
    scope=st.sampled_from(["", LOGFIRE, OPENLLMETRY, AGNO]),
    name=st.sampled_from(["", "Response", "openai.response", "raw_gen_ai_request"]) | st.text(),
)
@example(attributes={NAME: "chat", "langsmith.span.kind": {"key": "value"}}, scope="", name="")
@example(attributes={NAME: "chat", "langsmith.span.kind": ({"key": "value"},)}, scope="", name="")
@settings(max_examples=300, deadline=None)
def test_any_span_is_an_operation_or_none_and_never_an_exception(
    attributes: dict[str, Any], scope: str, name: str
) -> None:
    """A Collector's arrays and key-value lists arrive as tuples and dictionaries, and neither may stop the rest."""
    answer = read(attributes, scope, name)

    assert isinstance(answer, Operation | NoCall)
    assert not isinstance(answer, Operation) or answer.name in set(BILLABLE_OPERATIONS.values())
