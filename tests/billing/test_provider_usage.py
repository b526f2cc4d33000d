from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.attributes import Found
from otel_polar.billing.provider_usage import MAX_TEXT_CHARACTERS, read_provider_usage

if TYPE_CHECKING:
    from collections.abc import Callable

OPENAI_CHAT: Final = (
    '{"completion_tokens":120,"prompt_tokens":1457,"total_tokens":1577,'
    '"completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":64,'
    '"rejected_prediction_tokens":0},"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":1024}}'
)
ANTHROPIC: Final = (
    '{"cache_creation":{"ephemeral_1h_input_tokens":100,"ephemeral_5m_input_tokens":200},'
    '"cache_creation_input_tokens":300,"cache_read_input_tokens":2000,"input_tokens":21,"output_tokens":77}'
)
CACHED_AND_REASONED: Final = {"cache_read_tokens": 1_024, "reasoning_tokens": 64}
ALL_OF_ANTHROPIC: Final = {"cache_read_tokens": 2_000, "cache_write_tokens": 300, "cache_write_1h_tokens": 100}


@pytest.mark.parametrize(
    ("text", "expected", "emitter"),
    [
        (OPENAI_CHAT, CACHED_AND_REASONED, "logfire, OpenAI's chat completions"),
        (
            (
                '{"input_tokens":1457,"input_tokens_details":{"cached_tokens":1024},"output_tokens":120,'
                '"output_tokens_details":{"reasoning_tokens":64},"total_tokens":1577}'
            ),
            CACHED_AND_REASONED,
            "logfire, OpenAI's responses",
        ),
        (
            '{"input_tokens":14,"output_tokens":45,"input_token_details":{"audio_tokens":14,"text_tokens":0}}',
            {"audio_input_tokens": 14},
            "logfire, a transcription",
        ),
        (
            (
                '{"input_tokens":50,"input_tokens_details":{"image_tokens":40,"text_tokens":10},"output_tokens":1056,'
                '"output_tokens_details":{"image_tokens":1000,"text_tokens":56}}'
            ),
            {"image_input_tokens": 40, "image_output_tokens": 1_000},
            "logfire, an image made of an image",
        ),
        (ANTHROPIC, ALL_OF_ANTHROPIC, "logfire, Anthropic"),
        (
            (
                '{"input_tokens":1457,"output_tokens":120,"total_tokens":1577,"input_token_details":{"audio":0,'
                '"cache_read":1024},"output_token_details":{"audio":0,"reasoning":64}}'
            ),
            CACHED_AND_REASONED,
            "langsmith, OpenAI",
        ),
        (
            (
                '{"input_token_details":{"audio":30,"cache_creation":300,"cache_read":2000},'
                '"output_token_details":{"audio":20,"reasoning":5}}'
            ),
            {
                "audio_input_tokens": 30,
                "cache_write_tokens": 300,
                "cache_read_tokens": 2_000,
                "audio_output_tokens": 20,
                "reasoning_tokens": 5,
            },
            "langsmith, every part that LangChain knows",
        ),
        (
            (
                '{"input_tokens":2321,"input_token_details":{"cache_read":2000,"cache_creation":0,'
                '"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100}}'
            ),
            ALL_OF_ANTHROPIC,
            "langsmith, Anthropic: langchain-anthropic sets cache_creation to 0 where it tells the two kinds of it",
        ),
        (
            (
                "{'completion_tokens': 120, 'prompt_tokens': 1457, 'total_tokens': 1577, 'completion_tokens_details':"
                " {'accepted_prediction_tokens': 0, 'audio_tokens': None, 'reasoning_tokens': 64},"
                " 'prompt_tokens_details': {'audio_tokens': None, 'cached_tokens': 1024, 'text_tokens': None}}"
            ),
            CACHED_AND_REASONED,
            "litellm, as Python writes it",
        ),
        (
            (
                "{'prompt_tokens_details': {'cached_tokens': 2000, 'cache_creation_token_details':"
                " {'ephemeral_5m_input_tokens': 200, 'ephemeral_1h_input_tokens': 100}}, 'cache_creation_input_tokens':"
                " 300, 'cache_read_input_tokens': 2000}"
            ),
            ALL_OF_ANTHROPIC,
            "litellm, Anthropic, with details within details",
        ),
        (
            (
                '{"anthropic":{"usage":{"input_tokens":21,"cache_creation_input_tokens":300,"cache_read_input_tokens":2000,'
                '"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100}},'
                '"cacheCreationInputTokens":300}}'
            ),
            ALL_OF_ANTHROPIC,
            "Vercel AI SDK, Anthropic",
        ),
        (
            '{"openai":{"acceptedPredictionTokens":0,"rejectedPredictionTokens":0}}',
            {},
            "Vercel AI SDK, OpenAI: nothing that is billed",
        ),
    ],
)
def test_the_parts_that_attributes_lack_are_read_off_the_text(
    text: str, expected: dict[str, int], emitter: str
) -> None:
    """Without them cached tokens are billed at the full price."""
    assert read_provider_usage(text) == expected, emitter


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ('{"prompt_tokens_details":{"cached_tokens":1024', {}, "a number may have been cut: 1024 of 10240"),
        ('{"prompt_tokens_details":{"cached_tokens":10\u2026[len=212]', {}, "the same with a mark of the cut"),
        ('{"prompt_tokens_details":{"cached_tokens":1024,', {"cache_read_tokens": 1_024}, "whole before the cut"),
        ('{"prompt_tokens_details":{"cached_tokens":1024}', {"cache_read_tokens": 1_024}, "the same at the end"),
        ('{"prompt_tokens_details":{"cached_tokens":1024, "audio_tok', {"cache_read_tokens": 1_024}, "a key was cut"),
        ('{"prompt_tokens_details":', {}, "cut before the parts"),
        ('{"prompt_tokens_deta', {}, "cut within the name"),
        (
            '{"cache_creation_input_tokens":300,"cache_read_input_tokens":20',
            {"cache_write_tokens": 300},
            "one is whole",
        ),
    ],
)
def test_what_stands_before_a_cut_is_still_true(text: str, expected: dict[str, int], reason: str) -> None:
    """The SDK cuts long texts, also within a number, and a wrong count is worse than none."""
    assert read_provider_usage(text) == expected, reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "nothing"),
        (7, "a number"),
        ((OPENAI_CHAT,), "an array"),
        ({"cache_read_input_tokens": 5}, "a list of keys and values"),
        ("", "empty"),
        ("{}", "empty"),
        ("null", "no usage"),
        ('{"cached_tokens":5}', "a part outside of what it is part of"),
        ('{"audio_tokens":5}', "the same: of input or output, nobody knows"),
        ('{"prompt_tokens_details":{"cached_tokens":null}}', "no number"),
        ('{"prompt_tokens_details":{"cached_tokens":"5"}}', "text"),
        ('{"prompt_tokens_details":{"cached_tokens":-5}}', "a negative one"),
        ('{"prompt_tokens_details":{"cached_tokens":5.5}}', "a fraction"),
        ('{"prompt_tokens_details":{"cached_tokens":0}}', "0 is as good as absent"),
        ('{"prompt_tokens_details":{"text_tokens":5}}', "text is what is left"),
        ('{"completion_tokens_details":{"cached_tokens":5}}', "output is not cached"),
        ('{"prompt_tokens_details":{"reasoning_tokens":5}}', "input is not reasoned"),
        (r'{"text":"{\"cache_read_input_tokens\":5}"}', "content, whose quotes are escaped"),
        (r'{"text":"\"prompt_tokens_details\":{\"cached_tokens\":5}"}', "the same with details"),
        ("cache_read_input_tokens: 5,", "no quotes"),
    ],
)
def test_anything_else_tells_nothing(text: object, reason: str) -> None:
    """The text may be anybody's, and only what is surely a count may change a bill."""
    assert read_provider_usage(text) == {}, reason


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        (
            '{"cache_read_input_tokens":2000,"iterations":[{"cache_read_input_tokens":500}]}',
            {"cache_read_tokens": 2_000},
            "Anthropic repeats the parts of each turn below the whole",
        ),
        (
            '{"cache_read_input_tokens":0,"iterations":[{"cache_read_input_tokens":500}]}',
            {},
            "0 is the whole, and 500 those of an adviser, which is another model",
        ),
        (
            '{"prompt_tokens_details":{"cached_tokens":5},"cache_read_input_tokens":9}',
            {"cache_read_tokens": 5},
            "litellm says it twice",
        ),
    ],
)
def test_of_several_counts_of_one_thing_the_first_counts(text: str, expected: dict[str, int], reason: str) -> None:
    """The whole stands before its parts; none are added up."""
    assert read_provider_usage(text) == expected, reason


