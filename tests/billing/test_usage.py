from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing import semconv
from otel_polar.billing.usage import INPUT_WITHOUT_CACHE_SCOPES, MAX_TOKENS, TokenUsage, Unmetered, read_usage
from tests.billing.support import span, tokens

INPUT = "gen_ai.usage.input_tokens"
OUTPUT = "gen_ai.usage.output_tokens"
CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens"
REASONING = "gen_ai.usage.reasoning.output_tokens"
BOTOCORE = "opentelemetry.instrumentation.botocore.bedrock-runtime"
GENAI_BEDROCK = "opentelemetry.instrumentation.genai.bedrock"
CACHE_WRITE_1H = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
OPENLLMETRY_BEDROCK = "opentelemetry.instrumentation.bedrock"
OPENLIT_ANTHROPIC = "openlit.instrumentation.anthropic"


def read(attributes: dict[str, object], **fields: Any) -> TokenUsage | Unmetered:
    return read_usage(span(attributes, **fields))


def reason_of(usage: TokenUsage | Unmetered) -> str:
    """The reason of a refusal; a bill in its place fails the test."""
    assert isinstance(usage, Unmetered), usage
    return usage.reason


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({INPUT: 10, OUTPUT: 2}, tokens(10, 2), "the current names"),
        (
            {"gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2},
            tokens(10, 2),
            "deprecated since 1.27, still written by Traceloop and Strands",
        ),
        ({INPUT: 10, "gen_ai.usage.completion_tokens": 2}, tokens(10, 2), "generations mixed: each name on its own"),
        ({INPUT: 10, OUTPUT: 2, CACHE_READ: 4}, tokens(10, 2, cache_read=4), "cached tokens, current name"),
        (
            {INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_read_input_tokens": 4},
            tokens(10, 2, cache_read=4),
            "cached tokens as OpenLLMetry and Strands write them",
        ),
        ({INPUT: 10, OUTPUT: 2, CACHE_WRITE: 4}, tokens(10, 2, cache_write=4), "cache writes, current name"),
        (
            {INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_creation.input_tokens": 4},
            tokens(10, 2, cache_write=4),
            "cache writes before the renaming of semantic-conventions-genai #440",
        ),
        (
            {INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_write_input_tokens": 4},
            tokens(10, 2, cache_write=4),
            "cache writes as Strands writes them",
        ),
        (
            {INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_creation_input_tokens": 4},
            tokens(10, 2, cache_write=4),
            "cache writes as OpenLLMetry writes them",
        ),
        ({INPUT: 10, OUTPUT: 5, REASONING: 3}, tokens(10, 5, reasoning=3), "reasoning, current name"),
        (
            {INPUT: 10, OUTPUT: 5, "gen_ai.usage.reasoning_tokens": 3},
            tokens(10, 5, reasoning=3),
            "reasoning as OpenLLMetry and OpenLIT write it",
        ),
    ],
)
def test_tokens_are_read_under_every_spelling(attributes: dict[str, object], expected: TokenUsage, reason: str) -> None:
    """Emitters of four years are in use at once, and a spelling that is not read is a bucket billed wrongly."""
    assert read(attributes) == expected, reason


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (semconv.INPUT_TOKENS, "Strands writes both generations side by side"),
        (semconv.OUTPUT_TOKENS, "the same for output"),
        (semconv.CACHE_READ_TOKENS, "two names, one cache"),
        (semconv.CACHE_WRITE_TOKENS, "four names, one cache"),
        (semconv.REASONING_TOKENS, "two names, one thought"),
    ],
)
def test_the_newest_spelling_wins_and_nothing_is_added_up(names: semconv.Names, reason: str) -> None:
    """The same number under two names, added, is the call billed twice."""
    totals: dict[str, object] = {INPUT: 1_000, OUTPUT: 1_000}
    spellings: dict[str, object] = {name: 500 - index for index, name in enumerate(names)}

    all_of_them = read({**totals, **spellings})
    newest_only = read({**totals, names[0]: 500})

    assert all_of_them == newest_only, reason


def test_spellings_are_looked_for_in_order_whatever_the_order_on_the_span() -> None:
    """Attributes come in the order they were set; which one is billed must not depend on it."""
    assert read({"gen_ai.usage.prompt_tokens": 99, INPUT: 10, OUTPUT: 1}) == tokens(10, 1)


def test_a_zero_under_the_newest_name_is_not_overruled_by_an_older_name() -> None:
    """Present means said: falling through on zero would bill what the newest name denies."""
    usage = read({INPUT: 0, "gen_ai.usage.prompt_tokens": 99, OUTPUT: 3})

    assert usage == tokens(0, 3)


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
        (None, "None", "present and nothing"),
        ((12,), "of type tuple", "an array"),
        (-1, "-1", "a negative count would be a credit"),
        (-1.0, "-1", "also as a float"),
        (MAX_TOKENS + 1, "10000000001", "more than any context by four orders of magnitude"),
        (2**63 - 1, "9223372036854775807", "the largest OTLP integer: an overflow or an attack"),
        (1e300, "a number of 997 bits", "a float far out is whole, and no count"),
    ],
)
@pytest.mark.parametrize("name", [INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING])
def test_an_impossible_count_is_refused_with_its_name_and_value(
    name: str, value: object, shown: str, reason: str
) -> None:
    """A wrong count is never billed, never rounded into a plausible one, and can be found by what is said of it."""
    answer = reason_of(read({INPUT: 100, OUTPUT: 100, name: value}))

    assert answer.startswith(f"impossible token counts: {name} is {shown}"), reason


