"""The quick way to read a span: most are usual, and those take a fifth of the time on the caller's thread.

A span is usual if nothing on it has to be looked at twice: one word says what it is, every name is text, every count is
a whole number, nothing is cut, missing, in another form or an exception of its scope. For a usual span the answer is
that of :func:`~otel_polar.billing.reading.read_carefully`, of which this is no more than a compiled form (a property
of the tests); for any other it is ``None``.

The spans of one emitter carry the same attribute names again and again. What is to be taken out of them is worked out
once for each set of names, and remembered.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.billing import semconv
from otel_polar.billing.attributes import MAX_NAME_CHARACTERS, NAME_COUNT, SPELLINGS, Found
from otel_polar.billing.call import ModelCall
from otel_polar.billing.operation import BY_KIND, BY_NAME, OUTPUT_OF_ONE_KIND, TELLING_NAMES, Operation
from otel_polar.billing.provider import canonical_provider
from otel_polar.billing.scopes import SCOPES_WITH_EXCEPTIONS
from otel_polar.billing.service_tier import read_asked_tier
from otel_polar.billing.usage import MAX_TOKENS, TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_polar.billing.call import TagValue
    from otel_polar.billing.customer import Customer, Unattributed
    from otel_polar.billing.span import Attributes, SpanRecord

MAX_LAYOUTS: Final = 1024
MAX_LAYOUT_CHARACTERS: Final = 20_000
"""Longer sets of names are not remembered: whoever sends spans must not be able to fill the memory with them."""


class _Layout(NamedTuple):
    """How to read spans with a certain set of attribute names.

    ``pick`` takes out of the attributes what says what the span is, by ``operations``, then the names and then the
    counts that are there. ``first_count`` is where the counts begin. ``spread`` puts all that, and the ``None`` behind
    it for what is missing, into the places of :class:`Found`, up to the reasoning. ``media`` are the counts of audio
    and images, ``asked`` where it may stand what service tier was asked for.
    """

    operations: Mapping[str, Operation]
    pick: Callable[[Attributes], tuple[Any, ...]]
    first_count: int
    spread: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    media: tuple[str, ...]
    asked: str | None


class _TooLongError(Exception):
    """A layout that is not to be remembered."""


def read_usual(  # noqa: C901, PLR0911 - one function, because calls of others would be a third of its time
    span: SpanRecord,
    customer: Customer | Unattributed,
    tags: Mapping[str, TagValue],
) -> ModelCall | None:
    """The model call that *span* is, if it is a usual one."""
    attributes, name = span.attributes, span.name
    try:
        layout = _layout(tuple(attributes))
    except _TooLongError:
        return None
    if layout is None or span.dropped_attributes or span.scope_name in SCOPES_WITH_EXCEPTIONS or name in TELLING_NAMES:
        return None
    if "." in name and (".retrieve" in name or ".count_tokens" in name):
        return None
    operations, pick, first_count, spread, media, asked = layout
    requested = None if asked is None else read_asked_tier(attributes[asked])
    picked = pick(attributes)
    texts = picked[1:first_count]
    try:
        operation = operations.get(picked[0])
        characters = len("".join(texts))
    except TypeError:
        return None
    # Together the names are shorter than one alone may be.
    if operation is None or characters >= MAX_NAME_CHARACTERS or not all(texts):
        return None
    if span.attribute_length_limit is not None and characters >= span.attribute_length_limit:
        return None
    for count in picked[first_count:]:
        if type(count) is not int or not 0 <= count <= MAX_TOKENS:
            return None
    for spelling in media:
        if type(attributes[spelling]) is not int or attributes[spelling]:
            return None
    # fmt: off
    (provider, request_model, response_model, response_id, service_tier, server_address,
     input_tokens, output_tokens, cache_read, cache_write, cache_write_1h, reasoning) = spread((*picked, None))
    # fmt: on
    cache_read, cache_write, cache_write_1h = cache_read or 0, cache_write or 0, cache_write_1h or 0
    reasoning = reasoning or 0
    uncached = input_tokens - cache_read - cache_write
    visible = output_tokens - reasoning
    if uncached < 0 or visible < 0 or cache_write < cache_write_1h or not (input_tokens or output_tokens):
        return None
    service_name = span.resource_attributes.get(semconv.SERVICE_NAME)
    if service_name is not None and (type(service_name) is not str or len(service_name) > MAX_NAME_CHARACTERS):
        return None
    # By position, and past the constructors: keywords and defaults would take as long as all the rest.
    usage = (uncached, visible, cache_read, cache_write - cache_write_1h, reasoning, cache_write_1h, 0, 0, 0, 0, 0, 0)
    return tuple.__new__(
        ModelCall,
        (
            span.trace_id,
            span.span_id,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.scope_name,
            operation.name,
            None if provider is None else canonical_provider(provider),
            request_model,
            response_model,
            response_id,
            service_tier,
            server_address,
            service_name,
            tuple.__new__(TokenUsage, usage),
            customer,
            tags,
            span.parent_span_id,
            span.process,
            operation.dialect,
            False,
            requested,
            None,
            False,
            None,
            False,
        ),
    )


_NOT_USUAL: Final = (
    *(semconv.LOGFIRE_KIND, semconv.LANGSMITH_KIND, semconv.USAGE_IS_ESTIMATED),
    *semconv.PROVIDER_USAGE,
)
_USUAL_OPERATIONS: Final = {
    semconv.OPERATION_NAME: {
        word: operation for word, operation in BY_NAME.items() if operation.name not in OUTPUT_OF_ONE_KIND
    },
    semconv.OPENINFERENCE_KIND: BY_KIND,
}


@lru_cache(maxsize=MAX_LAYOUTS)
def _layout(attribute_names: tuple[str, ...]) -> _Layout | None:
    if sum(map(len, attribute_names)) > MAX_LAYOUT_CHARACTERS:
        raise _TooLongError
    present = set(attribute_names)
    says_what = present & _USUAL_OPERATIONS.keys()
    firsts = [next((name for name in spellings if name in present), None) for spellings in SPELLINGS]
    first = dict(zip(Found._fields, firsts, strict=True))
    if (
        len(says_what) != 1
        or present.intersection(_NOT_USUAL)
        or not (first["input_tokens"] and first["output_tokens"])
    ):
        return None
    if not first["service_tier"] and not present.isdisjoint(semconv.REQUESTED_SERVICE_TIER):
        return None
    (word,) = says_what
    texts = firsts[:NAME_COUNT]
    counts = firsts[NAME_COUNT:_FIRST_MEDIA]
    picked = [word, *(name for name in (*texts, *counts) if name is not None)]
    return _Layout(
        operations=_USUAL_OPERATIONS[word],
        pick=itemgetter(*picked),
        first_count=1 + len(texts) - texts.count(None),
        # What is missing takes the None that stands behind what was picked.
        spread=itemgetter(*(len(picked) if name is None else picked.index(name) for name in (*texts, *counts))),
        media=tuple(name for name in firsts[_FIRST_MEDIA:] if name is not None),
        asked=_asked(present) if first["service_tier"] is None else None,
    )


def _asked(present: set[str]) -> str | None:
    return semconv.INVOCATION_PARAMETERS if semconv.INVOCATION_PARAMETERS in present else None


_FIRST_MEDIA: Final = Found._fields.index("audio_input_tokens")
