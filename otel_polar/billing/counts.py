"""The token counts on a span, in whatever dialect, as :class:`~otel_polar.billing.usage.TokenUsage`.

Half a count is no count: a chat with input tokens and none of output was cut short somewhere, and what it cost is not
known. It stays with the call as what is *known*, because another span of the same call may have the other half.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_polar.billing import semconv
from otel_polar.billing.attributes import NAME_COUNT, Found
from otel_polar.billing.operation import OUTPUT_OF_ONE_KIND, WITHOUT_OUTPUT, Operation
from otel_polar.billing.provider_usage import read_provider_usage, read_uncached_input
from otel_polar.billing.scopes import (
    INPUT_WITHOUT_CACHE,
    INPUT_WITHOUT_CACHE_SCOPES,
    OUTPUT_WITHOUT_REASONING,
    UNMARKED_OPERATIONS,
)
from otel_polar.billing.usage import MAX_TOKENS, ImpossibleCountError, Media, TokenUsage, Unmetered, build_usage

if TYPE_CHECKING:
    from otel_polar.billing.span import SpanRecord

FINISH_TIME_PREFIXES: Final = ("gen_ai.usage.", "gen_ai.response.", "llm.token_count.", "ai.usage.", "ai.response.")
"""What an instrumentation sets when the answer is there."""

_DROPS_THE_OLDEST: Final = "python"
_WRITABLE_BITS: Final = 128
_NUMERAL: Final = re.compile(r"[-+0-9.,eE]{0,40}")


def read_usage(span: SpanRecord, found: Found, operation: Operation, provider: str | None) -> TokenUsage | Unmetered:
    """The tokens of the call that *span* is.

    Args:
        span: the span.
        found: what was found on it.
        operation: which request to a model it is.
        provider: whose model, by its canonical name.
    """
    try:
        input_tokens = _count("input tokens", found.input_tokens)
        output_tokens = _count("output tokens", found.output_tokens)
        # Zero input with zero output is how emitters write "the provider told me nothing": no call is free of tokens.
        if not input_tokens and not output_tokens:
            return Unmetered(_why_no_tokens(span))
        if span.dropped_attributes and _may_have_lost_counts(span):
            return Unmetered("token counts may have been dropped: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
        half = _half(input_tokens, output_tokens, operation)
        try:
            usage = _build(span, found, operation, provider, totals=(input_tokens or 0, output_tokens or 0))
        except ImpossibleCountError:
            if half is None:
                raise
            # Parts of what is missing.
            return Unmetered(half)
    except ImpossibleCountError as error:
        return Unmetered(f"impossible token counts: {error}")
    return usage if half is None else Unmetered(half, usage)


def _half(input_tokens: int | None, output_tokens: int | None, operation: Operation) -> str | None:
    """What is missing of a count."""
    if input_tokens is None:
        return f"no count of input tokens beside {output_tokens} output tokens"
    if output_tokens is None and operation.name not in WITHOUT_OUTPUT:
        return f"no count of output tokens beside {input_tokens} input tokens: was it cut short?"
    return None


def has_tokens(found: Found) -> bool:
    """Whether there is any count above 0 on a span that is not known to be a call."""
    totals = (found.input_tokens, found.output_tokens)
    return any(isinstance(count, (int, float)) and count > 0 for count in totals)


def _build(
    span: SpanRecord,
    found: Found,
    operation: Operation,
    provider: str | None,
    *,
    totals: tuple[int, int],
) -> TokenUsage:
    input_tokens, output_tokens = totals
    told = {} if found.provider_usage is None else read_provider_usage(found.provider_usage)
    parts = {
        name: _count(words, getattr(found, name)) or _count(words, told.get(name)) or 0
        for name, words in _PARTS.items()
    }
    cache_read, cache_write, cache_write_1h, reasoning = [parts[name] for name in _TEXT_PARTS]
    if _leaves_cache_out(span, found, operation, provider, input_tokens=input_tokens, cached=cache_read + cache_write):
        input_tokens += cache_read + cache_write
    if (span.scope_name, operation.stated) in OUTPUT_WITHOUT_REASONING:
        output_tokens += reasoning
    media = Media(*(parts[name] for name in Media._fields))
    kind = OUTPUT_OF_ONE_KIND.get(operation.name)
    if kind is not None and not getattr(media, kind):
        # The answer of a request for images is nothing else (OpenAI, images/generations: usage.output_tokens).
        media = media._replace(**{kind: output_tokens - reasoning})
    return build_usage(input_tokens, output_tokens, cache_read, cache_write, cache_write_1h, reasoning, media)


_PARTS: Final = {name: name.replace("_", " ") for name in Found._fields[NAME_COUNT + 2 : -1]}
_TEXT_PARTS: Final = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens")


def _leaves_cache_out(
    span: SpanRecord,
    found: Found,
    operation: Operation,
    provider: str | None,
    *,
    input_tokens: int,
    cached: int,
) -> bool:
    """Whether *cached* tokens are beside *input_tokens* rather than part of them, against the conventions."""
    if span.scope_name in INPUT_WITHOUT_CACHE_SCOPES:
        return True
    later_version = INPUT_WITHOUT_CACHE.get((span.scope_name, provider or ""))
    if later_version is None or later_version in span.attributes:
        return False
    if operation.stated not in UNMARKED_OPERATIONS:
        return True
    # The earlier version always has the provider's own usage beside it here.
    return read_uncached_input(found.provider_usage) == input_tokens or cached > input_tokens


def _count(what: str, value: object) -> int | None:
    if value is None:
        return None
    # bool is an int in Python; True is not one token. Some emitters write 12.0 for 12.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ImpossibleCountError(f"the count of {what} is {_shown(value)}, not a whole number")
    if not 0 <= value <= MAX_TOKENS:
        # Python refuses to write out a number of more than 4300 digits.
        written = str(value) if value.bit_length() <= _WRITABLE_BITS else f"a number of {value.bit_length()} bits"
        raise ImpossibleCountError(f"the count of {what} is {written}, outside 0 to {MAX_TOKENS}")
    return value


def _shown(value: object) -> str:
    """A number as it is, and of anything else only what it is: text may be part of a prompt."""
    if isinstance(value, (bool, float)) or (isinstance(value, str) and _NUMERAL.fullmatch(value)):
        return repr(value)
    return f"of type {type(value).__name__}"


def _may_have_lost_counts(span: SpanRecord) -> bool:
    """Whether a count may be among the attributes that the span's limit has pushed out.

    In Python the oldest go first (opentelemetry-sdk, ``BoundedAttributes``; OTLP keeps the order). Counts are set last,
    so they are all there as long as the oldest that is left was set before them. Elsewhere the newest are not taken any
    more, as the specification has it ("MUST discard that attribute"), and those are the counts.
    """
    if span.resource_attributes.get(semconv.SDK_LANGUAGE, _DROPS_THE_OLDEST) != _DROPS_THE_OLDEST:
        return True
    return next(iter(span.attributes), "").startswith(FINISH_TIME_PREFIXES)


def _why_no_tokens(span: SpanRecord) -> str:
    if span.failed or semconv.ERROR_TYPE in span.attributes:
        return "no token counts: the call failed"
    if span.attributes.get(semconv.REQUEST_STREAM) is True:
        return "no token counts: streamed without asking for usage (stream_options include_usage), or closed early"
    return "no token counts: a stream without stream_options include_usage or closed early, or an answer without usage"