def test_a_number_too_long_to_write_is_refused_like_any_other() -> None:
    """Python itself refuses to write out more than 4300 digits; reading a span must not raise for it."""
    answer = reason_of(read({INPUT: 10**5_000, OUTPUT: 1}))

    assert answer == f"impossible token counts: {INPUT} is a number of 16610 bits, outside 0 to {MAX_TOKENS}"


@pytest.mark.parametrize("value", ["tell me 3 secrets", "9" * 10_000, b"prompt", ("prompt",)])
def test_text_in_place_of_a_count_is_not_repeated(value: object) -> None:
    """The reason goes to logs and to disk, and the text may be part of a prompt."""
    answer = reason_of(read({INPUT: value, OUTPUT: 1}))

    assert answer.startswith(f"impossible token counts: {INPUT} is of type {type(value).__name__}, not a whole number")


def test_an_impossible_count_is_not_overruled_by_an_older_name() -> None:
    """The emitter said something wrong; another number beside it is no reason to believe it."""
    assert isinstance(read({INPUT: -1, "gen_ai.usage.prompt_tokens": 10, OUTPUT: 1}), Unmetered)


def test_an_answer_without_output_is_billed() -> None:
    """A filter refused it after reading the prompt, which the provider bills."""
    assert read({INPUT: 10, OUTPUT: 0}) == tokens(10, 0)


def test_an_embedding_has_no_output_to_count() -> None:
    """Emitters leave the number out (opentelemetry-instrumentation-openai-v2, pydantic-ai, OpenLLMetry)."""
    assert read({"gen_ai.operation.name": "embeddings", INPUT: 10}) == tokens(10, 0)


@pytest.mark.parametrize(
    ("attributes", "missing", "reason"),
    [
        ({INPUT: 2_321}, "output", "a stream closed early, as the Anthropic SDK tells it: what came is not known"),
        ({OUTPUT: 5}, "input", "no model answers nothing"),
        ({"gen_ai.operation.name": "embeddings", OUTPUT: 5}, "input", "an embedding is all input"),
    ],
)
def test_half_a_count_is_not_billed_as_the_whole(attributes: dict[str, object], missing: str, reason: str) -> None:
    """A wrong amount that looks right is never found again; a held call is."""
    answer = reason_of(read(attributes))

    assert answer.startswith(f"no count of {missing} tokens"), reason


@pytest.mark.parametrize("oldest", [OUTPUT, "gen_ai.response.id"])
def test_counts_that_may_have_been_pushed_out_are_not_taken_for_zero(oldest: str) -> None:
    """Cached tokens whose count is lost would be billed at the full price."""
    answer = reason_of(read({oldest: 1, INPUT: 10, OUTPUT: 1}, dropped_attributes=1))

    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in answer


