"""What may be another span of a call, found without comparing it with everything.

Two spans can only be one call (see :mod:`otel_polar.billing.selection`) if they have something in common: the answer's
id, the span itself, a span and its parent, a process and the number of input tokens in two scopes, or, where one of
them is a total or knows no tokens, the trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from otel_polar.billing.call import ModelCall

Item = TypeVar("Item")

_NONE: Final = ()


class Relatives(Generic[Item]):
    """Items, each of which tells of some spans. What finds another one is a superset of what ``select`` unites.

    Most have nothing in common with any other. So what a key leads to is an item, or several as the keys of a dict.
    """

    def __init__(self, max_alike: int | None = None) -> None:
        """*max_alike*: of the items with one key only the youngest so many are kept."""
        self._max_alike = max_alike
        self._by_answer: dict[str, Any] = {}
        self._by_span: dict[tuple[str, str], Any] = {}
        self._by_parent: dict[tuple[str, str], Any] = {}
        self._by_trace: dict[str, Any] = {}
        self._indefinite: dict[str, Any] = {}
        self._by_tokens: dict[tuple[str, int, str], Any] = {}
        self._scopes: dict[tuple[str, int], Any] = {}

    def add(self, item: Item, call: ModelCall) -> None:
        """Find *item* by whatever another span can have in common with *call*, a span of it."""
        trace_id = call.trace_id
        if (answer := call.strong_id) is not None:
            self._put(self._by_answer, answer, item)
        self._put(self._by_span, (trace_id, call.span_id), item)
        if call.parent_span_id is not None:
            self._put(self._by_parent, (trace_id, call.parent_span_id), item)
        self._put(self._by_trace, trace_id, item)
        if _is_indefinite(call):
            self._put(self._indefinite, trace_id, item)
        if isinstance(call.usage, TokenUsage):
            tokens = call.usage.input_tokens
            self._put(self._by_tokens, (call.process, tokens, call.scope_name), item)
            self._put(self._scopes, (call.process, tokens), call.scope_name)

    def remove(self, item: Item, call: ModelCall) -> None:
        """Undo :meth:`add`."""
        trace_id = call.trace_id
        if (answer := call.strong_id) is not None:
            _drop(self._by_answer, answer, item)
        _drop(self._by_span, (trace_id, call.span_id), item)
        if call.parent_span_id is not None:
            _drop(self._by_parent, (trace_id, call.parent_span_id), item)
        _drop(self._by_trace, trace_id, item)
        if _is_indefinite(call):
            _drop(self._indefinite, trace_id, item)
        if isinstance(call.usage, TokenUsage):
            tokens = call.usage.input_tokens
            key = (call.process, tokens, call.scope_name)
            _drop(self._by_tokens, key, item)
            if key not in self._by_tokens:
                _drop(self._scopes, (call.process, tokens), call.scope_name)

    def all(self) -> Iterator[Item]:
        """Every item that was added, once for each of its spans."""
        for there in self._by_span.values():
            yield from _all(there)

    def of(self, call: ModelCall, looked_through: set[Hashable]) -> Iterator[Item]:
        """The items that a span may be another one of, and those that any of these have in common with it.

        A place that was *looked_through* is passed over; those that are looked through now are added. So a whole family
        is found in the time of its size, by going on with what is found.
        """
        trace_id, process = call.trace_id, call.process
        if (answer := call.strong_id) is not None:
            yield from _all(self._by_answer.get(answer))
        yield from _all(self._by_span.get((trace_id, call.span_id)))
        if (parent := call.parent_span_id) is not None:
            yield from _all(self._by_span.get((trace_id, parent)))
        yield from _all(self._by_parent.get((trace_id, call.span_id)))
        if _is_indefinite(call):
            if trace_id not in looked_through:
                looked_through.add(trace_id)
                yield from _all(self._by_trace.get(trace_id))
        elif trace_id in self._indefinite and trace_id not in looked_through:
            yield from _all(self._indefinite[trace_id])
        if isinstance(call.usage, TokenUsage):
            tokens = call.usage.input_tokens
            scopes = self._scopes.get((process, tokens), call.scope_name)
            if scopes != call.scope_name and (process, tokens) not in looked_through:
                looked_through.add((process, tokens))
                for scope_name in _all(scopes):
                    yield from _all(self._by_tokens.get((process, tokens, scope_name)))

    def _put(self, index: dict[Any, Any], key: Hashable, item: object) -> None:
        there = index.setdefault(key, item)
        if there is item or there == item:
            return
        if type(there) is not dict:
            index[key] = {there: None, item: None}
            return
        there[item] = None
        if self._max_alike is not None and len(there) > self._max_alike:
            del there[next(iter(there))]


def _is_indefinite(call: ModelCall) -> bool:
    """Whether it may belong to any call of its trace, by what it tells."""
    return call.is_total or not isinstance(call.usage, TokenUsage)


def _drop(index: dict[Any, Any], key: Hashable, item: object) -> None:
    there = index.get(key)
    if type(there) is dict:
        there.pop(item, None)
        if len(there) == 1:
            index[key] = next(iter(there))
    elif there is not None and (there is item or there == item):
        del index[key]


def _all(there: Any) -> Iterable[Any]:
    if there is None:
        return _NONE
    return tuple(there) if type(there) is dict else (there,)
