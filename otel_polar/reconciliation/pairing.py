"""Which events of the two sides belong together, among those of one identity. Pure.

Equal ones are paired first, so that an event that is there twice, once changed, is one that is equal and one too many.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence


class Event(NamedTuple):
    """An event of a side by its *number* there. *content* and *customer* are equal for equal events.

    ``is_traced``: its loose identity is that of a span, not only a time and a name.
    """

    number: int
    content: bytes
    customer: str | None
    is_traced: bool = True


@dataclass(slots=True)
class Pairs:
    """Numbers of events: pairs of ours and theirs, and those without a partner.

    ``doubled`` are theirs, each with the one of ours that has a partner already.
    """

    equal: list[tuple[int, int]] = field(default_factory=list)
    differing: list[tuple[int, int]] = field(default_factory=list)
    doubled: list[tuple[int, int]] = field(default_factory=list)
    left_here: list[Event] = field(default_factory=list)
    left_there: list[Event] = field(default_factory=list)


def pair_close(here: Sequence[Event], there: Sequence[Event]) -> Pairs:
    """Pair the events of one close identity, with no order among them."""
    pairs = Pairs()
    pairs.equal, ours, theirs = _paired(here, there, _whole)
    # Of those that differ, first the ones about the same customer.
    same, ours, theirs = _paired(ours, theirs, _customer)
    other, ours, theirs = _paired(ours, theirs, _anything)
    pairs.differing = [*same, *other]
    pairs.left_here = ours
    if here:
        pairs.doubled = [(here[0].number, event.number) for event in theirs]
    else:
        pairs.left_there = theirs
    return pairs


def pair_loose(here: Sequence[Event], there: Sequence[Event]) -> Pairs:
    """Pair what is left over, of one loose identity: one event whose name or id was changed, not two.

    A time and a name alone are not enough: then it has to be the same customer, too.
    """
    pairs = Pairs()
    pairs.differing, ours, theirs = _paired(here, there, _customer)
    if all(event.is_traced for event in (*ours, *theirs)):
        other, ours, theirs = _paired(ours, theirs, _anything)
        pairs.differing += other
    pairs.left_here, pairs.left_there = ours, theirs
    return pairs


def _paired(
    here: Sequence[Event], there: Sequence[Event], by: Callable[[Event], Hashable]
) -> tuple[list[tuple[int, int]], list[Event], list[Event]]:
    """Pairs of events that are the same *by* something, and what is left of both."""
    waiting: dict[Hashable, deque[Event]] = {}
    for event in there:
        waiting.setdefault(by(event), deque()).append(event)
    found, left = list[tuple[int, int]](), list[Event]()
    for event in here:
        if alike := waiting.get(by(event)):
            found.append((event.number, alike.popleft().number))
        else:
            left.append(event)
    return found, left, [event for alike in waiting.values() for event in alike]


def _whole(event: Event) -> Hashable:
    return event.content, event.customer


def _customer(event: Event) -> Hashable:
    return event.customer


def _anything(_: Event) -> Hashable:
    return None