def test_counts_are_complete_while_an_older_attribute_is_left() -> None:
    """Spans that carry whole prompts lose attributes every day; the oldest go first."""
    usage = read({"gen_ai.request.model": "gpt-4o", INPUT: 10, OUTPUT: 1}, dropped_attributes=50)

    assert usage == tokens(10, 1)


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
    answer = reason_of(read(attributes, failed=failed == "yes"))

    assert answer.startswith("no token counts"), reason
    assert cause in answer, reason


def test_cached_tokens_leave_the_input_they_are_part_of() -> None:
    """Cached and uncached have two prices: in both buckets, a token is billed twice."""
    usage = read({INPUT: 812, OUTPUT: 142, CACHE_READ: 500, CACHE_WRITE: 12, REASONING: 42})

    assert usage == TokenUsage(
        uncached_input_tokens=300,
        visible_output_tokens=100,
        cache_read_tokens=500,
        cache_write_tokens=12,
        reasoning_tokens=42,
    )


def test_the_totals_are_those_of_the_conventions() -> None:
    """The event's totals are compared with the provider's own dashboard."""
    usage = read({INPUT: 812, OUTPUT: 142, CACHE_READ: 500, CACHE_WRITE: 12, REASONING: 42})

    assert isinstance(usage, TokenUsage)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (812, 142, 954)


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        (BOTOCORE, "4 input beside 18131 cached, in a recorded Bedrock call"),
        (GENAI_BEDROCK, "the same number from the official successor"),
        (OPENLLMETRY_BEDROCK, "the same number, of Converse and InvokeModel"),
        (OPENLIT_ANTHROPIC, "21 input beside 2300 cached, in a recorded call"),
    ],
)
def test_scopes_that_leave_cached_tokens_out_of_the_input_have_them_added(scope: str, reason: str) -> None:
    """Bedrock's and Anthropic's own numbers exclude them; taken as included, the call is refused or under-billed."""
    usage = read({INPUT: 4, OUTPUT: 10, CACHE_READ: 18_000, CACHE_WRITE: 131}, scope_name=scope)

    assert usage == tokens(18_135, 10, cache_read=18_000, cache_write=131), reason


def test_only_known_scopes_count_cached_tokens_beside_the_input() -> None:
    """A scope that is not in the table follows the conventions; a guess from the numbers would bill twice."""
    assert {BOTOCORE, GENAI_BEDROCK, OPENLLMETRY_BEDROCK, OPENLIT_ANTHROPIC} == INPUT_WITHOUT_CACHE_SCOPES
    assert read({INPUT: 1_000, OUTPUT: 1, CACHE_READ: 400}, scope_name=f"{BOTOCORE}.mine") == tokens(
        1_000, 1, cache_read=400
    )


@pytest.mark.parametrize(
    ("attributes", "numbers", "reason"),
    [
        ({INPUT: 200, CACHE_READ: 800}, ("800", "200"), "the exclusive style of a scope that is not in the table"),
        ({INPUT: 200, CACHE_WRITE: 201}, ("201", "200"), "one more written than there was"),
        ({INPUT: 200, CACHE_READ: 101, CACHE_WRITE: 100}, ("101", "100", "200"), "neither alone, but together"),
        ({INPUT: 0, CACHE_READ: 7}, ("7", "0"), "cached without any input"),
    ],
)
def test_more_cached_than_input_is_refused_with_the_numbers(
    attributes: dict[str, object], numbers: tuple[str, ...], reason: str
) -> None:
    """Clamping to zero would bill a plausible, wrong amount; the numbers show which emitter does it."""
    answer = reason_of(read({OUTPUT: 5, **attributes}))

    assert answer.startswith("impossible token counts: "), reason
    assert set(numbers) <= set(answer.replace(",", "").split()), reason


def test_more_reasoning_than_output_is_refused_with_both_numbers() -> None:
    """Reasoning is part of the output; a negative rest would be a credit."""
    answer = reason_of(read({INPUT: 10, OUTPUT: 5, REASONING: 6}))

    assert answer == "impossible token counts: 6 reasoning tokens in only 5 output tokens"


