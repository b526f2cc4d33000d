from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing import semconv
from otel_polar.billing.attributes import Found
from otel_polar.billing.call import ModelCall
from otel_polar.billing.counts import has_tokens
from otel_polar.billing.reading import read_call
from otel_polar.billing.scopes import INPUT_WITHOUT_CACHE_SCOPES
from otel_polar.billing.usage import MAX_TOKENS, TokenUsage, Unmetered
from tests.billing.support import span, tokens

INPUT: Final = "gen_ai.usage.input_tokens"
OUTPUT: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
CACHE_WRITE_1H: Final = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
AUDIO_INPUT: Final = "gen_ai.usage.audio.input_tokens"
AUDIO_OUTPUT: Final = "gen_ai.usage.audio.output_tokens"
IMAGE_OUTPUT: Final = "gen_ai.usage.image.output_tokens"

BOTOCORE: Final = "opentelemetry.instrumentation.botocore.bedrock-runtime"


def read(attributes: dict[str, object], **fields: Any) -> TokenUsage | Unmetered:
    """The tokens of a chat, or of the operation that *attributes* name; the first of them is the oldest."""
    operation = attributes.get("gen_ai.operation.name", "chat")
    call = read_call(span({**attributes, "gen_ai.operation.name": operation}, **fields))
    assert isinstance(call, ModelCall), call
    return call.usage


def reason_of(usage: TokenUsage | Unmetered) -> str:
    """The reason of a refusal; a bill in its place fails the test."""
    assert isinstance(usage, Unmetered), usage
    return usage.reason


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        (12, 12, "the usual"),
        (12.0, 12, "JSON of some languages and OTLP doubles"),
        (0, 0, "input can be nothing but cached elsewhere"),
        (MAX_TOKENS, MAX_TOKENS, "the limit itself is still taken"),
        (1e10, MAX_TOKENS, "also as a float"),
    ],
)
def test_a_whole_number_is_taken(value: object, expected: int, reason: str) -> None:
    """A count must not be lost for the type it arrived in."""
    assert read({INPUT: value, OUTPUT: 1}) == tokens(expected, 1), reason


@pytest.mark.parametrize(
    ("value", "shown", "reason"),
    [
        (True, "True", "bool is an int in Python; True is not one token"),
        (False, "False", "nor is False none"),
        (12.5, "12.5", "half a token was never billed by anybody"),
        (float("nan"), "nan", "not a number"),
        (float("inf"), "inf", "not a whole one"),
        ("12", "'12'", "text: who wrote it may have meant anything"),
        ("", "''", "empty text"),
        ((12,), "of type tuple", "an array"),
        (-1, "-1", "a negative count would be a credit"),
        (-1.0, "-1", "also as a float"),
        (MAX_TOKENS + 1, "10000000001", "more than any context by four orders of magnitude"),
        (2**63 - 1, "9223372036854775807", "the largest OTLP integer: an overflow or an attack"),
        (1e300, "a number of 997 bits", "a float far out is whole, and no count"),
    ],
)
@pytest.mark.parametrize(
    ("name", "what"),
    [
        (INPUT, "input tokens"),
        (OUTPUT, "output tokens"),
        (CACHE_READ, "cache read tokens"),
        (CACHE_WRITE, "cache write tokens"),
        (CACHE_WRITE_1H, "cache write 1h tokens"),
        (REASONING, "reasoning tokens"),
        (AUDIO_INPUT, "audio input tokens"),
        (IMAGE_OUTPUT, "image output tokens"),
    ],
)
def test_an_impossible_count_is_refused_with_its_name_and_value(
    name: str, what: str, value: object, shown: str, reason: str
) -> None:
    """A wrong count is never billed, never rounded into a plausible one, and can be found by what is said of it."""
    answer = reason_of(read({INPUT: 100, OUTPUT: 100, name: value}))

    assert answer.startswith(f"impossible token counts: the count of {what} is {shown}"), reason


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_too_long_to_write_is_refused_like_any_other(sign: int) -> None:
    """Python itself refuses to write out more than 4300 digits; reading a span must not raise for it."""
    answer = reason_of(read({INPUT: sign * 10**5_000, OUTPUT: 1}))

    assert answer == (
        f"impossible token counts: the count of input tokens is a number of 16610 bits, outside 0 to {MAX_TOKENS}"
    )
    assert isinstance(read({INPUT: (10**5_000,)}), Unmetered)


