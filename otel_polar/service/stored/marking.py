"""``Mark``: how far one file has been read, moved only behind what is recorded."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.service.stored.positions import before_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_polar.service.stored.messages import Part
    from otel_polar.service.stored.plain import Plain
    from otel_polar.service.stored.positions import Position

COMMIT_CALLS: Final = 1_000
COMMIT_BYTES: Final = 16 * 2**20
"""So many calls are recorded together, or what is in so many bytes: each time a disk has to be waited for."""

AGAIN_CALLS: Final = 2_000
AGAIN_BYTES: Final = 16 * 2**20
"""So far back reading goes on: about as many calls as are looked at together (``delivery.deciding.window``)."""


class _Passed(NamedTuple):
    begin: int
    line: int
    calls: int


class Mark:
    """Collects the calls of a file, and has them recorded in lots."""

    def __init__(
        self, position: Position, commit: Callable[[Sequence[str]], None], save: Callable[[Position], Position]
    ) -> None:
        """*commit* records calls durably, or raises; *save* writes down a position after that."""
        self._position = position
        self._commit = commit
        self._save = save
        self._calls: list[str] = []
        self._passed: deque[_Passed] = deque()
        self._calls_passed = 0
        self._read_to, self._tail = position.read_to, b""

    def pass_by(self, part: Part, calls: list[str], plain: Plain) -> None:
        """Take the calls of what was read last; *plain* stands behind it."""
        self._calls += calls
        # Not when it is written: what is left at the end of a file may have been passed by then.
        self._read_to, self._tail = plain.position, plain.tail
        self._passed.append(_Passed(part.begin, part.line or 1, len(calls)))
        self._calls_passed += len(calls)
        while len(self._passed) > 1 and self._can_forget(plain.position):
            self._calls_passed -= self._passed.popleft().calls
        unwritten_bytes = plain.position - self._position.read_to
        if len(self._calls) >= COMMIT_CALLS or unwritten_bytes >= COMMIT_BYTES:
            self.write()

    def write(self) -> None:
        """Have everything recorded so far, and then move the position."""
        if not self._passed:
            return
        calls, self._calls = self._calls, []
        if calls:
            self._commit(calls)
        oldest = self._passed[0]
        self._position = self._save(
            replace(
                self._position,
                read_to=self._read_to,
                before=before_of(self._tail),
                resume_at=oldest.begin,
                line=oldest.line,
            )
        )

    def _can_forget(self, position: int) -> bool:
        oldest, second = self._passed[0], self._passed[1]
        return self._calls_passed - oldest.calls >= AGAIN_CALLS or position - second.begin >= AGAIN_BYTES