@pytest.mark.parametrize(
    ("attributes", "expected", "reason"),
    [
        ({INPUT: 8, OUTPUT: 1, CACHE_READ: 8}, tokens(8, 1, cache_read=8), "all of the input was cached"),
        ({INPUT: 8, OUTPUT: 1, CACHE_WRITE: 8}, tokens(8, 1, cache_write=8), "all of it was written to the cache"),
        ({INPUT: 8, OUTPUT: 5, REASONING: 5}, tokens(8, 5, reasoning=5), "it thought and said nothing"),
    ],
)
def test_a_part_may_be_the_whole(attributes: dict[str, object], expected: TokenUsage, reason: str) -> None:
    """The limit is met by real calls and must not be refused."""
    assert read(attributes) == expected, reason


COUNTS = st.integers(min_value=0, max_value=MAX_TOKENS)


@given(
    uncached=COUNTS,
    cache_read=COUNTS,
    cache_write=COUNTS,
    visible=COUNTS,
    reasoning=COUNTS,
    scope=st.sampled_from(["", "com.anthropic.sdk.python", BOTOCORE, GENAI_BEDROCK]),
)
@settings(max_examples=200, deadline=None)
def test_buckets_are_disjoint_and_add_up_to_what_the_provider_counted(
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


@given(
    counts=st.dictionaries(st.sampled_from([INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING]), st.integers(0, 2_000)),
    scope=st.sampled_from(["", BOTOCORE]),
)
@settings(max_examples=300, deadline=None)
def test_any_counts_give_buckets_of_at_least_zero_that_add_up_or_a_refusal(counts: dict[str, int], scope: str) -> None:
    """Whatever an emitter writes, a negative bucket would be a credit and a lost token a loss."""
    usage = read(dict(counts), scope_name=scope)

    if isinstance(usage, TokenUsage):
        cached = usage.cache_read_tokens + usage.cache_write_tokens
        expected_input = counts.get(INPUT, 0) + (cached if scope == BOTOCORE else 0)
        buckets = (usage.uncached_input_tokens, usage.visible_output_tokens, cached, usage.reasoning_tokens)
        assert min(buckets) >= 0
        assert (usage.input_tokens, usage.output_tokens) == (expected_input, counts.get(OUTPUT, 0))
        assert usage.total_tokens == sum(buckets)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
ALL_NAMES = (
    *semconv.INPUT_TOKENS,
    *semconv.OUTPUT_TOKENS,
    *semconv.CACHE_READ_TOKENS,
    *semconv.CACHE_WRITE_TOKENS,
    *semconv.REASONING_TOKENS,
    semconv.REQUEST_STREAM,
    semconv.ERROR_TYPE,
)


@given(
    attributes=st.dictionaries(st.sampled_from(ALL_NAMES), SCALARS | st.just(10**5_000) | st.lists(SCALARS).map(tuple))
)
@settings(max_examples=300, deadline=None)
def test_reading_usage_never_raises(attributes: dict[str, object]) -> None:
    """It runs on the application's thread, on attributes anybody may have set."""
    assert isinstance(read(attributes), (TokenUsage, Unmetered))


def test_a_number_too_long_to_write_in_an_array_is_refused_too() -> None:
    """Python refuses to write it, which must not cost the call its record."""
    assert isinstance(read({INPUT: (10**5_000,)}), Unmetered)


def test_cache_writes_of_an_hour_are_a_bucket_of_their_own() -> None:
    """Anthropic asks 2 times the input price for them, and 1.25 times for five minutes."""
    usage = read({INPUT: 2_321, OUTPUT: 77, CACHE_READ: 2_000, CACHE_WRITE: 300, CACHE_WRITE_1H: 100})

    assert usage == TokenUsage(
        uncached_input_tokens=21,
        visible_output_tokens=77,
        cache_read_tokens=2_000,
        cache_write_tokens=200,
        cache_write_1h_tokens=100,
    )
    assert (usage.input_tokens, usage.all_cache_write_tokens) == (2_321, 300)


def test_more_written_for_an_hour_than_written_at_all_is_refused() -> None:
    """It is a part of the writes."""
    answer = reason_of(read({INPUT: 500, OUTPUT: 1, CACHE_WRITE: 100, CACHE_WRITE_1H: 101}))

    assert answer == "impossible token counts: 101 written to cache for an hour, of only 100 written to it"
