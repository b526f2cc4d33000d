"""What each state of a call means, and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.delivery.disk.reasons import fixed_reason
from otel_polar.delivery.looking.advice import what_to_do

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.delivery.disk.rows import State
    from otel_polar.delivery.looking.seen import SeenCall


class Meaning(NamedTuple):
    """What a state means, and what a person can do about it; empty if there is nothing to do."""

    text: str
    to_type: str


_SEND: Final = "nothing while the application runs; otherwise: otel-polar outbox send"
_SHOW_OR_DISCARD: Final = "otel-polar outbox show ID, then outbox discard ID"

# In the order in which a call comes to them.
_MEANINGS: Final[Mapping[str, Meaning]] = {
    "recorded": Meaning("on disk; it is decided within seconds", _SEND),
    "ready": Meaning("its event is on its way to Polar", _SEND),
    "sent": Meaning("Polar has it", ""),
    "held: unpriced": Meaning(
        "no price of it is known", "otel-polar outbox reprice, with a rate card; or outbox release, without cost"
    ),
    "held: unattributed": Meaning("nobody is named who pays", "otel-polar outbox assign, or outbox discard"),
    "held: unmetered": Meaning("what was used is not known", _SHOW_OR_DISCARD),
    "held: unbuildable": Meaning("its event could not be built", "mend your function, then: otel-polar outbox retry"),
    "rejected": Meaning("Polar refused this event for good", "mend what Polar names, then: otel-polar outbox retry"),
    "duplicate": Meaning("another span of a call that is billed", ""),
    "discarded": Meaning("a person decided that nobody pays", ""),
}
_UNKNOWN: Final = Meaning("", "")


def meaning(state: State) -> Meaning:
    """Of a state."""
    return _MEANINGS.get(state.value, _UNKNOWN)


def place_of(state: State) -> int:
    """Where it stands in a table of states."""
    order = list(_MEANINGS)
    return order.index(state.value) if state.value in order else len(order)


def advice(state: State, reason: str | None) -> str:
    """What to do about a call that waits for a person; empty for others."""
    return what_to_do(state, fixed_reason(state, reason)) if reason is not None else ""


def what_is_next(seen: SeenCall) -> str:
    """What can be done about one call, in words."""
    if seen.duplicate_of is not None:
        return f"nothing: it is another span of {seen.duplicate_of}"
    said = meaning(seen.state)
    return said.to_type or "nothing is left to do"
