"""``Tally``: the plain numbers of one pipeline, which its metrics are read from.

The delivery thread writes them down where something has been decided, never before it is on disk; whoever collects
metrics reads them at any moment, from another thread, and waits for nothing. What came in is in ``counts``, which the
callers' threads add to anyway.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

from otel_polar.delivery.disk.database import writable_text
from otel_polar.delivery.disk.reasons import OTHER, fixed_reason
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.delivery.disk.rows import Decided
    from otel_polar.delivery.outcome import Accepted

MAX_HELD_REMEMBERED: Final = 50_000
MAX_MODELS: Final = 500
"""Models that are counted by name: the names come from spans."""

MAX_REASONS: Final = 200
"""Reasons that are counted by themselves: as many as there are in our own words, and more."""

RECORDED: Final = "recorded"
LOST: Final = "lost"
FAILED: Final = "failed"

NOT_BILLED: Final = "not billed"
DROPPED: Final = "dropped"
FORGOTTEN: Final = "forgotten"
_NOT_BILLED_KEY: Final = f"{NOT_BILLED}: "
# Keys of counts that are ends of calls, and what they are called.
_ENDS: Final = {
    "duplicate": ("duplicate", None),
    "dropped: unattributed": (DROPPED, "unattributed"),
    "forgotten unsent": (FORGOTTEN, None),
    LOST: (LOST, "neither disk nor memory"),
    FAILED: (LOST, "could not be looked at"),
}


class Tally:
    """What became of the calls of one pipeline, in this process. Made anew in a forked child.

    Outcomes, each counted at the moment when it is on disk:

    =============  ====================================================================================================
    ``sent``       Polar has its event; with the reason "Polar had it already" where an earlier attempt was not known
                   to have succeeded
    ``rejected``   Polar refused its event for good
    ``duplicate``  a span of a call that another span told of
    ``held: …``    it waits for a person or a price, by the name of its state. Once for each state in a process, however
                   often it is tried again (of the first 50,000 calls; of others at each try)
    ``discarded``  held or rejected, and a person has decided that nobody is billed for it
    ``dropped``    nobody to bill, and ``on_unattributed="drop"``
    ``forgotten``  held or rejected for longer than ``retention_days``
    ``not billed`` the span is no call to be billed
    ``lost``       neither disk nor memory took it, or its span could not be looked at
    =============  ====================================================================================================

    They are events in the life of a call, and do not add up to calls: one that was held and is released later counts
    as held and as sent, and a held one that is forgotten as held and as forgotten.
    """

    def __init__(self, counts: Counter[str] | None = None) -> None:
        """*counts* is what became of calls where they came in, by reason."""
        self._counts = Counter() if counts is None else counts
        self._by_end: Counter[tuple[str, str | None]] = Counter()
        self._by_model: Counter[tuple[str, str]] = Counter()
        self._held: set[int] = set()
        self._recorded = 0
        self.in_flight = 0
        """Events in the request that is under way."""

    @property
    def lost(self) -> int:
        """Calls that neither disk nor memory took."""
        return self._counts.get(LOST, 0)

    @property
    def failed(self) -> int:
        """Spans that could not be looked at."""
        return self._counts.get(FAILED, 0)

    @property
    def recorded(self) -> int:
        """Calls that were kept. Never less than it was before."""
        # One that is lost is counted as lost a moment before it is counted at all.
        self._recorded = max(self._recorded, self._counts.get(RECORDED, 0) - self.lost)
        return self._recorded

    def decided(self, decided: Sequence[Decided], unpriced: Mapping[str, ModelCall]) -> None:
        """These calls are on disk with what was decided; *unpriced* has those without a price, by external id.

        A held call that is tried again and held again is not counted again.
        """
        for each in decided:
            if each.state.is_held and self._is_new(each.external_id, each.state):
                self._count(each.state, fixed_reason(each.state, each.reason))
                if (call := unpriced.get(each.external_id)) is not None:
                    # Half a character cannot be written as UTF-8: whoever reads the metrics would get none of them.
                    self._count_model(writable_text(call.provider or "unknown"), writable_text(call.model or "unknown"))

    def accepted(self, answer: Accepted) -> None:
        """Polar has a batch, and that is on disk."""
        self._count(State.SENT, None, answer.inserted)
        # As after an answer that did not come through.
        self._count(State.SENT, "Polar had it already", answer.duplicates)

    def refused(self, reasons: Mapping[int, str]) -> None:
        """Polar will not take these events, each for its reason, and that is on disk."""
        for reason in reasons.values():
            self._count(State.REJECTED, fixed_reason(State.REJECTED, reason))

    def discarded(self, count: int) -> None:
        """A person has decided that nobody is billed for so many calls, and that is on disk."""
        self._count(State.DISCARDED, None, count)

    def ends(self) -> dict[tuple[str, str | None], int]:
        """How many calls came to each end, for each reason, since the process began."""
        ends = Counter(dict(items_of(self._by_end)))
        for key, count in items_of(self._counts):
            if key.startswith(_NOT_BILLED_KEY):
                ends[NOT_BILLED, key.removeprefix(_NOT_BILLED_KEY)] += count
            elif key in _ENDS:
                ends[_ENDS[key]] += count
        return ends

    def unpriced(self) -> dict[tuple[str, str], int]:
        """How many calls were held for want of a price, by provider and model."""
        return dict(items_of(self._by_model))

    def _is_new(self, external_id: str, state: State) -> bool:
        key = hash((external_id, state))
        if key in self._held:
            return False
        if len(self._held) < MAX_HELD_REMEMBERED:
            self._held.add(key)
        return True

    def _count(self, state: State, reason: str | None, count: int = 1) -> None:
        if count:
            key = (state.value, reason)
            self._by_end[key if key in self._by_end or len(self._by_end) < MAX_REASONS else (state.value, OTHER)] += (
                count
            )

    def _count_model(self, provider: str, model: str) -> None:
        key = (provider, model)
        self._by_model[key if key in self._by_model or len(self._by_model) < MAX_MODELS else (OTHER, OTHER)] += 1


_Key = TypeVar("_Key")


def items_of(counts: Counter[_Key]) -> list[tuple[_Key, int]]:
    """What is in there at one moment, while another thread adds to it."""
    while True:
        try:
            return list(counts.items())
        except RuntimeError:
            # It got a new key meanwhile; there are few of them.
            continue
