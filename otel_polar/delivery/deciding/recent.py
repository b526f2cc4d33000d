"""What was decided in the last minutes, so that a span that comes late is known for another one of a decided call.

Calls are found by whatever two spans of one call can have in common (see ``billing.relatives``). Memory is bounded by
keeping two generations: when the younger is full or old, the older is dropped as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.billing.relatives import Relatives

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Sequence

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
    """A call in the ledger and the spans that told of it. ``is_held`` is whether it may still be changed.

    ``is_elsewhere``: it is another process's ledger.
    """

    external_id: str
    is_held: bool
    calls: list[ModelCall]
    is_elsewhere: bool = False

    def become(self, other: KnownCall) -> None:
        """Be known as *other* from now on, wherever it is remembered."""
        self.external_id, self.is_held, self.calls = other.external_id, other.is_held, other.calls
        self.is_elsewhere = other.is_elsewhere


class _Generation:
    def __init__(self, since: float) -> None:
        self.since = since
        self.groups = 0
        self.relatives: Relatives[KnownCall] = Relatives(MAX_ALIKE)


class Recent:
    """For one outbox and one thread."""

    def __init__(self, monotonic: float) -> None:
        self._young = _Generation(monotonic)
        self._old = _Generation(monotonic)
        self.generation = 0
        """Which one is the younger: when there is another one, something has been forgotten."""

    def remember(self, known: KnownCall, monotonic: float) -> None:
        """Remember a call, or that it has got more spans. The clock must not jump, or what is known were forgotten."""
        if self._young.groups >= GENERATION_GROUPS or monotonic - self._young.since >= GENERATION_S:
            self._old, self._young = self._young, _Generation(monotonic)
            self.generation += 1
        young = self._young
        young.groups += 1
        for call in known.calls:
            young.relatives.add(known, call)

    def named(self, external_ids: Container[str]) -> list[KnownCall]:
        """The remembered calls that the ledger has under these ids; it looks through all of them."""
        every = (known for generation in (self._young, self._old) for known in generation.relatives.all())
        return list(dict.fromkeys(known for known in every if known.external_id in external_ids))

    def related(self, calls: Sequence[ModelCall]) -> list[KnownCall]:
        """The remembered calls that any of these spans could be another span of."""
        found: dict[KnownCall, None] = {}
        for generation in (self._young, self._old):
            looked_through: set[Hashable] = set()
            for call in calls:
                found.update(dict.fromkeys(generation.relatives.of(call, looked_through)))
        return list(found)
