from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.call import (
    BILLABLE_OPERATIONS,
    MAX_NAME_CHARACTERS,
    ModelCall,
    NotBilled,
    external_id,
    is_strong_id,
    read_call,
)
from otel_polar.billing.customer import NOBODY, Customer
from otel_polar.billing.usage import TokenUsage, Unmetered
from tests.billing.support import SPAN_ID, START, TRACE_ID, USER, model_call, span, tokens, unix_nano

TOKENS = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
STRONG_ID = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"


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

    call = read_call(span(attributes, resource_attributes={"service.name": "chat-api"}), USER, {"plan": "pro"})

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
    ("operation", "reason"),
    [
        ("chat", "a request for an answer"),
        ("text_completion", "the older form of one"),
        ("generate_content", "Gemini's word for one"),
        ("embeddings", "a request for vectors"),
    ],
)
def test_an_operation_that_is_one_request_to_a_model_is_billed(operation: str, reason: str) -> None:
    """These four, and no others, cost money once."""
    call = read_call(span({"gen_ai.operation.name": operation, **TOKENS}))

    assert isinstance(call, ModelCall), reason
    assert call.operation == operation


def test_no_other_operation_is_billed() -> None:
    """An allow-list: what is not known to be one request may repeat the tokens of others."""
    assert {"chat", "text_completion", "generate_content", "embeddings"} == BILLABLE_OPERATIONS


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("invoke_agent", "repeats the tokens of the calls below it; Strands even adds up over the agent's life"),
        ("invoke_workflow", "repeats those of its agents"),
        ("create_agent", "creates, and answers nothing"),
        ("agent_step", "Vercel's word for a turn of calls"),
        ("execute_tool", "the tool's own model calls have spans of their own"),
        ("plan", "a part of an agent's run"),
        ("retrieval", "a search, whatever it embeds has its own span"),
        ("fetch_response", "asks again for an answer that was billed"),
    ],
)
def test_a_span_that_repeats_others_is_not_billed_and_nothing_to_warn_about(operation: str, reason: str) -> None:
    """Billing an agent and its calls bills everything twice; a warning each time would be noise."""
    answer = read_call(span({"gen_ai.operation.name": operation, **TOKENS}))

    assert answer == NotBilled(f"operation {operation} is not a single call", suspicious=False), reason


@pytest.mark.parametrize(
    ("operation", "why", "reason"),
    [
        ("speech", "operation is not a known model call", "billed by the provider, and not known here"),
        ("CHAT", "operation is not a known model call", "names are case-sensitive"),
        ("chat ", "operation is not a known model call", "and exact"),
        ("", "operation is not a known model call", "present and empty"),
        (("chat",), "operation is not a known model call", "an array is no name"),
        (None, "no gen_ai.operation.name", "an emitter of before the operation name"),
    ],
)
def test_an_unknown_operation_with_tokens_is_suspicious(operation: object, why: str, reason: str) -> None:
    """Not billed, because it may be a sum, but said, because it may be a loss."""
    named = {} if operation is None else {"gen_ai.operation.name": operation}

    assert read_call(span({**named, **TOKENS})) == NotBilled(why, suspicious=True), reason
    assert read_call(span(named)) == NotBilled(why, suspicious=False), reason


