"""What is held or rejected, by state and reason, with a few examples of the words: from the index of held calls only.

There may be a million, so they are gone through a few hundred at a time, and what is told is what the last time through
has found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.delivery.disk.reasons import OTHER, fixed_reason
from otel_polar.delivery.metrics.backlog import COUNTED, WAITING
from otel_polar.service.page.shown import shown_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import State
    from otel_polar.service.page.source import Source

ROWS_AT_ONCE: Final = 300
MAX_EXAMPLES: Final = 50
"""Different words of one reason that are counted by themselves; they may name a model, so there may be any number."""

EXAMPLES_SHOWN: Final = 3
EXAMPLE_CHARACTERS: Final = 200

_STATES: Final = [state for state in COUNTED if state not in WAITING]
# The condition is written as in the partial index.
_REASONS: Final = """
    SELECT seq, reason FROM events
    WHERE state NOT IN ('ready', 'sent', 'duplicate', 'discarded') AND state = ? AND seq > ?
    ORDER BY seq LIMIT ?"""


class HeldReason(NamedTuple):
    """Calls in one state for one reason, in the fixed words of :mod:`otel_polar.delivery.disk.reasons`."""

    state: State
    reason: str
    calls: int
    examples: Sequence[tuple[str, int]]


class _Found:
    def __init__(self) -> None:
        self.calls = 0
        self.examples: Counter[str] = Counter()

    def add(self, text: str) -> None:
        self.calls += 1
        if text in self.examples or len(self.examples) < MAX_EXAMPLES:
            self.examples[text] += 1


class Held:
    """Counted by one thread, read by any: what was found is replaced as a whole."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.reasons: Sequence[HeldReason] = ()

    def count(self) -> Iterator[None]:
        """Go through all of them once; pauses after every look at a file.

        Raises:
            OutboxError: if a file cannot be read.
        """
        found: defaultdict[tuple[State, str], _Found] = defaultdict(_Found)
        for outbox in self._source.outboxes():
            for state in _STATES:
                for texts in _texts(outbox, state):
                    for text in texts:
                        found[state, fixed_reason(state, text)].add(text or OTHER)
                    yield
        reasons = [
            HeldReason(state, reason, each.calls, _shown(each.examples)) for (state, reason), each in found.items()
        ]
        self.reasons = sorted(reasons, key=lambda each: (-each.calls, each.state, each.reason))


def _texts(outbox: Outbox, state: State) -> Iterator[list[str | None]]:
    seq = 0
    while rows := outbox.database.read(_REASONS, (state.value, seq, ROWS_AT_ONCE)):
        yield [None if row[1] is None else str(row[1]) for row in rows]
        if len(rows) < ROWS_AT_ONCE or rows[-1][0] <= seq:
            return
        seq = rows[-1][0]


def _shown(examples: Counter[str]) -> list[tuple[str, int]]:
    return [(shown_text(text, limit=EXAMPLE_CHARACTERS), n) for text, n in examples.most_common(EXAMPLES_SHOWN)]
