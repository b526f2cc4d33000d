"""``Recalling``: what is known of calls that are decided already: lately, in this ledger, or in another process's.

A late span, or a span that is delivered once more, is recognised by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.deciding.recent import REMEMBERED_S, KnownCall, Recent
from otel_polar.delivery.disk.record import load_call

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.delivery.deciding.window import Read
    from otel_polar.delivery.disk.elsewhere import Elsewhere
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import Known

MAX_RECALLED: Final = 5_000


class Recalling:
    """For one outbox, and the thread that decides what is recorded in it. Methods raise ``OutboxError``."""

    def __init__(self, outbox: Outbox, *, elsewhere: Elsewhere | None, monotonic: Callable[[], float]) -> None:
        self._outbox = outbox
        self._elsewhere = elsewhere
        self._monotonic = monotonic
        self._recent: Recent | None = None
        self._recalled_in: int | None = None
        self._arrivals = outbox.arrivals
        self._ids_elsewhere: set[str] = set()

    def lately(self, oldest_at: float) -> Recent:
        """What was decided by the time of a call recorded then (Unix seconds), and less than ten minutes before it.

        Also by another process, or in another outbox whose rows have been carried over since.
        """
        recent = self._recent
        if recent is None or self._arrivals != self._outbox.arrivals:
            # If it fails, what has been read meanwhile is not looked up.
            self._recalled_in = None
            recalled = self._outbox.recalled(since=oldest_at - REMEMBERED_S, limit=MAX_RECALLED)
            recent = self._recent = recent or Recent(self._monotonic())
            self._arrivals = self._outbox.arrivals
            for known in recalled:
                call = _known_call(known)
                # One call must not be known twice: what becomes of it would be told to one of them only.
                same = [other for other in recent.related(call.calls) if other.external_id == call.external_id]
                for other in same:
                    # It may have gone on in the outbox that was carried over.
                    other.become(call if call.calls else replace(other, is_held=call.is_held))
                if not same:
                    recent.remember(call, self._monotonic())
        return recent

    def remember(self, known: KnownCall) -> None:
        """It has been decided now, or is known to have got more spans."""
        assert self._recent is not None  # noqa: S101 - nothing is decided before it is asked what was decided lately
        self._recent.remember(known, self._monotonic())

    def named(self, external_ids: Container[str]) -> list[KnownCall]:
        """What is remembered of the calls that the ledger has under these ids."""
        return [] if self._recent is None else self._recent.named(external_ids)

    def look_up(self, reads: Sequence[Read], every_read: Callable[[], Sequence[Read]], recent: Recent) -> None:
        """Remember what the ledger has under the own ids of these spans: a late redelivery.

        Where something has been forgotten since, or this could not be done, it is done for all that have been read.
        """
        generation = recent.generation
        if self._recalled_in != generation:
            reads = every_read()
        self._recalled_in = None
        ids = {read.external_id: read.call for read in reads}
        known_here = self._outbox.known(list(ids))
        for found in known_here:
            call = ids[found.external_id]
            if all(known.external_id != found.external_id for known in recent.related([call])):
                # Where its call is forgotten, the span itself stands for it: it has the same id.
                recent.remember(_known_call(found, call), self._monotonic())
        if self._elsewhere is not None:
            others = {key: ids[key] for key in ids.keys() - {found.external_id for found in known_here}}
            self._look_up_elsewhere(self._elsewhere, others, recent)
        self._recalled_in = generation

    def _look_up_elsewhere(self, elsewhere: Elsewhere, ids: Mapping[str, ModelCall], recent: Recent) -> None:
        for key, is_settled in elsewhere.known(list(ids)).items():
            self._ids_elsewhere.add(key)
            if is_settled and all(known.external_id != key for known in recent.related([ids[key]])):
                known = KnownCall(key, is_held=False, calls=[ids[key]], is_elsewhere=True)
                recent.remember(known, self._monotonic())

    def is_elsewhere(self, external_id: str) -> bool:
        """Whether another process has a call with this id."""
        return external_id in self._ids_elsewhere

    def keep_elsewhere(self, external_ids: Iterable[str]) -> None:
        """Forget which calls other processes have, but of those with these ids."""
        self._ids_elsewhere.intersection_update(external_ids)

    def settled_elsewhere(self, external_ids: Collection[str]) -> set[str]:
        """Those of the ids whose calls another process has settled, and this ledger does not have."""
        if self._elsewhere is None:
            return set()
        here = {known.external_id for known in self._outbox.known(list(external_ids))}
        others = [external_id for external_id in external_ids if external_id not in here]
        return {key for key, is_settled in self._elsewhere.known(others).items() if is_settled}


def _known_call(known: Known, instead: ModelCall | None = None) -> KnownCall:
    try:
        calls = [load_call(known.call or "")]
    except ValueError:
        calls = [] if instead is None else [instead]
    return KnownCall(known.external_id, known.is_held, calls)