def test_the_reason_for_not_billing_never_repeats_an_unknown_operation() -> None:
    """Reasons are counted by their text: an attribute in it would make as many counters as there are values."""
    answers = {read_call(span({"gen_ai.operation.name": name, **TOKENS})) for name in ("speech", "handoff", "x" * 500)}

    assert answers == {NotBilled("operation is not a known model call", suspicious=True)}


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
        ({"gen_ai.provider.name": "a", "gen_ai.system": "b"}, "provider", "a", "the name since 1.37 wins"),
        ({"gen_ai.system": "b"}, "provider", "b", "the name before it"),
        ({"gen_ai.provider.name": "", "gen_ai.system": "b"}, "provider", "b", "empty is absent"),
        ({"gen_ai.provider.name": 7, "gen_ai.system": "b"}, "provider", "b", "a number names nobody"),
        (
            {"openai.response.service_tier": "flex", "gen_ai.openai.response.service_tier": "default"},
            "service_tier",
            "flex",
            "the newer name wins",
        ),
        ({"gen_ai.openai.response.service_tier": "priority"}, "service_tier", "priority", "the name before it"),
        ({"openai.request.service_tier": "flex"}, "service_tier", None, "asked for is not got: never billed by"),
        ({"gen_ai.request.model": ""}, "request_model", None, "empty is absent"),
        ({"gen_ai.response.model": 4}, "response_model", None, "a number is no name"),
        ({"gen_ai.response.id": ""}, "response_id", None, "an empty id would make all calls one"),
        ({"gen_ai.response.id": 123}, "response_id", None, "a counter is no id"),
    ],
)
def test_a_name_is_the_first_that_is_text(
    attributes: dict[str, object], field: str, expected: object, reason: str
) -> None:
    """Generations of emitters are in use at once, and some write rubbish beside the truth."""
    assert getattr(read(attributes), field) == expected, reason


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("gen_ai.provider.name", "provider"),
        ("gen_ai.request.model", "request_model"),
        ("gen_ai.response.model", "response_model"),
        ("openai.response.service_tier", "service_tier"),
        ("server.address", "server_address"),
    ],
)
def test_names_are_cut_at_200_characters(name: str, field: str) -> None:
    """A longer one names nothing, and must not fill the disk."""
    assert getattr(read({name: "x" * 200}), field) == "x" * MAX_NAME_CHARACTERS
    assert getattr(read({name: "x" * 201}), field) == "x" * MAX_NAME_CHARACTERS


def test_the_service_name_is_cut_as_well() -> None:
    """It comes from the resource, which is as much somebody else's as the attributes are."""
    assert read({}, resource_attributes={"service.name": "x" * 300}).service_name == "x" * 200


def test_a_response_id_is_never_cut() -> None:
    """Cut short, two different answers could become one, and the second would never be billed."""
    assert read({"gen_ai.response.id": "x" * 199}).response_id == "x" * 199
    assert [read({"gen_ai.response.id": "x" * size}).response_id for size in (200, 201)] == [None, None]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("gen_ai.provider.name", "provider", "openai"),
        ("gen_ai.request.model", "request_model", "gpt-4o"),
        ("gen_ai.response.model", "response_model", "gpt-4o"),
        ("gen_ai.response.id", "response_id", STRONG_ID),
        ("openai.response.service_tier", "service_tier", "flex"),
        ("server.address", "server_address", "api.openai.com"),
    ],
)
def test_a_name_as_long_as_the_span_limit_is_not_believed(name: str, field: str, value: str) -> None:
    """The SDK cuts values without a word: gpt-4o-mini becomes gpt-4o, at sixteen times the price."""
    whole = read({name: value}, attribute_length_limit=len(value) + 1)
    cut = read({name: value}, attribute_length_limit=len(value))

    assert (getattr(whole, field), getattr(cut, field)) == (value, None)


def test_an_older_name_stands_in_for_a_newer_one_that_was_cut() -> None:
    """It is the same fact, and may be shorter."""
    attributes: dict[str, object] = {"gen_ai.provider.name": "azure.ai.openai", "gen_ai.system": "openai"}

    assert read(attributes, attribute_length_limit=15).provider == "openai"


@pytest.mark.parametrize(
    ("request_model", "response_model", "expected", "reason"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-4o-mini-2024-07-18", "what answered is what is billed"),
        ("gpt-4o-mini", None, "gpt-4o-mini", "all that is known"),
        (None, None, None, "nothing is known"),
    ],
)
def test_the_model_is_the_one_that_answered(
    request_model: str | None, response_model: str | None, expected: str | None, reason: str
) -> None:
    """Aliases and routers answer with another model than was asked for."""
    assert model_call(request_model=request_model, response_model=response_model).model == expected, reason


@pytest.mark.parametrize(
    ("nanoseconds", "expected", "reason"),
    [
        (1_830_999_999, 1_830, "whole milliseconds"),
        (0, 0, "too fast for the clock"),
        (-5_000_000, 0, "the clock was set back meanwhile"),
    ],
)
def test_the_duration_is_in_whole_milliseconds_and_never_negative(nanoseconds: int, expected: int, reason: str) -> None:
    """It is metered as a number, and a negative one would be taken off a sum."""
    call = model_call(start_time_unix_nano=10**18, end_time_unix_nano=10**18 + nanoseconds)

    assert call.duration_ms == expected, reason


