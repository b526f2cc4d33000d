"""Token counts in buckets that do not overlap, and the reading of them from a span.

Providers count the same tokens several times over: cached tokens are part of the input (OpenAI) or beside it (Bedrock),
reasoning is part of the output. Whoever multiplies each number by a price bills some tokens twice. Here every token is
in exactly one bucket, and the totals are sums::

    input_tokens  = uncached_input_tokens + cache_read_tokens + cache_write_tokens + cache_write_1h_tokens
    output_tokens = visible_output_tokens + reasoning_tokens
    total_tokens  = input_tokens + output_tokens

Counts that cannot be true (negative, a fraction, more cached than there was input) are refused with both numbers in the
reason: a wrong count is never billed, and never rounded into a plausible one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.billing import semconv

if TYPE_CHECKING:
    from otel_polar.billing.span import Attributes, SpanRecord

MAX_TOKENS: Final = 10**10
"""More than any model's context by four orders of magnitude: a count above it is an error or an attack."""
_WRITABLE_BITS: Final = 128
_NUMERAL: Final = re.compile(r"[-+0-9.,eE]{0,40}")

INPUT_WITHOUT_CACHE_SCOPES: Final[frozenset[str]] = frozenset(
    {
        # These scopes set gen_ai.usage.input_tokens to the provider's own number, which leaves cached tokens out at
        # Bedrock and Anthropic, against the conventions ("SHOULD include all types of input tokens, including cached
        # tokens").
        "opentelemetry.instrumentation.botocore.bedrock-runtime",  # opentelemetry-instrumentation-botocore 0.66b2
        "opentelemetry.instrumentation.genai.bedrock",  # 1.3b0, extractors.py
        "opentelemetry.instrumentation.bedrock",  # opentelemetry-instrumentation-bedrock 0.62.4 (OpenLLMetry)
        "openlit.instrumentation.anthropic",  # openlit 1.45.0
    },
)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens of one call, each in one bucket. All counts are whole and at least 0.

    ``cache_write_1h_tokens`` were written to a cache that keeps them for an hour, at a higher price.
    """

    uncached_input_tokens: int
    visible_output_tokens: int
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def all_cache_write_tokens(self) -> int:
        """What was written to a cache, for however long."""
        return self.cache_write_tokens + self.cache_write_1h_tokens

    @property
    def input_tokens(self) -> int:
        """All input, cached or not: what OpenTelemetry's ``gen_ai.usage.input_tokens`` means."""
        return self.uncached_input_tokens + self.cache_read_tokens + self.all_cache_write_tokens

    @property
    def output_tokens(self) -> int:
        """All output, reasoning included."""
        return self.visible_output_tokens + self.reasoning_tokens

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Unmetered:
    """A model call whose tokens are not known. ``reason`` says what is missing or which two numbers contradict."""

    reason: str


WITHOUT_OUTPUT: Final = frozenset({"embeddings"})
"""Operations whose answer has no output tokens, so that none are counted."""

FINISH_TIME_PREFIXES: Final = ("gen_ai.usage.", "gen_ai.response.")
"""What an instrumentation sets when the answer is there."""


class _ImpossibleCountError(ValueError):
    """A count that no provider can have answered."""


