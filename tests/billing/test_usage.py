from __future__ import annotations

import re
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.usage import MAX_TOKENS, ImpossibleCountError, Media, TokenUsage, build_usage

BUCKETS: Final = TokenUsage._fields


class Stated(NamedTuple):
    """What a provider says of one call: totals, and the parts of them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_cache_read: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_cache_read: int = 0
    image_output: int = 0


def build(stated: Stated) -> TokenUsage:
    return build_usage(*stated[:6], Media(*stated[6:]))


def usage(**buckets: int) -> TokenUsage:
    """The buckets that *buckets* names without ``_tokens``; all others are empty."""
    return TokenUsage(**{**dict.fromkeys(BUCKETS, 0), **{f"{name}_tokens": count for name, count in buckets.items()}})


def test_every_total_is_the_sum_of_its_buckets() -> None:
    """The event's totals are compared with the provider's own dashboard; no two sums of these are equal."""
    whole = TokenUsage(
        uncached_input_tokens=1,
        visible_output_tokens=2,
        cache_read_tokens=4,
        cache_write_tokens=8,
        reasoning_tokens=16,
        cache_write_1h_tokens=32,
        audio_input_tokens=64,
        audio_cache_read_tokens=128,
        audio_output_tokens=256,
        image_input_tokens=512,
        image_cache_read_tokens=1_024,
        image_output_tokens=2_048,
    )

    assert whole.all_cache_read_tokens == 4 + 128 + 1_024
    assert whole.all_cache_write_tokens == 8 + 32
    assert whole.input_tokens == 1 + 4 + 8 + 32 + 64 + 128 + 512 + 1_024
    assert whole.output_tokens == 2 + 16 + 256 + 2_048
    assert whole.total_tokens == 4_095


@pytest.mark.parametrize(
    ("stated", "expected", "reason"),
    [
        (Stated(10, 2), usage(uncached_input=10, visible_output=2), "no parts"),
        (Stated(0, 0), usage(), "nothing"),
        (
            Stated(812, 142, cache_read=500, cache_write=12, reasoning=42),
            usage(uncached_input=300, visible_output=100, cache_read=500, cache_write=12, reasoning=42),
            "cached and uncached have two prices: in both buckets, a token is billed twice",
        ),
        (
            Stated(2_321, 77, cache_read=2_000, cache_write=300, cache_write_1h=100),
            usage(uncached_input=21, visible_output=77, cache_read=2_000, cache_write=200, cache_write_1h=100),
            "Anthropic asks 2 times the input price for an hour, and 1.25 times for five minutes",
        ),
        (Stated(8, 1, cache_read=8), usage(visible_output=1, cache_read=8), "all of the input was cached"),
        (Stated(8, 1, cache_write=8), usage(visible_output=1, cache_write=8), "all of it was written to the cache"),
        (
            Stated(8, 1, cache_write=8, cache_write_1h=8),
            usage(visible_output=1, cache_write_1h=8),
            "all of it for an hour",
        ),
        (Stated(8, 5, reasoning=5), usage(uncached_input=8, reasoning=5), "it thought and said nothing"),
    ],
)
def test_a_part_leaves_the_whole_it_is_part_of(stated: Stated, expected: TokenUsage, reason: str) -> None:
    """Every token has one price; a part may be the whole, which real calls meet and must not be refused."""
    assert build(stated) == expected, reason


@pytest.mark.parametrize(
    ("stated", "expected", "reason"),
    [
        (
            Stated(64, 9, audio_input=44),
            usage(uncached_input=20, visible_output=9, audio_input=44),
            "gpt-4o-audio-preview hears 44",
        ),
        (
            Stated(10, 90, audio_output=70, reasoning=5),
            usage(uncached_input=10, visible_output=15, reasoning=5, audio_output=70),
            "it says 70, thinks 5 and writes 15",
        ),
        (
            Stated(3_367, 9, image_input=3_354),
            usage(uncached_input=13, visible_output=9, image_input=3_354),
            "gemini-2.0-flash sees 3354",
        ),
        (
            Stated(14, 1_457, reasoning=174, image_output=1_120),
            usage(uncached_input=14, visible_output=163, reasoning=174, image_output=1_120),
            "gemini-3-pro-image draws 1120, thinks 174 and writes 163",
        ),
        (
            Stated(17_713, 889, cache_read=17_379, reasoning=821, audio_input=1_917, audio_cache_read=1_881),
            usage(
                uncached_input=298,
                visible_output=68,
                cache_read=15_498,
                reasoning=821,
                audio_input=36,
                audio_cache_read=1_881,
            ),
            "334 of the input is new, 36 of it audio: 1917 less the 1881 from cache",
        ),
        (
            Stated(100, 1, cache_read=60, image_input=50, image_cache_read=40),
            usage(uncached_input=30, visible_output=1, cache_read=20, image_input=10, image_cache_read=40),
            "the same with an image",
        ),
        (
            Stated(100, 1, audio_input=100),
            usage(visible_output=1, audio_input=100),
            "nothing but audio",
        ),
        (
            Stated(100, 1, audio_input=30, image_input=70),
            usage(visible_output=1, audio_input=30, image_input=70),
            "nothing but audio and images",
        ),
    ],
)
def test_audio_and_images_have_buckets_of_their_own(stated: Stated, expected: TokenUsage, reason: str) -> None:
    """Audio costs up to sixteen times what text does, and in two buckets it would be billed twice."""
    assert build(stated) == expected, reason


@pytest.mark.parametrize(
    ("stated", "expected", "reason"),
    [
        (
            Stated(100, 1, cache_read=60, audio_input=40),
            usage(visible_output=1, cache_read=60, audio_input=40),
            "40 fit into what is new: nothing says that any was cached",
        ),
        (
            Stated(100, 1, cache_read=60, audio_input=50),
            usage(visible_output=1, cache_read=50, audio_input=40, audio_cache_read=10),
            "50 in 40 that are new: 10 came from the cache",
        ),
        (
            Stated(100, 20, cache_read=40, cache_write=30, reasoning=7, audio_input=25, audio_output=5, image_input=25),
            usage(
                visible_output=8,
                cache_read=20,
                cache_write=30,
                reasoning=7,
                audio_input=5,
                audio_cache_read=20,
                audio_output=5,
                image_input=25,
            ),
            "50 in 30 that are new: 20 came from the cache, audio first",
        ),
        (
            Stated(100, 1, cache_read=95, audio_input=10, image_input=85),
            usage(visible_output=1, cache_read=5, image_input=5, audio_cache_read=10, image_cache_read=80),
            "95 in 5 that are new: all of the audio and 80 of the images came from the cache",
        ),
        (
            Stated(100, 1, cache_read=50, audio_input=60, audio_cache_read=5),
            usage(visible_output=1, cache_read=40, audio_input=50, audio_cache_read=10),
            "5 are said to be cached, 55 in 50 say that 5 more are",
        ),
        (
            Stated(100, 1, cache_write=80, audio_input=30),
            usage(visible_output=1, cache_write=80, audio_input=20),
            "30 in 20 that are new: 10 were written to the cache, at one price whatever they are",
        ),
        (
            Stated(100, 1, cache_read=10, cache_write=80, image_input=60),
            usage(visible_output=1, cache_write=80, image_input=10, image_cache_read=10),
            "60 in 10 that are new: 10 read from the cache, 40 written to it",
        ),
        (
            Stated(100, 1, cache_write=90, cache_write_1h=50, audio_input=40, image_input=40),
            usage(visible_output=1, cache_write=40, cache_write_1h=50, audio_input=10),
            "80 in 10 that are new: audio first, the rest was written",
        ),
    ],
)
def test_audio_and_images_that_do_not_fit_into_what_is_new_were_cached(
    stated: Stated, expected: TokenUsage, reason: str
) -> None:
    """Few providers say how much of the cached input was what; no token may be billed twice for it."""
    assert build(stated) == expected, reason


@pytest.mark.parametrize(
    ("parts", "message", "reason"),
    [
        (
            {"cache_read": 201},
            "201 read from cache and 0 written to it, of only 200 input",
            "as a scope that counts cached tokens beside the input would have it",
        ),
        (
            {"cache_read": 101, "cache_write": 100},
            "101 read from cache and 100 written to it, of only 200 input",
            "neither alone, but together",
        ),
        (
            {"cache_write": 100, "cache_write_1h": 101},
            "101 written to cache for an hour, of only 100 written to it",
            "an hour's are a part of all writes",
        ),
        ({"reasoning": 51}, "51 reasoning tokens in only 50 output tokens", "a negative rest would be a credit"),
        (
            {"reasoning": 20, "audio_output": 20, "image_output": 11},
            "20 audio, 11 image and 20 reasoning tokens in only 50 output tokens",
            "none alone, but together",
        ),
        (
            {"audio_input": 150, "image_input": 51},
            "150 audio (0 cached) and 51 image tokens (0 cached), of 200 input with 0 cached",
            "more than all of the input",
        ),
        (
            {"cache_read": 90, "audio_input": 80, "audio_cache_read": 81},
            "80 audio (81 cached) and 0 image tokens (0 cached), of 200 input with 90 cached",
            "more audio from the cache than there was audio",
        ),
        (
            {"cache_read": 90, "image_input": 80, "image_cache_read": 81},
            "0 audio (0 cached) and 80 image tokens (81 cached), of 200 input with 90 cached",
            "more of images from the cache than there was of images",
        ),
        (
            {"cache_read": 90, "audio_input": 80, "audio_cache_read": 50, "image_input": 80, "image_cache_read": 41},
            "80 audio (50 cached) and 80 image tokens (41 cached), of 200 input with 90 cached",
            "more of both from the cache than was read from it",
        ),
        (
            {"cache_read": 90, "audio_cache_read": 7},
            "0 audio (7 cached) and 0 image tokens (0 cached), of 200 input with 90 cached",
            "audio from the cache without any audio, though nothing else tells of audio",
        ),
    ],
)
def test_parts_that_are_more_than_the_whole_are_refused_with_the_numbers(
    parts: dict[str, int], message: str, reason: str
) -> None:
    """Clamping to zero would bill a plausible, wrong amount; the numbers show which emitter does it."""
    with pytest.raises(ImpossibleCountError) as refusal:
        build(Stated(200, 50, **parts))

    assert str(refusal.value) == message, reason


def relations(stated: Stated) -> list[tuple[tuple[int, ...], int]]:
    """Parts and the whole that they cannot exceed, as providers count."""
    return [
        ((stated.cache_read, stated.cache_write), stated.input),
        ((stated.cache_write_1h,), stated.cache_write),
        ((stated.reasoning,), stated.output),
        ((stated.reasoning, stated.audio_output, stated.image_output), stated.output),
        ((stated.audio_input, stated.image_input), stated.input),
        ((stated.audio_cache_read,), stated.audio_input),
        ((stated.image_cache_read,), stated.image_input),
        ((stated.audio_cache_read, stated.image_cache_read), stated.cache_read),
    ]


# Totals are larger than parts, and parts are often 0: else nearly all would be refused.
ANY_STATED: Final = st.builds(
    Stated,
    st.integers(0, 200),
    st.integers(0, 200),
    *(st.just(0) | st.integers(0, 60) for _ in Stated._fields[2:]),
)


@given(stated=ANY_STATED)
@settings(max_examples=1_000, deadline=None)
def test_any_counts_are_disjoint_buckets_that_add_up_or_a_refusal_with_the_numbers(stated: Stated) -> None:
    """Whatever an emitter writes, a negative bucket would be a credit and a lost token a loss."""
    broken = [(parts, whole) for parts, whole in relations(stated) if sum(parts) > whole]
    try:
        built = build(stated)
    except ImpossibleCountError as error:
        numbers = {int(number) for number in re.findall(r"\d+", str(error))}
        assert any({*parts, whole} <= numbers for parts, whole in broken)
        return

    assert broken == []
    assert min(built) >= 0
    assert (built.input_tokens, built.output_tokens) == (stated.input, stated.output)
    assert sum(built) == built.total_tokens == stated.input + stated.output
    assert built.all_cache_read_tokens == stated.cache_read
    assert built.all_cache_write_tokens == stated.cache_write
    assert built.cache_write_1h_tokens == stated.cache_write_1h
    assert built.reasoning_tokens == stated.reasoning
    assert (built.audio_output_tokens, built.image_output_tokens) == (stated.audio_output, stated.image_output)
    # What is in no bucket of its kind was written to the cache, which has one price for all kinds.
    written_audio = stated.audio_input - built.audio_input_tokens - built.audio_cache_read_tokens
    written_image = stated.image_input - built.image_input_tokens - built.image_cache_read_tokens
    assert min(written_audio, written_image) >= 0
    assert written_audio + written_image <= stated.cache_write


@given(buckets=st.builds(TokenUsage, *(st.integers(0, MAX_TOKENS // len(BUCKETS)) for _ in BUCKETS)))
@settings(max_examples=300, deadline=None)
def test_buckets_that_a_provider_tells_in_full_come_back_as_they_were(buckets: TokenUsage) -> None:
    """Reading adds nothing and loses nothing."""
    stated = Stated(
        input=buckets.input_tokens,
        output=buckets.output_tokens,
        cache_read=buckets.all_cache_read_tokens,
        cache_write=buckets.all_cache_write_tokens,
        cache_write_1h=buckets.cache_write_1h_tokens,
        reasoning=buckets.reasoning_tokens,
        audio_input=buckets.audio_input_tokens + buckets.audio_cache_read_tokens,
        audio_cache_read=buckets.audio_cache_read_tokens,
        audio_output=buckets.audio_output_tokens,
        image_input=buckets.image_input_tokens + buckets.image_cache_read_tokens,
        image_cache_read=buckets.image_cache_read_tokens,
        image_output=buckets.image_output_tokens,
    )

    assert build(stated) == buckets