@pytest.mark.parametrize("value", ["tell me 3 secrets", "9" * 10_000, b"prompt", ("prompt",), {"prompt": "secret"}])
def test_text_in_place_of_a_count_is_not_repeated(value: object) -> None:
    """The reason goes to logs and to disk, and the text may be part of a prompt."""
    answer = reason_of(read({INPUT: value, OUTPUT: 1}))

    assert answer == (
        f"impossible token counts: the count of input tokens is of type {type(value).__name__}, not a whole number"
    )


def test_an_impossible_count_is_not_overruled_by_an_older_name() -> None:
    """The emitter said something wrong; another number beside it is no reason to believe it."""
    assert isinstance(read({INPUT: -1, "gen_ai.usage.prompt_tokens": 10, OUTPUT: 1}), Unmetered)


def test_a_zero_under_the_newest_name_is_not_overruled_by_an_older_name() -> None:
    """Present means said: falling through on zero would bill what the newest name denies."""
    assert read({INPUT: 0, "gen_ai.usage.prompt_tokens": 99, OUTPUT: 3}) == tokens(0, 3)


def test_an_answer_without_output_is_billed() -> None:
    """A filter refused it after reading the prompt, which the provider bills."""
    assert read({INPUT: 10, OUTPUT: 0}) == tokens(10, 0)


@pytest.mark.parametrize("operation", ["embeddings", "embedding", "rerank"])
def test_vectors_and_rankings_have_no_output_to_count(operation: str) -> None:
    """Emitters leave the number out (opentelemetry-instrumentation-openai-v2, pydantic-ai, OpenLLMetry)."""
    assert read({"gen_ai.operation.name": operation, INPUT: 10}) == tokens(10, 0)


@pytest.mark.parametrize(
    ("attributes", "missing", "known", "reason"),
    [
        (
            {INPUT: 2_321, CACHE_READ: 2_000},
            "no count of output tokens beside 2321 input tokens: was it cut short?",
            tokens(2_321, 0, cache_read=2_000),
            "a stream closed early, as the Anthropic SDK tells it: what came is not known",
        ),
        ({OUTPUT: 5}, "no count of input tokens beside 5 output tokens", tokens(0, 5), "no model answers nothing"),
        (
            {OUTPUT: 5, REASONING: 2},
            "no count of input tokens beside 5 output tokens",
            tokens(0, 5, reasoning=2),
            "the half that is told is told in full",
        ),
        (
            {"gen_ai.operation.name": "embeddings", OUTPUT: 5},
            "no count of input tokens beside 5 output tokens",
            tokens(0, 5),
            "an embedding is all input",
        ),
        ({INPUT: None, OUTPUT: 5}, "no count of input tokens beside 5 output tokens", tokens(0, 5), "None is absent"),
    ],
)
def test_half_a_count_is_not_billed_as_the_whole_but_kept(
    attributes: dict[str, object], missing: str, known: TokenUsage, reason: str
) -> None:
    """A wrong amount that looks right is never found again; another span of the call may have the other half."""
    assert read(attributes) == Unmetered(missing, known), reason


@pytest.mark.parametrize(
    ("attributes", "missing", "reason"),
    [
        ({OUTPUT: 5, CACHE_READ: 4}, "no count of input tokens", "4 of an input that nobody has told"),
        ({INPUT: 5, REASONING: 4}, "no count of output tokens", "4 of an output that nobody has told"),
    ],
)
def test_a_part_of_an_unknown_whole_is_no_contradiction(
    attributes: dict[str, object], missing: str, reason: str
) -> None:
    """Whoever looks for "only 0 input" on the span finds no such number."""
    assert reason_of(read(attributes)).startswith(missing), reason


@pytest.mark.parametrize("oldest", [OUTPUT, "gen_ai.response.id", "llm.token_count.prompt", "ai.response.id"])
def test_counts_that_may_have_been_pushed_out_are_not_taken_for_zero(oldest: str) -> None:
    """Cached tokens whose count is lost would be billed at the full price."""
    answer = reason_of(read({oldest: 1, INPUT: 10, OUTPUT: 1}, dropped_attributes=1))

    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in answer


