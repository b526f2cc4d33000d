"""What was decided in the last minutes, so that a span that comes late is known for another one of a decided call.

Calls are found by whatever two spans of one call can have in common (see ``billing.selection``). Memory is bounded by
keeping two generations: when the younger is full or old, the older is dropped as a whole.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_polar.billing.selection import alike_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_polar.billing.call import ModelCall

GENERATION_S: Final = 300.0
"""A decided call is remembered for this long, unless too many others are decided meanwhile; at most twice as long."""

REMEMBERED_S: Final = 2 * GENERATION_S
"""The most."""

GENERATION_GROUPS: Final = 10_000
MAX_ALIKE: Final = 64
"""Remembered calls of one scope with equal token counts; only as many are ever compared."""


@dataclass(eq=False, slots=True)
class KnownCall:
    """A call in the ledger and the spans that told of it. ``is_held`` is whether it may still be changed."""

    external_id: str
    is_held: bool
    calls: list[ModelCall]

    def become(self, other: KnownCall) -> None:
        """Be known as *other* from now on, wherever it is remembered."""
        self.external_id, self.is_held, self.calls = other.external_id, other.is_held, other.calls


_Deque: TypeAlias = "deque[KnownCall]"


def _alike() -> _Deque:
    return deque(maxlen=MAX_ALIKE)


@dataclass(eq=False, slots=True)
class _Generation:
    since: float
    groups: int = 0
    by_answer: dict[str, KnownCall] = field(default_factory=dict)
    by_span: dict[tuple[str, str], KnownCall] = field(default_factory=dict)
    by_parent: defaultdict[tuple[str, str], _Deque] = field(default_factory=lambda: defaultdict(_alike))
    by_trace: defaultdict[str, _Deque] = field(default_factory=lambda: defaultdict(_alike))
    by_tokens: defaultdict[tuple[str, int | None], defaultdict[str, _Deque]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_alike)),
    )


class Recent:
    """For one outbox and one thread."""

    def __init__(self, now: float) -> None:
        self._young = _Generation(now)
        self._old = _Generation(now)

    def remember(self, known: KnownCall, now: float) -> None:
        """Remember a call, or that it has got more spans."""
        if self._young.groups >= GENERATION_GROUPS or not 0 <= now - self._young.since < GENERATION_S:
            self._old, self._young = self._young, _Generation(now)
        young = self._young
        young.groups += 1
        for call in known.calls:
            if (response_id := call.strong_id) is not None:
                young.by_answer[response_id] = known
            young.by_span[call.trace_id, call.span_id] = known
            young.by_trace[call.trace_id].append(known)
            young.by_tokens[alike_key(call)][call.scope_name].append(known)
            if call.parent_span_id is not None:
                young.by_parent[call.trace_id, call.parent_span_id].append(known)

    def related(self, calls: Sequence[ModelCall]) -> list[KnownCall]:
        """The remembered calls that any of these spans could be another span of."""
        found: dict[KnownCall, None] = {}
        for call in calls:
            for generation in (self._young, self._old):
                found.update(dict.fromkeys(_related(generation, call)))
        return list(found)


def _related(generation: _Generation, call: ModelCall) -> Iterator[KnownCall]:
    singles = (
        None if (response_id := call.strong_id) is None else generation.by_answer.get(response_id),
        generation.by_span.get((call.trace_id, call.span_id)),
        None if (parent := call.parent_span_id) is None else generation.by_span.get((call.trace_id, parent)),
    )
    yield from (known for known in singles if known is not None)
    yield from generation.by_parent.get((call.trace_id, call.span_id), ())
    process, tokens = alike_key(call)
    for bucket in {(process, tokens), (process, None)}:
        for scope_name, alike in generation.by_tokens.get(bucket, {}).items():
            if scope_name != call.scope_name:
                yield from alike
    for known in generation.by_trace.get(call.trace_id, ()):
        if call.is_total or any(other.is_total for other in known.calls):
            yield known
