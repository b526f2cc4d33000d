"""From the intake to the ledger: which recorded spans are one call, and what becomes of it.

Runs on the delivery thread. A portion of the oldest calls that have rested is looked at together with what was recorded
in the moments after them and what was decided in the minutes before, because the span that tells that another one was a
duplicate can come earlier or later, in another trace, or from another service.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from otel_polar.billing.customer import Unattributed
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.merging import merge
from otel_polar.billing.selection import select
from otel_polar.delivery.deciding.decide import decide, decide_measurement, unreadable
from otel_polar.delivery.deciding.recalling import Recalling
from otel_polar.delivery.deciding.recent import REMEMBERED_S, KnownCall
from otel_polar.delivery.deciding.scopes_seen import ScopesSeen
from otel_polar.delivery.deciding.window import PORTION, Family, Read, Window
from otel_polar.delivery.disk.record import dump_call
from otel_polar.delivery.disk.rows import Duplicate, Recorded, State
from otel_polar.delivery.giving_way import give_way
from otel_polar.delivery.metrics.tally import Tally

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.customer import Customer
    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.delivery.deciding.recent import Recent
    from otel_polar.delivery.disk.elsewhere import Elsewhere
    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import Decided
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings


class Intake:
    """Decides what one outbox has recorded."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        settings: Settings,
        price: Callable[[ModelCall], Price | Unpriced],
        notices: Notices,
        counts: Counter[str],
        tally: Tally | None = None,
        elsewhere: Elsewhere | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._recalling = Recalling(outbox, elsewhere=elsewhere, monotonic=monotonic)
        self.settings = settings
        self.price = price
        self._tally = Tally() if tally is None else tally
        self.notices = notices
        self._counts = counts
        self._scopes = ScopesSeen(notices)
        self._window = Window()
        self._arrivals = outbox.arrivals

    def decide(self, *, settle_s: float, clock: Callable[[], float]) -> float | None:
        """Decide a portion of what has rested; seconds until more has, ``None`` if nothing rests.

        Raises:
            OutboxError: if the outbox cannot be used. Nothing has changed then.
        """
        if self._arrivals != self._outbox.arrivals:
            # Among them may be other spans of what has been read. Or that has gone, and others have its numbers.
            self._window = Window()
            self._arrivals = self._outbox.arrivals
        reads = self._window.read_on(self._outbox)
        # Not before: what is recorded meanwhile would be from the future.
        now = clock()
        portion = self._window.portion()
        recent = self._recalling.lately(min((recorded.recorded_at for recorded in portion), default=now))
        self._recalling.look_up(reads, self._window.reads, recent)
        # A call from the future was recorded before the clock was set back: it has rested enough.
        resting_s = {
            r.seq: r.recorded_at + settle_s - now for r in portion if r.recorded_at <= now < r.recorded_at + settle_s
        }
        rested = [recorded for recorded in portion if recorded.seq not in resting_s]
        if rested:
            self._decide(rested, recent, now)
        if len(rested) == PORTION:
            return 0.0
        return min(resting_s.values(), default=None)

    def forget_calls(self, *, now: float, limit: int) -> int:
        """Forget the calls of sent events of which no other span is expected any more; how many."""
        return self._outbox.forget_calls(before=now - REMEMBERED_S, now=now, limit=limit)

    def ordered(self, changed: Mapping[str, Decided], assigned: Mapping[str, Customer]) -> None:
        """A person has changed these calls in the ledger, by external id: spans that come later find them so.

        *assigned* are the customers of those of whom a person has said who pays.
        """
        self._tally.decided(list(changed.values()), {})
        self._tally.discarded(sum(decided.state is State.DISCARDED for decided in changed.values()))
        for known in self._recalling.named(changed):
            known.is_held = changed[known.external_id].state.is_held
            if (customer := assigned.get(known.external_id)) is not None:
                known.calls = [call._replace(customer=customer, is_assigned=True) for call in known.calls]

    def _decide(self, rested: Sequence[Recorded], recent: Recent, now: float) -> None:
        verdict = _Verdict()
        due = {recorded.seq for recorded in rested}
        reads: list[Read] = []
        settled = self._measured_elsewhere(rested)
        # First what no other span tells of: a call's run was recorded before it, but not before all of its family.
        for recorded in rested:
            row = self._window.row(recorded)
            if isinstance(row, Read):
                reads.append(row)
            elif isinstance(row, Measurement) and row.external_id in settled:
                verdict.elsewhere.append(recorded.seq)
            elif isinstance(row, Measurement):
                self._decide_measurement(recorded, row, verdict, now)
            else:
                verdict.decide(unreadable(recorded, row, self.notices))
            give_way()
        for family in self._window.families(reads, recent):
            for group, earlier in _grouped(family):
                if any(read.recorded.seq in due for read in group):
                    self._decide_one(group, earlier, verdict, now)
                    verdict.seqs.update(read.recorded.seq for read in group)
            give_way()
        verdict.seqs |= due
        # As they were recorded, also where a family was decided together.
        verdict.decided.sort(key=lambda decided: decided.recorded.seq)
        forgotten = [*verdict.dropped, *verdict.elsewhere]
        known_already = self._outbox.decide(verdict.decided, verdict.duplicates, dropped=forgotten, now=now)
        self._window.remove(verdict.seqs)
        self._recalling.keep_elsewhere(read.external_id for read in self._window.reads())
        self._counts["duplicate"] += len(verdict.duplicates) + known_already
        self._counts["known here"] += verdict.known_here + known_already
        self._counts["known elsewhere"] += len(verdict.elsewhere)
        self._counts["dropped: unattributed"] += len(verdict.dropped)
        # Not before: what could not be written has not been decided.
        self._tally.decided(verdict.decided, verdict.unpriced)
        for call, is_now in verdict.known:
            call.become(is_now)
            self._recalling.remember(call)
            give_way()

    def _decide_measurement(self, recorded: Recorded, measurement: Measurement, verdict: _Verdict, now: float) -> None:
        """What becomes of usage that is no call to a model: no other span can tell of it."""
        if isinstance(measurement.customer, Unattributed) and self.settings.on_unattributed == "drop":
            verdict.dropped.append(recorded.seq)
            return
        parent_id = self.certain(measurement.parent_event_id, verdict.ready)
        verdict.decide(decide_measurement(recorded, measurement, parent_id=parent_id, notices=self.notices, now=now))

    def _measured_elsewhere(self, rested: Sequence[Recorded]) -> set[str]:
        rows = (self._window.row(recorded) for recorded in rested)
        return self._recalling.settled_elsewhere({row.external_id for row in rows if isinstance(row, Measurement)})

    def certain(self, parent_event_id: str | None, ready: Container[str]) -> str | None:
        """The event of the run, if it is certain to be sent, or has been: it was recorded before what it is around."""
        if parent_event_id is None:
            return None
        if parent_event_id in ready:
            return parent_event_id
        states = [known.state for known in self._outbox.known([parent_event_id])]
        return parent_event_id if states in ([State.READY.value], [State.SENT.value]) else None

    def _decide_one(self, group: Sequence[Read], earlier: KnownCall | None, verdict: _Verdict, now: float) -> None:
        """What becomes of one call that the spans in *group* tell of, and of one that was decided *earlier*, if any."""
        calls = [] if earlier is None else list(earlier.calls)
        for read in group:
            # What was held and is tried again is known already.
            if not calls or read.call not in calls:
                calls.append(read.call)
        merged = merge(calls)
        self._scopes.look_at(calls)
        if earlier is not None and not earlier.is_held:
            for read in group:
                if earlier.is_elsewhere and self._recalling.is_elsewhere(read.external_id):
                    # Whose ledger it is in keeps it; a second row would stand in its way when the files come together.
                    verdict.elsewhere.append(read.recorded.seq)
                else:
                    verdict.known_here += read.external_id == earlier.external_id
                    verdict.duplicates.append(_duplicate(read, earlier.external_id))
            verdict.known.append((earlier, replace(earlier, calls=calls)))
            return
        if earlier is None and isinstance(merged.customer, Unattributed) and self.settings.on_unattributed == "drop":
            self.notices.warn("dropped", "a model call was dropped, and so will others be: %s", merged.customer.reason)
            verdict.dropped += [read.recorded.seq for read in group]
            return
        first = group[0].recorded
        answer = decide(
            first if len(calls) == 1 else Recorded(first.seq, first.recorded_at, dump_call(merged)),
            merged,
            settings=self.settings,
            price=self.price,
            notices=self.notices,
            now=now,
            parent_id=self.certain(merged.parent_event_id, verdict.ready),
        )
        verdict.decide(answer)
        if answer.state is State.UNPRICED:
            verdict.unpriced[answer.external_id] = merged
        others = [_duplicate(read, answer.external_id) for read in group]
        verdict.duplicates += [other for other in others if other.seq != first.seq or other.external_id != other.of]
        if earlier is not None and earlier.external_id != answer.external_id:
            replaced = Duplicate(earlier.external_id, answer.external_id, first.recorded_at, seq=None)
            verdict.duplicates.append(replaced)
        is_now = KnownCall(answer.external_id, answer.state.is_held, calls)
        verdict.known.append((earlier or is_now, is_now))


