"""``TokenUsage``: token counts in buckets that do not overlap.

Providers count the same tokens several times over: cached tokens are part of the input (OpenAI) or beside it (Bedrock),
reasoning is part of the output, audio is part of either. Whoever multiplies each number by a price bills some tokens
twice. Here every token is in exactly one bucket, and the totals are sums::

    input_tokens  = uncached_input_tokens + audio_input_tokens + image_input_tokens
                  + cache_read_tokens + audio_cache_read_tokens + image_cache_read_tokens
                  + cache_write_tokens + cache_write_1h_tokens
    output_tokens = visible_output_tokens + reasoning_tokens + audio_output_tokens + image_output_tokens
    total_tokens  = input_tokens + output_tokens

Counts that cannot be true (negative, a fraction, more cached than there was input) are refused with both numbers in the
reason: a wrong count is never billed, and never rounded into a plausible one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_TOKENS: Final = 10**10
"""More than any model's context by four orders of magnitude: a count above it is an error or an attack."""


# Neither is a dataclass: one is made for every call on the caller's thread, and a frozen dataclass takes seven times as
# long to make as a tuple.
class TokenUsage(NamedTuple):
    """The tokens of one call, each in one bucket. All counts are whole and at least 0.

    ``uncached_input_tokens`` and ``visible_output_tokens`` are text, as far as the emitter tells it from audio and
    images. ``cache_write_1h_tokens`` were written to a cache that keeps them for an hour, at a higher price.
    """

    uncached_input_tokens: int
    visible_output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    audio_cache_read_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_cache_read_tokens: int = 0
    image_output_tokens: int = 0

    @property
    def all_cache_read_tokens(self) -> int:
        """What was read from a cache, of whatever kind."""
        return self.cache_read_tokens + self.audio_cache_read_tokens + self.image_cache_read_tokens

    @property
    def all_cache_write_tokens(self) -> int:
        """What was written to a cache, for however long."""
        return self.cache_write_tokens + self.cache_write_1h_tokens

    @property
    def input_tokens(self) -> int:
        """All input, cached or not: what OpenTelemetry's ``gen_ai.usage.input_tokens`` means."""
        return (
            self.uncached_input_tokens
            + self.audio_input_tokens
            + self.image_input_tokens
            + self.all_cache_read_tokens
            + self.all_cache_write_tokens
        )

    @property
    def output_tokens(self) -> int:
        """All output, reasoning included."""
        return self.visible_output_tokens + self.reasoning_tokens + self.audio_output_tokens + self.image_output_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Unmetered(NamedTuple):
    """A model call whose tokens are not known. ``reason`` says what is missing or which two numbers contradict.

    ``known`` is what the span does tell, with 0 for the half it lacks; ``None`` if it tells nothing.
    """

    reason: str
    known: TokenUsage | None = None


class ImpossibleCountError(ValueError):
    """Counts that no provider can have answered; the message has both numbers."""


class Media(NamedTuple):
    """How many of a call's tokens were not text, as providers count: input includes what was read from a cache."""

    audio_input_tokens: int = 0
    audio_cache_read_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_cache_read_tokens: int = 0
    image_output_tokens: int = 0


NO_MEDIA: Final = Media()


def build_usage(  # noqa: PLR0917 - values of one kind, in the order of TokenUsage's own fields
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    reasoning_tokens: int = 0,
    media: Media = NO_MEDIA,
) -> TokenUsage:
    """Totals and the parts of them, as providers count, in buckets that do not overlap.

    Every count is whole and at least 0. ``input_tokens`` and ``output_tokens`` include all the others;
    ``cache_read_tokens`` includes what was read of audio and images, ``cache_write_tokens`` what is kept for an hour.

    Raises:
        ImpossibleCountError: if the parts are more than the whole.
    """
    uncached = input_tokens - cache_read_tokens - cache_write_tokens
    if uncached < 0:
        raise ImpossibleCountError(
            f"{cache_read_tokens} read from cache and {cache_write_tokens} written to it, of only {input_tokens} input",
        )
    if cache_write_1h_tokens > cache_write_tokens:
        raise ImpossibleCountError(
            f"{cache_write_1h_tokens} written to cache for an hour, of only {cache_write_tokens} written to it",
        )
    if reasoning_tokens > output_tokens:
        raise ImpossibleCountError(f"{reasoning_tokens} reasoning tokens in only {output_tokens} output tokens")
    text = TokenUsage(
        uncached,
        output_tokens - reasoning_tokens,
        cache_read_tokens,
        cache_write_tokens - cache_write_1h_tokens,
        reasoning_tokens,
        cache_write_1h_tokens,
    )
    return _with_media(text, media) if any(media) else text


def _with_media(text: TokenUsage, media: Media) -> TokenUsage:
    """Take audio and images out of the text they were counted as."""
    visible = text.visible_output_tokens - media.audio_output_tokens - media.image_output_tokens
    if visible < 0:
        raise ImpossibleCountError(
            f"{media.audio_output_tokens} audio, {media.image_output_tokens} image and {text.reasoning_tokens}"
            f" reasoning tokens in only {text.output_tokens} output tokens",
        )
    uncached = text.uncached_input_tokens
    audio = media.audio_input_tokens - media.audio_cache_read_tokens
    image = media.image_input_tokens - media.image_cache_read_tokens
    cached = text.cache_read_tokens - media.audio_cache_read_tokens - media.image_cache_read_tokens
    if min(audio, image, cached, text.input_tokens - media.audio_input_tokens - media.image_input_tokens) < 0:
        raise ImpossibleCountError(
            f"{media.audio_input_tokens} audio ({media.audio_cache_read_tokens} cached) and {media.image_input_tokens}"
            f" image tokens ({media.image_cache_read_tokens} cached), of {text.input_tokens} input with"
            f" {text.cache_read_tokens} cached",
        )
    # Whoever does not say how much of the cached input was audio or an image has said it where they do not fit into
    # the rest. What was written to a cache has one price, whatever it was.
    audio_moved = min(max(0, audio + image - uncached), audio, cached)
    audio, cached = audio - audio_moved, cached - audio_moved
    image_moved = min(max(0, audio + image - uncached), image, cached)
    image, cached = image - image_moved, cached - image_moved
    audio = min(audio, uncached)
    image = min(image, uncached - audio)
    return text._replace(
        uncached_input_tokens=uncached - audio - image,
        visible_output_tokens=visible,
        cache_read_tokens=cached,
        audio_input_tokens=audio,
        audio_cache_read_tokens=media.audio_cache_read_tokens + audio_moved,
        audio_output_tokens=media.audio_output_tokens,
        image_input_tokens=image,
        image_cache_read_tokens=media.image_cache_read_tokens + image_moved,
        image_output_tokens=media.image_output_tokens,
    )
