"""How many calls there are in an outbox: by state, and of those that wait, by reason, customer and model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from otel_polar.delivery.disk.rows import State
    from otel_polar.delivery.looking.seen import SeenCall

MAX_NAMES: Final = 5_000
"""Reasons, customers or models that are told apart: names come from spans, and may be any number."""

_DONE: Final = frozenset({"sent", "duplicate", "discarded"})


@dataclass(slots=True)
class Sum:
    """Some calls. Times are Unix seconds; ``unpriced`` of them do not say what they cost."""

    calls: int = 0
    oldest_at: float | None = None
    newest_at: float | None = None
    cost_nanos: int = 0
    unpriced: int = 0

    def add(self, seen: SeenCall) -> None:
        """Count one call."""
        self.calls += 1
        at = seen.recorded_at
        self.oldest_at = at if self.oldest_at is None else min(at, self.oldest_at)
        self.newest_at = at if self.newest_at is None else max(at, self.newest_at)
        if (cost_nanos := seen.cost_nanos) is None:
            self.unpriced += 1
        else:
            self.cost_nanos += cost_nanos


@dataclass(slots=True)
class Census:
    """Sums of calls. ``None`` as a customer is nobody, as a model usage that is no call to one, or an unknown one.

    Only calls that wait, for Polar or a person, are in ``reasons`` (those with one), ``customers`` and ``models``.
    """

    states: dict[State, Sum] = field(default_factory=dict)
    reasons: dict[tuple[State, str], Sum] = field(default_factory=dict)
    customers: dict[str | None, Sum] = field(default_factory=dict)
    models: dict[str | None, Sum] = field(default_factory=dict)
    is_partial: bool = False
    """Whether there are more reasons, customers or models than can be told apart; the others are in ``states`` only."""

    def add(self, seen: SeenCall) -> None:
        """Count one call."""
        self.states.setdefault(seen.state, Sum()).add(seen)
        if is_done(seen.state):
            return
        if seen.reason is not None:
            self._add(self.reasons, (seen.state, seen.reason), seen)
        self._add(self.customers, seen.customer, seen)
        self._add(self.models, seen.model or seen.event_name, seen)

    def _add(self, sums: dict[_Name, Sum], name: _Name, seen: SeenCall) -> None:
        if name in sums or len(sums) < MAX_NAMES:
            sums.setdefault(name, Sum()).add(seen)
        else:
            self.is_partial = True


_Name = TypeVar("_Name", bound="Hashable")


def is_done(state: State) -> bool:
    """Whether nothing more will happen to a call in that state."""
    return state.value in _DONE


def needs_person(state: State) -> bool:
    """Whether a call in that state waits for somebody to do something."""
    return state.is_held or state.value == "rejected"


def largest(sums: dict[_Name, Sum], count: int) -> list[tuple[_Name, Sum]]:
    """The names with the most calls, the largest first."""
    return sorted(sums.items(), key=lambda item: (-item[1].calls, str(item[0])))[:count]