def test_a_text_that_is_too_long_is_not_looked_at() -> None:
    """A usage object has a few hundred characters; more would cost the application time."""
    fitting = ANTHROPIC + " " * (MAX_TEXT_CHARACTERS - len(ANTHROPIC))

    assert read_provider_usage(fitting) == ALL_OF_ANTHROPIC
    assert read_provider_usage(fitting + " ") == {}


COUNT: Final = st.integers(0, 10**10)


def openai(read: int, write: int, audio: int, reasoning: int) -> dict[str, object]:
    details = {"cached_tokens": read, "cache_write_tokens": write, "audio_tokens": audio}
    return {"prompt_tokens_details": details, "completion_tokens_details": {"reasoning_tokens": reasoning}}


def langchain(read: int, write: int, audio: int, reasoning: int) -> dict[str, object]:
    details = {"audio": audio, "cache_creation": write, "cache_read": read}
    return {"input_token_details": details, "output_token_details": {"reasoning": reasoning}}


def anthropic(read: int, write: int, audio: int, reasoning: int) -> dict[str, object]:
    return {"cache_creation_input_tokens": write, "cache_read_input_tokens": read, "others": [audio, reasoning]}


@given(
    counts=st.tuples(COUNT, COUNT, COUNT, COUNT),
    cut=st.integers(0, 300),
    shape=st.sampled_from([openai, langchain, anthropic]),
    write=st.sampled_from([json.dumps, repr]),
)
@settings(max_examples=500, deadline=None)
def test_a_cut_text_tells_nothing_that_the_whole_does_not(
    counts: tuple[int, int, int, int], cut: int, shape: Callable[..., object], write: Callable[[object], str]
) -> None:
    """Whatever the limit of the span, a count is the provider's or absent."""
    text = write(shape(*counts))

    assert read_provider_usage(text[:cut]).items() <= read_provider_usage(text).items()


@given(text=st.text() | st.text(alphabet="\"'{}:, 0123456789acdehiknorstu_\\"))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_without_an_exception(text: str) -> None:
    """It runs on the application's thread, on text anybody may have set."""
    assert read_provider_usage(text).keys() <= set(Found._fields)
