"""Specifies what of an answer reaches the span, by hand-worked answers of each endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from otel_polar.billing.call import ModelCall
from otel_polar.billing.reading import read_call
from otel_polar.billing.usage import TokenUsage
from otel_polar.capture.openai.answers import Answer
from tests.billing.support import span


def usage_of(operation: str, *answers: object) -> object:
    """What billing reads on a span of ours with these answers."""
    answer = Answer()
    for each in answers:
        answer.learn(each)
    attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "openai", **answer.counts()}
    call = read_call(span(attributes))
    assert isinstance(call, ModelCall)
    return call.usage


CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 10, "audio_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 15, "audio_tokens": 5, "rejected_prediction_tokens": 3},
}


@pytest.mark.parametrize(
    ("operation", "usage", "counted"),
    [
        (
            "chat",
            CHAT,
            TokenUsage(40, 30, cache_read_tokens=30, cache_write_tokens=10, reasoning_tokens=15)._replace(
                audio_input_tokens=20, audio_output_tokens=5
            ),
        ),
        (
            "chat",
            {
                "input_tokens": 100,
                "output_tokens": 50,
                "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 15},
            },
            TokenUsage(70, 35, cache_read_tokens=30, reasoning_tokens=15),
        ),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, TokenUsage(8, 0)),
        (
            "image_generation",
            {
                "input_tokens": 60,
                "output_tokens": 1_000,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 50},
            },
            TokenUsage(10, 0, image_input_tokens=50, image_output_tokens=1_000),
        ),
        (
            "image_generation",
            {"input_tokens": 10, "output_tokens": 1_000, "output_tokens_details": {"image_tokens": 900}},
            TokenUsage(10, 100, image_output_tokens=900),
        ),
        (
            "speech_to_text",
            {
                "type": "tokens",
                "input_tokens": 14,
                "output_tokens": 45,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
            },
            TokenUsage(4, 45, audio_input_tokens=10),
        ),
        ("text_to_speech", {"input_tokens": 14, "output_tokens": 101}, TokenUsage(14, 0, audio_output_tokens=101)),
        (
            "chat",
            {
                "input_tokens": 100,
                "output_tokens": 10,
                "input_token_details": {
                    "cached_tokens": 30,
                    "audio_tokens": 60,
                    "cached_tokens_details": {"audio_tokens": 20},
                },
            },
            TokenUsage(30, 10, cache_read_tokens=10, audio_input_tokens=40, audio_cache_read_tokens=20),
        ),
    ],
    ids=["chat", "responses", "embeddings", "images", "images in parts", "transcription", "speech", "cached audio"],
)
def test_every_part_of_a_usage_is_counted_once(operation: str, usage: dict[str, Any], counted: TokenUsage) -> None:
    """Each endpoint has words of its own for them (openai-python, types)."""
    assert usage_of(operation, {"usage": usage}) == counted


def test_a_usage_by_the_second_has_no_tokens() -> None:
    """whisper-1 is paid by the minute."""
    assert Answer().counts() == {}
    answer = Answer()
    answer.learn({"usage": {"type": "duration", "seconds": 12.5}})
    assert answer.counts() == {}


@pytest.mark.parametrize(
    ("events", "names"),
    [
        (
            [{"id": "chatcmpl-1", "model": "gpt-4o", "service_tier": "auto"}, {"id": "chatcmpl-1", "usage": None}],
            {"gen_ai.response.id": "chatcmpl-1", "gen_ai.response.model": "gpt-4o", "tier": "auto"},
        ),
        (
            [
                {"type": "response.created", "response": {"id": "resp_1", "model": "a", "service_tier": "auto"}},
                {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "x"},
                {"type": "response.completed", "response": {"id": "resp_1", "model": "b", "service_tier": "flex"}},
            ],
            {"gen_ai.response.id": "resp_1", "gen_ai.response.model": "b", "tier": "flex"},
        ),
        ([None, [], "text", 5, {"id": 5, "model": "", "usage": "many", "response": []}], {}),
    ],
)
def test_the_last_word_of_an_answer_counts(events: list[object], names: dict[str, str]) -> None:
    """The tier is known only at the end; what is not of its kind says nothing."""
    answer = Answer()
    for event in events:
        answer.learn(event)

    told = {name.replace("openai.response.service_tier", "tier"): value for name, value in answer.names().items()}
    assert told == names


def test_a_step_of_an_assistants_run_does_not_count_for_the_run() -> None:
    """Each step has a usage of its own; the last event is the run's with the sum."""
    assert usage_of(
        "chat",
        {"object": "thread.run.step", "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        {"object": "thread.run", "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
        {"object": "thread.run.step", "usage": {"prompt_tokens": 2, "completion_tokens": 2}},
    ) == TokenUsage(10, 5)


def test_impossible_counts_reach_the_span_to_be_refused_there() -> None:
    """A call with a wrong count is held with its reason, not billed with the rest of it."""
    answer = Answer()
    details = {"cached_tokens": True, "audio_tokens": None}
    answer.learn({"usage": {"prompt_tokens": -1, "completion_tokens": 5.5, "prompt_tokens_details": details}})

    assert answer.counts() == {"gen_ai.usage.input_tokens": -1, "gen_ai.usage.output_tokens": 5.5}