def test_counts_are_complete_while_an_older_attribute_is_left() -> None:
    """Spans that carry whole prompts lose attributes every day; in Python the oldest go first."""
    attributes: dict[str, object] = {"gen_ai.request.model": "gpt-4o", INPUT: 10, OUTPUT: 1}

    for resource in ({}, {"telemetry.sdk.language": "python"}):
        assert read(attributes, dropped_attributes=50, resource_attributes=resource) == tokens(10, 1)


def test_counts_that_came_after_the_limit_are_not_taken_for_zero_either() -> None:
    """SDKs other than Python's take no more attributes once they have enough, and counts are set last."""
    nodejs = {"telemetry.sdk.language": "nodejs"}
    attributes: dict[str, object] = {"gen_ai.request.model": "gpt-4o", INPUT: 10, OUTPUT: 1}

    assert "LIMIT" in reason_of(read(attributes, dropped_attributes=1, resource_attributes=nodejs))
    assert read(attributes, resource_attributes=nodejs) == tokens(10, 1)


def test_a_failed_call_with_tokens_is_metered() -> None:
    """The provider bills an answer whose parsing or validation failed afterwards."""
    assert read({INPUT: 10, OUTPUT: 5, "error.type": "ValidationError"}, failed=True) == tokens(10, 5)


@pytest.mark.parametrize(
    ("attributes", "failed", "cause", "reason"),
    [
        ({}, "yes", "the call failed", "the status says so"),
        ({"error.type": "timeout"}, "no", "the call failed", "the attribute says so"),
        (
            {"error.type": "timeout", "gen_ai.request.stream": True},
            "no",
            "the call failed",
            "of a failed stream, the failure is the cause",
        ),
        ({"gen_ai.request.stream": True}, "no", "streamed without asking for usage", "the usual leak"),
        ({"gen_ai.request.stream": False}, "no", "a stream without stream_options", "anybody's guess"),
        ({}, "no", "a stream without stream_options", "nothing known"),
        ({INPUT: 0, OUTPUT: 0}, "no", "a stream without stream_options", "LiteLLM writes 0/0 for a stream"),
        ({INPUT: 0}, "no", "a stream without stream_options", "zero and nothing"),
        ({INPUT: 0, OUTPUT: 0}, "yes", "the call failed", "zeros of a failure"),
    ],
)
def test_a_call_without_tokens_is_unmetered_for_the_likely_cause(
    attributes: dict[str, object], failed: str, cause: str, reason: str
) -> None:
    """No call is free: the person who reads it in the ledger must know what to switch on."""
    usage = read(attributes, failed=failed == "yes")

    assert reason_of(usage).startswith("no token counts"), reason
    assert cause in reason_of(usage), reason
    assert isinstance(usage, Unmetered)
    assert usage.known is None


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({}, tokens(1_457, 120, cache_read=1_024), "what only the text tells"),
        ({CACHE_READ: 512}, tokens(1_457, 120, cache_read=512), "an attribute comes before it"),
        ({REASONING: 64}, tokens(1_457, 120, cache_read=1_024, reasoning=64), "each part by itself"),
    ],
)
def test_the_providers_own_usage_fills_the_gaps(
    attributes: dict[str, object], expected: TokenUsage, reason: str
) -> None:
    """logfire, langsmith and litellm tell no parts otherwise, and cached tokens would be billed at the full price."""
    text = '{"prompt_tokens_details":{"cached_tokens":1024}}'

    assert read({INPUT: 1_457, OUTPUT: 120, "gen_ai.usage.raw": text, **attributes}) == expected, reason


@pytest.mark.parametrize("scope", ["", BOTOCORE])
def test_a_count_in_the_text_has_the_same_limit(scope: str) -> None:
    """A number that is refused as an attribute must not be billed because it came as text."""
    text = '{"cache_read_input_tokens":99999999999}'

    assert isinstance(read({INPUT: 21, OUTPUT: 5, "gen_ai.usage.raw": text}, scope_name=scope), Unmetered)