def read_usage(span: SpanRecord) -> TokenUsage | Unmetered:
    """The tokens on a span of the OpenTelemetry GenAI conventions, of any generation."""
    attributes = span.attributes
    try:
        input_tokens = _read_count(attributes, semconv.INPUT_TOKENS)
        output_tokens = _read_count(attributes, semconv.OUTPUT_TOKENS)
        # Zero input with zero output is how emitters write "the provider told me nothing": no call is free of tokens.
        if not input_tokens and not output_tokens:
            return Unmetered(_why_no_tokens(span))
        if _may_have_lost_counts(span):
            return Unmetered("token counts may have been dropped: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
        if input_tokens is None:
            return Unmetered(f"no count of input tokens beside {output_tokens} output tokens")
        if output_tokens is None and span.attributes.get(semconv.OPERATION_NAME) not in WITHOUT_OUTPUT:
            return Unmetered(f"no count of output tokens beside {input_tokens} input tokens: was it cut short?")
        return _disjoint(
            input_tokens=input_tokens,
            output_tokens=output_tokens or 0,
            cache_read_tokens=_read_count(attributes, semconv.CACHE_READ_TOKENS) or 0,
            cache_write_tokens=_read_count(attributes, semconv.CACHE_WRITE_TOKENS) or 0,
            cache_write_1h_tokens=_read_count(attributes, semconv.CACHE_WRITE_1H_TOKENS) or 0,
            reasoning_tokens=_read_count(attributes, semconv.REASONING_TOKENS) or 0,
            input_includes_cache=span.scope_name not in INPUT_WITHOUT_CACHE_SCOPES,
        )
    except _ImpossibleCountError as error:
        return Unmetered(f"impossible token counts: {error}")


def _disjoint(
    *,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int,
    cache_write_tokens: int,
    cache_write_1h_tokens: int,
    reasoning_tokens: int,
    input_includes_cache: bool,
) -> TokenUsage:
    cached = cache_read_tokens + cache_write_tokens
    uncached_input_tokens = input_tokens - cached if input_includes_cache else input_tokens
    if uncached_input_tokens < 0:
        raise _ImpossibleCountError(
            f"{cache_read_tokens} read from cache and {cache_write_tokens} written to it, of only {input_tokens} input",
        )
    if cache_write_1h_tokens > cache_write_tokens:
        raise _ImpossibleCountError(
            f"{cache_write_1h_tokens} written to cache for an hour, of only {cache_write_tokens} written to it",
        )
    if reasoning_tokens > output_tokens:
        raise _ImpossibleCountError(f"{reasoning_tokens} reasoning tokens in only {output_tokens} output tokens")
    return TokenUsage(
        uncached_input_tokens=uncached_input_tokens,
        visible_output_tokens=output_tokens - reasoning_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens - cache_write_1h_tokens,
        reasoning_tokens=reasoning_tokens,
        cache_write_1h_tokens=cache_write_1h_tokens,
    )


def _read_count(attributes: Attributes, names: semconv.Names) -> int | None:
    for name in names:
        if name in attributes:
            return _count(name, attributes[name])
    return None


def _count(name: str, value: object) -> int:
    # bool is an int in Python; True is not one token. Some emitters write 12.0 for 12.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _ImpossibleCountError(f"{name} is {_shown(value)}, not a whole number")
    if not 0 <= value <= MAX_TOKENS:
        # Python refuses to write out a number of more than 4300 digits.
        written = str(value) if value.bit_length() <= _WRITABLE_BITS else f"a number of {value.bit_length()} bits"
        raise _ImpossibleCountError(f"{name} is {written}, outside 0 to {MAX_TOKENS}")
    return value


def _shown(value: object) -> str:
    """A number as it is, and of anything else only what it is: text may be part of a prompt."""
    if isinstance(value, (bool, float)) or value is None or (isinstance(value, str) and _NUMERAL.fullmatch(value)):
        return repr(value)
    return f"of type {type(value).__name__}"


def _may_have_lost_counts(span: SpanRecord) -> bool:
    """Whether a count may be among the attributes that the span's limit has pushed out.

    The oldest go first (opentelemetry-sdk, ``BoundedAttributes``; OTLP keeps the order). Counts are set last, so they
    are all there as long as the oldest that is left was set before them.
    """
    oldest = next(iter(span.attributes), "")
    return span.dropped_attributes > 0 and oldest.startswith(FINISH_TIME_PREFIXES)


def _why_no_tokens(span: SpanRecord) -> str:
    if span.failed or semconv.ERROR_TYPE in span.attributes:
        return "no token counts: the call failed"
    if span.attributes.get(semconv.REQUEST_STREAM) is True:
        return "no token counts: streamed without asking for usage (stream_options include_usage), or closed early"
    return "no token counts: a stream without stream_options include_usage or closed early, or an answer without usage"
