from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing import semconv
from otel_polar.billing.call import NO_TAGS, ModelCall
from otel_polar.billing.customer import NOBODY
from otel_polar.billing.reading import read_carefully
from otel_polar.billing.scopes import SCOPES_WITH_EXCEPTIONS
from otel_polar.billing.usage import MAX_TOKENS
from otel_polar.billing.usual import MAX_LAYOUT_CHARACTERS, MAX_LAYOUTS, _layout, read_usual
from tests.billing.support import span

CHAT: dict[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 142,
    "gen_ai.usage.cache_read.input_tokens": 512,
}
OPENINFERENCE: dict[str, object] = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o-mini",
    "llm.token_count.prompt": 812,
    "llm.token_count.completion": 142,
    "llm.token_count.prompt_details.audio": 0,
}


def usual(attributes: dict[str, object], **fields: Any) -> ModelCall | None:
    return read_usual(span(attributes, **fields), NOBODY, NO_TAGS)


@pytest.mark.parametrize("attributes", [CHAT, OPENINFERENCE])
def test_most_spans_are_usual(attributes: dict[str, object]) -> None:
    """What is read quickly is the rule: the other way takes five times as long on the caller's thread."""
    record = span(attributes)

    assert read_usual(record, NOBODY, NO_TAGS) == read_carefully(record)
    assert isinstance(read_usual(record, NOBODY, NO_TAGS), ModelCall)


@pytest.mark.parametrize(
    ("changes", "fields", "reason"),
    [
        ({"gen_ai.usage.input_tokens": 1.0}, {}, "a count of another type"),
        ({"gen_ai.usage.input_tokens": MAX_TOKENS + 1}, {}, "a count that cannot be"),
        ({"gen_ai.usage.cache_read.input_tokens": 813}, {}, "parts that do not add up"),
        ({"gen_ai.usage.audio.input_tokens": 3}, {}, "audio has a price of its own"),
        ({"gen_ai.request.model": ""}, {}, "a name that is none"),
        ({"gen_ai.request.model": "x" * 200}, {}, "a name that may have been cut"),
        ({}, {"attribute_length_limit": 30}, "names that may have been cut"),
        ({"gen_ai.operation.name": "invoke_agent"}, {}, "no call"),
        ({"gen_ai.operation.name": ["chat"]}, {}, "no word"),
        ({"openinference.span.kind": "AGENT"}, {}, "two words for what it is"),
        ({"logfire.span_type": "pending_span"}, {}, "a word against it"),
        ({"gen_ai.usage.raw": "{}"}, {}, "usage in text"),
        ({}, {"dropped_attributes": 1}, "something is missing"),
        ({}, {"name": "openai.responses.retrieve"}, "a name that tells"),
        ({}, {"name": "openai.response"}, "a name that may tell"),
        ({}, {"scope_name": min(SCOPES_WITH_EXCEPTIONS)}, "a scope with a rule of its own"),
        ({}, {"resource_attributes": {"service.name": 3}}, "an odd resource"),
    ],
)
def test_what_has_to_be_looked_at_twice_is_left_to_the_careful_way(
    changes: dict[str, object], fields: dict[str, Any], reason: str
) -> None:
    """Every exception is written down once, and not here."""
    assert usual({**CHAT, **changes}, **fields) is None, reason


VALUES = (
    st.sampled_from(["chat", "embeddings", "LLM", "AGENT", "openai", "gpt-4o-mini", "", "x" * 150, "None"])
    | st.integers(-2, 2_000)
    | st.sampled_from([MAX_TOKENS, MAX_TOKENS + 1, 10**5_000, True, 1.0, 1.5, None, ("a",), b"x"])
    | st.just(["unhashable"])
)
NAMES = st.sampled_from(
    [
        semconv.OPERATION_NAME,
        semconv.OPENINFERENCE_KIND,
        semconv.LOGFIRE_KIND,
        semconv.LANGSMITH_KIND,
        semconv.ERROR_TYPE,
        *semconv.PROVIDER_NAME,
        *semconv.REQUEST_MODEL,
        *semconv.RESPONSE_MODEL,
        *semconv.RESPONSE_ID,
        *semconv.SERVICE_TIER,
        *semconv.INPUT_TOKENS,
        *semconv.OUTPUT_TOKENS,
        *semconv.CACHE_READ_TOKENS,
        *semconv.CACHE_WRITE_TOKENS,
        *semconv.CACHE_WRITE_1H_TOKENS,
        *semconv.REASONING_TOKENS,
        *semconv.AUDIO_INPUT_TOKENS,
        *semconv.IMAGE_OUTPUT_TOKENS,
        *semconv.PROVIDER_USAGE,
    ]
)


@given(
    base=st.sampled_from([CHAT, OPENINFERENCE, {}]),
    changes=st.dictionaries(NAMES, VALUES, max_size=4),
    removed=st.sets(NAMES, max_size=2),
    name=st.sampled_from(
        ["chat gpt-4.1", "Response", "openai.response", "responses.retrieve x", "messages.count_tokens"]
    ),
    scope=st.sampled_from(["", "openinference.instrumentation.openai", *sorted(SCOPES_WITH_EXCEPTIONS)]),
    limit=st.sampled_from([None, 8, 100, 4_096]),
    dropped=st.sampled_from([0, 0, 0, 1]),
)
@settings(max_examples=1_000, deadline=None)
def test_the_quick_way_never_answers_otherwise_than_the_careful_one(
    base: dict[str, object],
    changes: dict[str, object],
    removed: set[str],
    name: str,
    scope: str,
    limit: int | None,
    dropped: int,
) -> None:
    """Two ways that differ would bill by chance."""
    attributes = {key: value for key, value in {**base, **changes}.items() if key not in removed}
    record = span(attributes, name=name, scope_name=scope, attribute_length_limit=limit, dropped_attributes=dropped)

    quick = read_usual(record, NOBODY, NO_TAGS)

    if quick is not None:
        careful = read_carefully(record)
        assert quick == careful
        assert isinstance(careful, ModelCall)
        assert [type(value) for value in quick] == [type(value) for value in careful]


def test_attributes_of_any_mapping_are_read() -> None:
    """The SDK hands them out in a proxy when it has no plain dictionary."""
    record = span(MappingProxyType(CHAT))

    assert read_usual(record, NOBODY, NO_TAGS) == read_carefully(record)


def test_the_memory_of_layouts_is_bounded() -> None:
    """Whoever sends spans chooses the names of attributes."""
    for number in range(3):
        huge = {**CHAT, f"{number}" + "x" * MAX_LAYOUT_CHARACTERS: 1}
        before = _layout.cache_info().currsize
        assert usual(huge) is None
        assert _layout.cache_info().currsize == before
    assert _layout.cache_info().maxsize == MAX_LAYOUTS
