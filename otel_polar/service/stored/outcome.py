"""What came of reading a stored file: counts, and the places at which something could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

MAX_PLACES: Final = 20
"""Damaged places that are told of, of each file."""


class Place(NamedTuple):
    """Where something could not be read, and why."""

    place: str
    reason: str


@dataclass(slots=True)
class FileRead:
    """One file. ``spans`` are all that were looked at, ``calls`` what was recorded of them."""

    name: str
    spans: int = 0
    calls: int = 0
    unreadable_spans: int = 0
    """Without ids or times: they cannot be told from others."""
    other_signals: int = 0
    """Messages with logs, metrics or profiles."""
    damaged: int = 0
    places: list[Place] = field(default_factory=list)
    """The first of what is damaged."""
    left: Place | None = None
    """What is not written to its end."""
    refused: str | None = None
    """Why nothing of it was read."""
    resumed_at: int = 0
    """Where reading went on, in unzipped bytes."""
    replayed_at: float | None = None
    """When all of it had been replayed before, in Unix seconds."""

    def found_damage(self, place: str, reason: str) -> None:
        """Count it, and remember the first."""
        self.damaged += 1
        if len(self.places) < MAX_PLACES:
            self.places.append(Place(place, reason))