STRONG = [
    (STRONG_ID, "OpenAI chat completions: 29 letters and digits"),
    ("cmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "OpenAI's older completions"),
    ("resp_68f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7", "OpenAI responses: hex"),
    ("msg_01XFDUDYJgAACzvnptvVoYEL", "Anthropic"),
    ("msg_bdrk_01XFDUDYJgAACzvnptvVoYEL", "Anthropic on Bedrock"),
    ("msg_vrtx_01XFDUDYJgAACzvnptvVoYEL", "Anthropic on Vertex"),
    ("gen-1763640000-Xy7KqP2mVb9TzR4wLs0N", "OpenRouter: time, then 20 random characters"),
    ("chatcmpl-3f2b8c1e9d7a4b6c8e0f1a2b3c4d5e6f", "vLLM: uuid4().hex"),
    ("cmpl-3f2b8c1e-9d7a-4b6c-8e0f-1a2b3c4d5e6f", "vLLM: a UUID with dashes, no part of it 16 long"),
    ("chatcmpl-3F2B8C1E-9D7A-4B6C-8E0F-1A2B3C4D5E6F", "the same in capitals"),
    ("3f2b8c1e-9d7a-4b6c-8e0f-1a2b3c4d5e6f", "DeepSeek, Cohere: a bare UUID"),
    ("e5cc70bb28c444948073e77776eb30ef", "Mistral: 32 hex digits"),
    ("a" * 180 + "b1c2d3e4f5g6h7i8j9k0", "200 characters, the longest that is read"),
]
WEAK = [
    ("chatcmpl-123", "Ollama: one of 999"),
    ("chatcmpl-998", "Ollama's last"),
    ("chatcmpl-mock", "a mock server's constant"),
    ("mock-response-id", "the same"),
    ("msg_test", "a test's"),
    ("resp_1", "a counter"),
    ("1763640000", "a time in seconds"),
    ("20261120120000123456", "a time, to the microsecond: two calls can share it"),
    ("chatcmpl-1763640000000000000", "a time in nanoseconds"),
    ("chatcmpl-1763640298754000000", "a time of all digits: still a time"),
    ("gen-1763640000", "OpenRouter cut short"),
    ("chatcmpl-abcdefghijklmnopqrstuv", "letters only: a name, not a draw"),
    ("chatcmpl-constantResponseIdentifier", "words: their case changes from word to word only"),
    ("chatcmpl-ABCDEFGHIJKLMNOPQRSTUVWX", "capitals only"),
    ("chatcmpl-000000000000000000000000000000a1", "a counter with zeros before it"),
    ("00000000-0000-0000-0000-000000000000", "the nil UUID"),
    ("11111111-1111-4111-8111-111111111111", "a test's UUID"),
    ("00000000-0000-0000-0000-000000000123", "a counter dressed as a UUID"),
    ("chatcmpl-AbC123dEf456gHi", "15 random characters are too few"),
    ("ab1-cd2-ef3-gh4-ij5-kl6-mn7-op8", "many short parts are no long one"),
    ("9fAcadmLKt2u_uMP-s7vgAc", "Gemini: short parts, so told by the span instead"),
    ("", "nothing"),
    ("chatcmpl BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "a space cannot stand in an id"),
    ("chatcmpl/BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "nor a slash: it is a path"),
    ("chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa\n", "nor a line break at the end"),
    ("chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8f\x00", "nor NUL: Polar refuses the batch"),
    ("chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fG\u00e9", "nor a letter beyond ASCII"),
    ("\u0663" * 20 + "abcdefgh", "nor digits beyond ASCII"),
    ("b1c2d3e4f5g6h7i8j9k0" + "a" * 181, "201 characters are cut nowhere, so refused"),
]


@pytest.mark.parametrize(("response_id", "reason"), STRONG)
def test_an_id_that_was_drawn_at_random_is_strong(response_id: str, reason: str) -> None:
    """By it, a client, a proxy and a replay of the same answer are one event."""
    assert is_strong_id(response_id), reason


@pytest.mark.parametrize(("response_id", "reason"), WEAK)
def test_an_id_that_another_answer_may_have_is_weak(response_id: str, reason: str) -> None:
    """Polar keeps the first event of an external id for ever: a second call under it is never billed."""
    assert not is_strong_id(response_id), reason


def test_a_strong_id_names_the_call_together_with_its_provider() -> None:
    """Two providers may mint alike; one answer seen twice is still one."""
    call = model_call(response_id=STRONG_ID)
    seen_by_a_proxy = model_call(response_id=STRONG_ID, trace_id="1" * 32, span_id="2" * 16, start_time_unix_nano=5)

    assert external_id(call) == f"openai:{STRONG_ID}"
    assert external_id(seen_by_a_proxy) == external_id(call)
    assert external_id(model_call(response_id=STRONG_ID, provider="azure.ai.openai")) != external_id(call)


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        (None, "no provider"),
        ("", "an empty one"),
        ("my provider", "a space"),
        ("a\x00b", "NUL"),
        ("\ud800", "a lone surrogate: Polar answers 500"),
        ("x" * 201, "too long for a key"),
    ],
)
def test_an_unsafe_provider_does_not_enter_the_external_id(provider: str | None, reason: str) -> None:
    """The key goes into a unique index and out again unescaped."""
    assert external_id(model_call(response_id=STRONG_ID, provider=provider)) == f"unknown:{STRONG_ID}", reason


@pytest.mark.parametrize("response_id", [None, "chatcmpl-123"])
def test_a_call_without_a_strong_id_is_named_by_where_and_when_it_started(response_id: str | None) -> None:
    """The form is a contract: another version must find the same call again."""
    call = model_call(response_id=response_id, start_time_unix_nano=0x18AB)

    assert external_id(call) == f"{TRACE_ID}-{SPAN_ID}-18ab"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"start_time_unix_nano": unix_nano(START) + 1}, "an application that seeds random repeats its span ids"),
        ({"span_id": "1" * 16}, "two calls in one trace"),
        ({"trace_id": "1" * 32}, "the same span id in two traces"),
    ],
)
def test_two_calls_without_strong_ids_are_two(fields: dict[str, Any], reason: str) -> None:
    """Polar drops what it takes for a duplicate, silently and for ever."""
    assert external_id(model_call(**fields)) != external_id(model_call()), reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"end_time_unix_nano": 7}, "ended twice by a careless wrapper"),
        ({"customer": Customer(external_customer_id="other")}, "assigned to somebody by hand later"),
        ({"usage": tokens(1, 1)}, "read by a version that knows more spellings"),
        ({"tags": {"plan": "pro"}}, "tagged on one path and not on the other"),
        ({"service_name": "another"}, "seen by a Collector that renames services"),
        ({"response_model": None}, "read by a version that reads less"),
    ],
)
def test_what_is_read_of_a_call_later_does_not_change_its_name(fields: dict[str, Any], reason: str) -> None:
    """Retry, restart, replay and redelivery must name the same event, or it is billed again."""
    for response_id in (None, STRONG_ID):
        assert external_id(model_call(response_id=response_id, **fields)) == external_id(
            model_call(response_id=response_id)
        ), reason


