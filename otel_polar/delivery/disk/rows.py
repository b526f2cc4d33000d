"""What lies in an outbox, row by row, and the states a call can be in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a call stands. Every recorded call is in exactly one of these."""

    RECORDED = "recorded"
    READY = "ready"
    SENT = "sent"
    UNPRICED = "held: unpriced"
    UNATTRIBUTED = "held: unattributed"
    UNMETERED = "held: unmetered"
    UNBUILDABLE = "held: unbuildable"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    DISCARDED = "discarded"

    @property
    def is_held(self) -> bool:
        """Whether it waits for something other than Polar, and nothing of it has been sent."""
        return self.value.startswith("held:")

    @classmethod
    def _missing_(cls, value: object) -> State:  # noqa: ARG003 - whatever it is
        # A damaged word must not make the good rows beside it unreadable.
        return cls.UNBUILDABLE


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call as it lies in the intake. ``recorded_at`` is Unix seconds."""

    seq: int
    recorded_at: float
    call: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a recorded call: ready with its frozen ``body``, or held with its ``reason``."""

    recorded: Recorded
    external_id: str
    state: State
    reason: str | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A recorded call that is another span of the call ``of`` (an external id); it is known again by its own id.

    ``seq`` is its place in the intake, ``None`` if it was decided earlier and held under ``external_id``.
    """

    external_id: str
    of: str
    recorded_at: float
    seq: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """A row of the ledger, as far as it tells whether a span of its call was seen before. ``call`` may be forgotten."""

    external_id: str
    state: str
    call: str | None

    @property
    def is_held(self) -> bool:
        """Whether it may still be changed: nothing of it has been sent."""
        return self.state.startswith("held:")


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that is ready to be sent. ``due_at`` is Unix seconds."""

    seq: int
    due_at: float
    body: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An event as the ledger has it. ``body`` is JSON, absent while the event is held."""

    external_id: str
    state: State
    reason: str | None
    body: str | None
