"""Which spans are about one and the same call, so that it is billed once.

Two instrumentations see one call twice: a framework's and the client library's, or the client library's own spans and
an instrumentation of it. They need not share a trace, a parent or a response id. Four rules say that two spans are one
call; what they have in common is as much as is needed to tell it from a second call that only looks alike:

====================  ==========================================================================================
the same answer       the provider's response id is equal, and strong: any trace, any service, any time
the same span         delivered twice
parent and child      in one trace, the same tokens and model, different scopes: one request of two layers. Within one
                      scope the child must fill the parent, as where a wrapper was put around itself, or be what a
                      request for another model fell back to: else it is a call made while a stream was open
one within the other  in one process, the same tokens and model, one span's time inside the other's, different scopes,
                      no two customers. Without a common trace the outer span must also be hardly longer, its scope be
                      known to sit above the inner one's (see ``scopes``), and not both be below some other span: those
                      were begun in two contexts
====================  ==========================================================================================

An outer span that knows no tokens joins only within a trace, and only if it is hardly longer; it never brings together
calls that tell of different tokens or two customers.

The last rule matches one to one: a span is the outer one of at most one call, and a call has at most one span of each
scope. Where several would fit, those of one trace come first, then those whose times differ least. Two different ids of
one issuer, as long as ids minted at random, are two calls, whatever else is equal. A total (see ``is_total``) is one
more span of whatever call has been seen below it, and counts only if there is none.

The answer depends on the set of calls, not on their order.

Source: which pairs really occur, and what they have in common, was read off spans of the instrumentations themselves
(``tests/corpus``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.groups import Groups, have_same_tokens
from otel_polar.billing.models import same_model
from otel_polar.billing.operation import WITHOUT_OUTPUT
from otel_polar.billing.scopes import sits_above
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_polar.billing.call import ModelCall

MAX_CANDIDATES: Final = 64
"""How many spans of a scope are looked at as the outer one of another, those that are least longer than it."""

MAX_SLACK_NS: Final = 250_000_000
"""A span around another one is longer by what a layer does before and after it: at most 0.2 s, and mostly a few
milliseconds, in the recorded pairs. The more is allowed, the more calls of one user that only happen at the same time,
with equal tokens, are taken for one: of 1000 embeddings of three sizes, a hundred at once, half of them by a framework
whose client is not seen, 6 % at this limit and 30 % at none."""

MAX_SLACK_IN_TRACE_NS: Final = 2_000_000_000
"""The same within one trace, where a layer may wait for its turn before it calls the one below."""

MAX_OVERRUN_NS: Final = 10_000_000
"""Of a stream the inner span may end after the outer one, which has seen the last chunk."""

MAX_SLACK_PARTS: Final = 4
"""A span around another one of its own scope may be longer than that by one part in so many."""


def select(calls: Sequence[ModelCall], known: Mapping[int, object] | None = None) -> list[list[int]]:
    """The positions of *calls* in groups, each of which is one call to a model.

    *known* names, by position, the groups that were decided earlier: calls with equal names are in one group, and
    groups of different names stay apart. Every position is in exactly one group.
    """
    groups = Groups(calls, {} if known is None else known)
    _unite_equals(calls, groups)
    _unite_parents(calls, groups)
    for pair in sorted(_nested_pairs(calls, groups)):
        if not groups.name_two_customers(pair.outer, pair.inner):
            groups.unite_nested(pair.outer, pair.inner)
    _unite_totals(calls, groups)
    return groups.all()


class _Pair(NamedTuple):
    """An outer and an inner span of what may be one call; the lesser sorts first."""

    is_unmetered: bool
    is_of_two_traces: bool
    is_overrun: bool
    slack_ns: int
    order: tuple[int, str, int, str]
    outer: int
    inner: int


def _unite_equals(calls: Sequence[ModelCall], groups: Groups) -> None:
    by_answer: dict[str, int] = {}
    by_span: dict[tuple[str, str, int], int] = {}
    for position, call in enumerate(calls):
        span = (call.trace_id, call.span_id, call.start_time_unix_nano)
        groups.unite_answer(by_span.setdefault(span, position), position)
        if (response_id := call.strong_id) is not None:
            groups.unite_answer(by_answer.setdefault(response_id, position), position)


def _unite_parents(calls: Sequence[ModelCall], groups: Groups) -> None:
    by_span = {(call.trace_id, call.span_id): position for position, call in enumerate(calls)}
    order = sorted(range(len(calls)), key=lambda position: _order(calls[position]))
    has_child: set[int] = set()
    for position in order:
        call = calls[position]
        parent = by_span.get((call.trace_id, call.parent_span_id or ""))
        if parent is None or parent == position or call.is_total or calls[parent].is_total:
            continue
        # One child only: of two requests with equal tokens below one span, one is another call.
        if parent not in has_child and _is_layer_above(calls[parent], call):
            has_child.add(parent)
            if calls[parent].scope_name == call.scope_name:
                groups.unite(parent, position)
            else:
                groups.unite_nested(parent, position)


def _is_layer_above(parent: ModelCall, child: ModelCall) -> bool:
    if not _look_alike(parent, child):
        return False
    if parent.scope_name != child.scope_name:
        # What tells no tokens is only the outer one if it is hardly longer: see below.
        return same_model(parent, child) and isinstance(parent.usage, TokenUsage)
    if not same_model(parent, child):
        return _contains(parent, child) and isinstance(parent.usage, TokenUsage)
    return _contains(parent, child) and _slack_ns(parent, child) <= _duration_ns(parent) // MAX_SLACK_PARTS


def _look_alike(outer: ModelCall, inner: ModelCall) -> bool:
    """Whether two spans tell the same of a call: its kind and its tokens."""
    if (outer.operation in WITHOUT_OUTPUT) != (inner.operation in WITHOUT_OUTPUT):
        return False
    if not isinstance(outer.usage, TokenUsage):
        # A span above that knows no tokens says nothing that could be billed.
        return True
    return isinstance(inner.usage, TokenUsage) and have_same_tokens(outer.usage, inner.usage)


def _nested_pairs(calls: Sequence[ModelCall], groups: Groups) -> Iterator[_Pair]:
    """Every pair that the rule of one within the other would allow by itself."""
    outers: defaultdict[tuple[str, int | None], defaultdict[str, list[tuple[int, str, int]]]] = defaultdict(
        lambda: defaultdict(list),
    )
    for position, call in enumerate(calls):
        if not call.is_total:
            outers[alike_key(call)][call.scope_name].append((call.start_time_unix_nano, call.span_id, position))
    for scopes in outers.values():
        for starts in scopes.values():
            starts.sort()
    for position, call in enumerate(calls):
        if call.is_total:
            continue
        process, tokens = alike_key(call)
        # What tells no tokens may be the outer one of anything.
        for bucket in {(process, tokens), (process, None)}:
            for scope_name, starts in outers.get(bucket, {}).items():
                if scope_name != call.scope_name:
                    yield from _pairs_around(calls, groups, position, starts)


def _pairs_around(
    calls: Sequence[ModelCall],
    groups: Groups,
    inner: int,
    starts: list[tuple[int, str, int]],
) -> Iterator[_Pair]:
    call = calls[inner]
    # A log has no duration: whenever the stream began that it tells of.
    earliest = 0 if not _duration_ns(call) else call.start_time_unix_nano - MAX_SLACK_IN_TRACE_NS
    first = bisect_left(starts, (earliest, "", 0))
    end = bisect_left(starts, (call.start_time_unix_nano + 1, "", 0))
    ends = call.end_time_unix_nano
    around = [
        (calls[outer].end_time_unix_nano < ends, _slack_ns(calls[outer], call), start, span_id, outer)
        for start, span_id, outer in starts[first:end]
        if calls[outer].end_time_unix_nano >= ends - _overrun_ns(call)
    ]
    if len(around) > MAX_CANDIDATES:
        around = nsmallest(MAX_CANDIDATES, around)
    for is_overrun, slack_ns, start, span_id, outer in around:
        if slack_ns > MAX_SLACK_IN_TRACE_NS or groups.are_one(outer, inner):
            continue
        if _may_be_nested(calls[outer], call):
            yield _Pair(
                is_unmetered=not isinstance(calls[outer].usage, TokenUsage),
                is_of_two_traces=calls[outer].trace_id != call.trace_id,
                is_overrun=is_overrun,
                slack_ns=slack_ns,
                order=(start, span_id, call.start_time_unix_nano, call.span_id),
                outer=outer,
                inner=inner,
            )


def _may_be_nested(outer: ModelCall, inner: ModelCall) -> bool:
    if not same_model(outer, inner) or not _look_alike(outer, inner):
        return False
    if outer.trace_id == inner.trace_id:
        # What tells no tokens must be hardly longer there, too.
        return isinstance(outer.usage, TokenUsage) or _slack_ns(outer, inner) <= MAX_SLACK_NS
    # Without a common trace nothing but its tokens tells that it is the same call; and what is below some span in one
    # trace and below some span in another one was begun in two contexts.
    return (
        isinstance(outer.usage, TokenUsage)
        and (outer.parent_span_id is None or inner.parent_span_id is None)
        and _slack_ns(outer, inner) <= MAX_SLACK_NS
        and sits_above(outer.scope_name, inner.scope_name)
    )


def alike_key(call: ModelCall) -> tuple[str, int | None]:
    """Equal for calls that can be one within the other: their process, and input tokens (``None``: not known)."""
    return call.process, call.usage.input_tokens if isinstance(call.usage, TokenUsage) else None


def _unite_totals(calls: Sequence[ModelCall], groups: Groups) -> None:
    if not any(call.is_total for call in calls):
        return
    parts: defaultdict[str, list[int]] = defaultdict(list)
    for position in sorted(range(len(calls)), key=lambda position: _order(calls[position])):
        if not calls[position].is_total and isinstance(calls[position].usage, TokenUsage):
            parts[calls[position].trace_id].append(position)
    for position, call in enumerate(calls):
        if call.is_total:
            part = next((part for part in parts[call.trace_id] if _is_part(call, calls[part])), None)
            is_below = part is not None and calls[part].parent_span_id == call.span_id
            if part is not None and (is_below or not groups.name_two_customers(part, position)):
                groups.unite(part, position)


def _is_part(total: ModelCall, part: ModelCall) -> bool:
    if (total.operation in WITHOUT_OUTPUT) != (part.operation in WITHOUT_OUTPUT) or not same_model(total, part):
        return False
    if isinstance(total.usage, TokenUsage) and isinstance(part.usage, TokenUsage):
        is_more = part.usage.input_tokens > total.usage.input_tokens
        if is_more or part.usage.output_tokens > total.usage.output_tokens:
            return False
    return _contains(total, part)


def _contains(outer: ModelCall, inner: ModelCall) -> bool:
    return (
        outer.process == inner.process
        and outer.start_time_unix_nano <= inner.start_time_unix_nano
        and outer.end_time_unix_nano >= inner.end_time_unix_nano
    )


def _overrun_ns(inner: ModelCall) -> int:
    """How much later than the outer span an inner one may end."""
    duration_ns = _duration_ns(inner)
    return min(MAX_OVERRUN_NS, duration_ns // MAX_SLACK_PARTS) if duration_ns else MAX_OVERRUN_NS


def _duration_ns(call: ModelCall) -> int:
    return call.end_time_unix_nano - call.start_time_unix_nano


def _slack_ns(outer: ModelCall, inner: ModelCall) -> int:
    if not _duration_ns(inner):
        # A log, as logfire's at the end of a stream.
        return max(0, outer.end_time_unix_nano - inner.end_time_unix_nano)
    return _duration_ns(outer) - _duration_ns(inner)


def _order(call: ModelCall) -> tuple[int, int, str]:
    return call.start_time_unix_nano, call.end_time_unix_nano, call.span_id