SPAN_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        [
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.system",
            "gen_ai.request.model",
            "gen_ai.response.model",
            "gen_ai.response.id",
            "openai.response.service_tier",
            "server.address",
            *TOKENS,
        ]
    ),
    st.sampled_from(["chat", "invoke_agent", STRONG_ID])
    | st.text()
    | st.integers(0, 100)
    | st.floats()
    | st.booleans()
    | st.lists(st.text()).map(tuple),
)


@given(attributes=SPAN_ATTRIBUTES)
@settings(max_examples=300, deadline=None)
def test_any_span_is_a_call_or_not_one_and_never_an_exception(attributes: dict[str, object]) -> None:
    """It runs on the application's thread, on attributes anybody may have set."""
    answer = read_call(span(attributes))

    if isinstance(answer, ModelCall):
        key = external_id(answer)
        assert key.isascii()
        assert key.isprintable()
        assert len(key) <= 401
        assert isinstance(answer.usage, (TokenUsage, Unmetered))
    else:
        assert attributes.get("gen_ai.operation.name") not in BILLABLE_OPERATIONS


@given(response_id=st.from_regex(r"\A(chatcmpl|msg|resp)[-_][0-9A-Za-z]{1,15}\Z"))
@settings(max_examples=200, deadline=None)
def test_no_id_with_fewer_than_16_random_characters_is_strong(response_id: str) -> None:
    """Fewer do not last for ever, and the external id must."""
    assert not is_strong_id(response_id)


@pytest.mark.parametrize("constant", ["chatcmpl-FakeTestAnswerIdOne", "chatcmpl-MyTestIdForMockAnswer"])
def test_a_constant_made_of_words_is_weak(constant: str) -> None:
    """A stand-in answers every call with it: only the first would be billed."""
    assert not is_strong_id(constant)
