"""Everything billing reads on a span, found in every dialect's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing import semconv

if TYPE_CHECKING:
    from otel_polar.billing.span import Attributes

MAX_NAME_CHARACTERS: Final = 200
"""Model, provider and the like are cut here: a longer one names nothing, and must not fill the disk."""


class Found(NamedTuple):
    """What is on a span; ``None`` where no spelling is present. Counts are as the emitter wrote them, of any type."""

    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    service_tier: str | None
    server_address: str | None
    input_tokens: object
    output_tokens: object
    cache_read_tokens: object
    cache_write_tokens: object
    cache_write_1h_tokens: object
    reasoning_tokens: object
    audio_input_tokens: object
    audio_cache_read_tokens: object
    audio_output_tokens: object
    image_input_tokens: object
    image_cache_read_tokens: object
    image_output_tokens: object
    provider_usage: object


SPELLINGS: Final[tuple[semconv.Names, ...]] = (
    # In the order of the fields above.
    semconv.PROVIDER_NAME,
    semconv.REQUEST_MODEL,
    semconv.RESPONSE_MODEL,
    semconv.RESPONSE_ID,
    semconv.SERVICE_TIER,
    semconv.SERVER_ADDRESS,
    semconv.INPUT_TOKENS,
    semconv.OUTPUT_TOKENS,
    semconv.CACHE_READ_TOKENS,
    semconv.CACHE_WRITE_TOKENS,
    semconv.CACHE_WRITE_1H_TOKENS,
    semconv.REASONING_TOKENS,
    semconv.AUDIO_INPUT_TOKENS,
    semconv.AUDIO_CACHE_READ_TOKENS,
    semconv.AUDIO_OUTPUT_TOKENS,
    semconv.IMAGE_INPUT_TOKENS,
    semconv.IMAGE_CACHE_READ_TOKENS,
    semconv.IMAGE_OUTPUT_TOKENS,
    semconv.PROVIDER_USAGE,
)
NAME_COUNT: Final = Found._fields.index("input_tokens")
"""The first so many fields are names."""


def find(attributes: Attributes, length_limit: int | None = None) -> Found:
    """What is on a span whose texts of *length_limit* characters may have been cut.

    Of several spellings of one thing the first in its table counts. A name must be text, and short of the limit: what
    has been cut may read like another name, gpt-4o-mini like gpt-4o, at another price. A count wins even if it is odd.
    """
    names = [_first_name(attributes, spellings, length_limit) for spellings in SPELLINGS[:NAME_COUNT]]
    counts = [_first_value(attributes, spellings) for spellings in SPELLINGS[NAME_COUNT:]]
    return Found._make([*names, *counts])


def _first_name(attributes: Attributes, spellings: semconv.Names, length_limit: int | None) -> str | None:
    for spelling in spellings:
        value = attributes.get(spelling)
        if isinstance(value, str) and value and (length_limit is None or len(value) < length_limit):
            return value[:MAX_NAME_CHARACTERS]
    return None


def _first_value(attributes: Attributes, spellings: semconv.Names) -> object:
    return next((attributes[spelling] for spelling in spellings if spelling in attributes), None)
