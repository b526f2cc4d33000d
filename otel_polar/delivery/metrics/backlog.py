"""What waits in the outboxes of a pipeline, looked at now and then, and told from memory in between.

The delivery thread looks, because counting takes the time that there are rows; whoever collects metrics is told what it
saw last, with what has been recorded since. So the numbers go on growing when that thread is stuck in a request.

How old the oldest call is, is not asked of the clock alone, which may be set meanwhile: once it has been seen to jump,
no call can be older than what was the oldest before, and the time since.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.journal import segments_of
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from otel_polar.delivery.disk.outbox import Outbox

WAITING: Final = (State.RECORDED, State.READY)
COUNTED: Final = (*WAITING, *(state for state in State if state.is_held), State.REJECTED)
"""What is still to be sent, and what waits for a person. Of the others there may be millions."""

JUMP_S: Final = 2.0
"""The clock was set if it moved by so much more or less than the monotonic one between two looks."""

# The first goes through the partial index only, the second not through all of what may be a million rows.
_READY: Final = "SELECT count(*), min(seq) FROM events WHERE state = 'ready'"
_OLDEST_READY: Final = """
    SELECT CAST(min(recorded_at) AS REAL) FROM (
        SELECT recorded_at FROM events WHERE seq = ?
        UNION ALL
        SELECT * FROM (SELECT recorded_at FROM events WHERE state = 'ready' ORDER BY due_at LIMIT 500))"""
_OLDEST_IN_INTAKE: Final = "SELECT CAST(recorded_at AS REAL) FROM intake ORDER BY seq LIMIT 1"


@dataclass(frozen=True, slots=True)
class Look:
    """What there was at one moment. ``recorded`` is how many calls this process had recorded by then."""

    sizes: Mapping[State, int]
    bytes_on_disk: int
    oldest_at: float | None
    recorded: int

    @property
    def waiting(self) -> int:
        """Calls that are still to be sent."""
        return sum(self.sizes[state] for state in WAITING)


def look_at(outboxes: Sequence[Outbox], recorded: int) -> Look:
    """Count what lies there. *recorded* is how many calls had been recorded before.

    Raises:
        OutboxError: if one of them cannot be read.
    """
    sizes = dict.fromkeys(COUNTED, 0)
    oldest: list[float] = []
    for outbox in outboxes:
        for state, count in outbox.held_counts().items():
            sizes[state] += count
        ready, first_ready = outbox.database.read(_READY)[0]
        sizes[State.READY] += ready
        sizes[State.RECORDED] += outbox.undecided()
        if ready:
            oldest += [row[0] for row in outbox.database.read(_OLDEST_READY, (first_ready,))]
        oldest += [row[0] for row in outbox.database.read(_OLDEST_IN_INTAKE)]
    size = sum(_bytes_of(outbox.path) for outbox in outboxes if outbox.path is not None)
    return Look(sizes, size, min(oldest, default=None), recorded)


class OldestAge:
    """How long the oldest call that is still to be sent has waited. Told what was seen, in the order of seeing it."""

    def __init__(self) -> None:
        # One value, because another thread reads it: how old it was, and when on the monotonic clock.
        self._seen: tuple[float, float] | None = None
        self._recorded_at: float | None = None
        self._clock_ahead_s = 0.0
        self._is_clock_believed = True

    def saw(self, oldest_at: float | None, *, now: float, monotonic: float) -> None:
        """The oldest call was recorded at *oldest_at* (Unix seconds), or there is none."""
        ahead_s = now - monotonic
        if self._seen is not None and abs(ahead_s - self._clock_ahead_s) > JUMP_S:
            self._is_clock_believed = False
        self._clock_ahead_s = ahead_s
        if oldest_at is None:
            # What comes from here on is written down by the clock as it is now.
            self._is_clock_believed = True
            age_s = 0.0
        else:
            age_s = max(0.0, now - oldest_at)
            if not self._is_clock_believed:
                age_s = self._without_clock(age_s, oldest_at, monotonic)
        self._recorded_at = oldest_at
        self._seen = (age_s, monotonic)

    def age_s(self, monotonic: float) -> float:
        """How old it is now, if it is still there."""
        if self._seen is None:
            return 0.0
        age_s, at = self._seen
        return age_s + max(0.0, monotonic - at)

    def _without_clock(self, by_clock_s: float, oldest_at: float, monotonic: float) -> float:
        """No older than what was the oldest before, and by as much younger as it was recorded later."""
        at_most_s = self.age_s(monotonic)
        by_order_s = 0.0 if self._recorded_at is None else at_most_s - max(0.0, oldest_at - self._recorded_at)
        return min(at_most_s, max(by_order_s, by_clock_s))


@dataclass(slots=True)
class Backlog:
    """What is told of the backlog at any moment."""

    last: Look | None = None
    oldest: OldestAge = field(default_factory=OldestAge)
    _unseen_since: float | None = None

    def saw(self, look: Look, *, now: float, monotonic: float) -> None:
        """The delivery thread has looked."""
        # A call that is in the journal only was recorded just now.
        oldest_at = now if look.oldest_at is None and look.waiting else look.oldest_at
        self.oldest.saw(oldest_at, now=now, monotonic=monotonic)
        self._unseen_since = None
        self.last = look

    def sizes(self, recorded: int) -> dict[State, int]:
        """How many calls there are in each state; *recorded* is how many have been recorded by now."""
        if self.last is None:
            return {}
        since = max(0, recorded - self.last.recorded)
        return {**self.last.sizes, State.RECORDED: self.last.sizes[State.RECORDED] + since}

    def oldest_age_s(self, recorded: int, monotonic: float) -> float | None:
        """How long the oldest call has waited, 0 if none does; ``None`` if nobody has looked yet."""
        look = self.last
        if look is None:
            return None
        if look.waiting:
            return self.oldest.age_s(monotonic)
        if recorded <= look.recorded:
            return 0.0
        # The delivery thread has not seen it: it is as old as what asks has known of it.
        since = self._unseen_since
        if since is None:
            self._unseen_since = since = monotonic
        return monotonic - since


def _bytes_of(path: Path) -> int:
    size = 0
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"), *segments_of(path)):
        with suppress(OSError):
            size += file.stat().st_size
    return size