@dataclass(slots=True)
class _Verdict:
    """What a portion comes to: written in one transaction, and remembered after that."""

    decided: list[Decided] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    unpriced: dict[str, ModelCall] = field(default_factory=dict)
    known: list[tuple[KnownCall, KnownCall]] = field(default_factory=list)
    seqs: set[int] = field(default_factory=set)
    """The rows that this is about."""
    ready: set[str] = field(default_factory=set)
    elsewhere: list[int] = field(default_factory=list)
    """The rows of spans that another process has settled."""
    known_here: int = 0
    """Spans of calls that this ledger has, under the same id."""

    def decide(self, decided: Decided) -> None:
        self.decided.append(decided)
        if decided.state is State.READY:
            self.ready.add(decided.external_id)


def _grouped(family: Family) -> Iterator[tuple[list[Read], KnownCall | None]]:
    """Spans that tell of one call, with what is known of it from earlier."""
    reads, earlier = family
    if len(reads) == 1 and not earlier:
        yield reads, None
        return
    calls = [read.call for read in reads]
    known: dict[int, KnownCall] = {}
    for each in earlier:
        for call in each.calls:
            known[len(calls)] = each
            calls.append(call)
    for group in select(calls, known):
        if members := [reads[position] for position in group if position < len(reads)]:
            candidates = [known[position] for position in group if position in known]
            # What may be billed already comes before what may still be changed: a late span can tell that both are one.
            yield members, next((each for each in candidates if not each.is_held), next(iter(candidates), None))


def _duplicate(read: Read, of: str) -> Duplicate:
    return Duplicate(read.external_id, of, read.recorded.recorded_at, read.recorded.seq)
