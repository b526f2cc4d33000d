from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.call import ModelCall, external_id
from otel_polar.billing.customer import Customer
from tests.billing.support import SPAN_ID, START, TRACE_ID, model_call, tokens, unix_nano

STRONG_ID: Final = "chatcmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa"
ANYBODYS_ID: Final = "e5cc70bb28c444948073e77776eb30ef"


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


@pytest.mark.parametrize(
    ("response_id", "expected", "reason"),
    [
        (STRONG_ID, STRONG_ID, "drawn at random"),
        ("chatcmpl-123", None, "another answer may have it"),
        (None, None, "none"),
    ],
)
def test_only_a_strong_id_tells_two_answers_apart(response_id: str | None, expected: str | None, reason: str) -> None:
    """Two calls under one id are one event, and the second is never billed."""
    assert model_call(response_id=response_id).strong_id == expected, reason


@pytest.mark.parametrize(
    ("response_id", "provider", "expected", "reason"),
    [
        (STRONG_ID, "openai", "openai", "chat completions"),
        (STRONG_ID, "azure.ai.openai", "openai", "the client says openai, the proxy azure"),
        (STRONG_ID, None, "openai", "a layer that names nobody"),
        ("resp_68f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f7", "azure.ai.openai", "openai", "responses"),
        ("cmpl-BxQ2mTzV0p9LkR7sYwJ3hN5cD8fGa", "together", "openai", "whoever mints in OpenAI's form"),
        ("msg_bdrk_01XFDUDYJgAACzvnptvVoYEL", "aws.bedrock", "anthropic", "Anthropic on Bedrock"),
        ("gen-1763640000-Xy7KqP2mVb9TzR4wLs0N", "openai", "openrouter", "OpenAI's client talks to OpenRouter"),
        (ANYBODYS_ID, "mistral_ai", "mistral_ai", "a form that tells nobody: the provider"),
        (ANYBODYS_ID, "deepseek", "deepseek", "two providers may mint alike"),
    ],
)
def test_a_strong_id_names_the_call_together_with_its_issuer(
    response_id: str, provider: str | None, expected: str, reason: str
) -> None:
    """A client and a proxy that saw one answer name one event, whatever they call the provider."""
    call = model_call(response_id=response_id, provider=provider)
    seen_by_a_proxy = call._replace(trace_id="1" * 32, span_id="2" * 16, start_time_unix_nano=5, scope_name="litellm")

    assert external_id(call) == external_id(seen_by_a_proxy) == f"{expected}:{response_id}", reason


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
    assert external_id(model_call(response_id=ANYBODYS_ID, provider=provider)) == f"unknown:{ANYBODYS_ID}", reason


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
        ({"dialect": "OpenInference"}, "told by another instrumentation of the same client"),
        ({"operation": "generate_content"}, "told under another word"),
    ],
)
def test_what_is_read_of_a_call_later_does_not_change_its_name(fields: dict[str, Any], reason: str) -> None:
    """Retry, restart, replay and redelivery must name the same event, or it is billed again."""
    for response_id in (None, STRONG_ID, ANYBODYS_ID):
        assert external_id(model_call(response_id=response_id, **fields)) == external_id(
            model_call(response_id=response_id)
        ), reason


@given(response_id=st.none() | st.text(), provider=st.none() | st.text())
@settings(max_examples=200, deadline=None)
def test_every_external_id_can_be_a_key(response_id: str | None, provider: str | None) -> None:
    """It goes into a unique index, a log line and a URL."""
    key = external_id(model_call(response_id=response_id, provider=provider))

    assert key.isascii()
    assert key.isprintable()
    assert 0 < len(key) <= 401


def test_a_call_says_nothing_that_it_was_not_told() -> None:
    """What is left out is absent, and never another call's."""
    call = model_call()

    assert isinstance(call, ModelCall)
    assert (dict(call.tags), call.parent_span_id, call.process, call.dialect, call.is_total) == (
        {},
        None,
        "",
        "",
        False,
    )