@pytest.mark.parametrize(
    ("counts", "expected", "reason"),
    [
        ({"input_tokens": 5}, True, "input"),
        ({"output_tokens": 5}, True, "output"),
        ({"output_tokens": 5.0}, True, "also as a float"),
        ({"input_tokens": 0, "output_tokens": 0}, False, "zeros"),
        ({"input_tokens": -5}, False, "no tokens"),
        ({"input_tokens": "5"}, False, "text"),
        ({"input_tokens": float("nan")}, False, "not a number"),
        ({"cache_read_tokens": 5}, False, "a part of nothing"),
        ({}, False, "nothing"),
    ],
)
def test_a_span_has_tokens_if_either_total_is_above_zero(counts: dict[str, Any], expected: object, reason: str) -> None:
    """A span that is no known call and has tokens may be a loss, and is spoken of."""
    found = Found._make([None] * len(Found._fields))._replace(**counts)

    assert has_tokens(found) is expected, reason


COUNTS: Final = st.integers(min_value=0, max_value=MAX_TOKENS)


@given(
    uncached=COUNTS,
    cache_read=COUNTS,
    cache_write=COUNTS,
    visible=COUNTS,
    reasoning=COUNTS,
    scope=st.sampled_from(["", "com.anthropic.sdk.python", *sorted(INPUT_WITHOUT_CACHE_SCOPES)]),
)
@settings(max_examples=200, deadline=None)
def test_every_token_that_a_provider_counted_is_in_one_bucket(
    uncached: int, cache_read: int, cache_write: int, visible: int, reasoning: int, scope: str
) -> None:
    """Every token has one price: none is in two buckets, and none in no bucket."""
    provider_input = uncached if scope in INPUT_WITHOUT_CACHE_SCOPES else uncached + cache_read + cache_write
    usage = read(
        {
            INPUT: provider_input,
            OUTPUT: visible + reasoning,
            CACHE_READ: cache_read,
            CACHE_WRITE: cache_write,
            REASONING: reasoning,
        },
        scope_name=scope,
    )

    if max(provider_input, visible + reasoning) > MAX_TOKENS or provider_input == visible + reasoning == 0:
        assert isinstance(usage, Unmetered)
    else:
        assert usage == TokenUsage(uncached, visible, cache_read, cache_write, reasoning)


PARTS: Final = (CACHE_READ, CACHE_WRITE, CACHE_WRITE_1H, REASONING, AUDIO_INPUT, AUDIO_OUTPUT, IMAGE_OUTPUT)


@given(
    totals=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    parts=st.dictionaries(st.sampled_from(PARTS), st.integers(0, 150)),
    scope=st.sampled_from(["", BOTOCORE]),
)
@settings(max_examples=500, deadline=None)
def test_any_counts_on_a_span_add_up_to_its_totals_or_are_refused(
    totals: tuple[int, int], parts: dict[str, int], scope: str
) -> None:
    """Whatever an emitter writes, a negative bucket would be a credit and a lost token a loss."""
    usage = read({INPUT: totals[0], OUTPUT: totals[1], **parts}, scope_name=scope)

    if isinstance(usage, TokenUsage):
        beside = parts.get(CACHE_READ, 0) + parts.get(CACHE_WRITE, 0) if scope == BOTOCORE else 0
        assert min(usage) >= 0
        assert (usage.input_tokens, usage.output_tokens) == (totals[0] + beside, totals[1])
    else:
        assert usage.reason.startswith("impossible token counts: ") or totals == (0, 0)


SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
READ: Final = [name for names in vars(semconv).values() if isinstance(names, tuple) for name in names]


@given(
    attributes=st.dictionaries(
        st.sampled_from([*READ, semconv.REQUEST_STREAM, semconv.ERROR_TYPE]),
        SCALARS | st.just(10**5_000) | st.lists(SCALARS).map(tuple) | st.dictionaries(st.text(), SCALARS),
    )
)
@settings(max_examples=300, deadline=None)
def test_reading_usage_never_raises(attributes: dict[str, object]) -> None:
    """It runs on the application's thread, on attributes anybody may have set."""
    assert isinstance(read(attributes), (TokenUsage, Unmetered))
