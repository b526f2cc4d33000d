"""From the intake to the ledger: which recorded spans are one call, and what becomes of it.

Runs on the delivery thread. A portion of the oldest calls that have rested is looked at together with what was recorded
in the moments after them and what was decided in the minutes before, because the span that tells that another one was a
duplicate can come earlier or later, in another trace, or from another service.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing.call import external_id
from otel_polar.billing.customer import Unattributed
from otel_polar.billing.measurement import Measurement
from otel_polar.billing.merging import merge
from otel_polar.billing.selection import select
from otel_polar.delivery.decide import decide, decide_measurement, unreadable
from otel_polar.delivery.recent import REMEMBERED_S, KnownCall, Recent
from otel_polar.delivery.record import dump_call, load_call, load_record
from otel_polar.delivery.rows import Duplicate, Recorded, State
from otel_polar.delivery.scopes_seen import ScopesSeen
from otel_polar.delivery.telemetry import Telemetry

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.outbox import Outbox
    from otel_polar.delivery.rows import Decided, Known
    from otel_polar.settings import Settings

PORTION: Final = 500
"""Calls decided at once: a caller's thread may be waiting for the lock meanwhile."""

CONTEXT_S: Final = 2.0
"""Spans that were recorded this much later than a portion are looked at together with it, even if nothing rests."""

MAX_CONTEXT: Final = 2_000
MAX_RECALLED: Final = 5_000


class _Read(NamedTuple):
    recorded: Recorded
    call: ModelCall


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
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._price = price
        self._telemetry = Telemetry()
        self._notices = notices
        self._counts = counts
        self._scopes = ScopesSeen(notices)
        self._recent: Recent | None = None
        self._arrivals = 0
        # The same rows are looked at again as long as they rest.
        self._load = lru_cache(maxsize=2 * MAX_CONTEXT)(load_record)

    def decide(self, *, settle_s: float, clock: Callable[[], float]) -> float | None:
        """Decide a portion of what has rested; seconds until more has, ``None`` if nothing rests.

        Raises:
            OutboxError: if the outbox cannot be used. Nothing has changed then.
        """
        portion = self._outbox.recorded(limit=PORTION)
        # Not before: what is recorded meanwhile would be from the future.
        now = clock()
        # A call from the future was recorded before the clock was set back: it has rested enough.
        resting_s = {
            r.seq: r.recorded_at + settle_s - now for r in portion if r.recorded_at <= now < r.recorded_at + settle_s
        }
        rested = [recorded for recorded in portion if recorded.seq not in resting_s]
        if rested:
            self._decide(rested, self._later(rested[-1], portion, settle_s), now)
        if len(rested) == PORTION:
            return 0.0
        return min(resting_s.values(), default=None)

    def forget_calls(self, *, now: float, limit: int) -> int:
        """Forget the calls of sent events of which no other span is expected any more; how many."""
        return self._outbox.forget_calls(before=now - REMEMBERED_S, limit=limit)

    def _later(self, last: Recorded, portion: Sequence[Recorded], settle_s: float) -> list[Recorded]:
        """What was recorded after the last rested call, so soon that it may be another span of one of them."""
        later = [recorded for recorded in portion if recorded.seq > last.seq]
        if len(portion) == PORTION:
            later += self._outbox.recorded(limit=MAX_CONTEXT, after_seq=portion[-1].seq)
        until = last.recorded_at + max(settle_s, CONTEXT_S)
        return [recorded for recorded in later if recorded.recorded_at <= until]

    def _decide(self, rested: Sequence[Recorded], later: Sequence[Recorded], now: float) -> None:
        verdict = _Verdict()
        reads: list[_Read] = []
        for recorded in rested:
            read = self._read(recorded)
            if isinstance(read, _Read):
                reads.append(read)
            elif isinstance(read, Measurement):
                self._decide_measurement(recorded, read, verdict, now)
            else:
                verdict.decided.append(unreadable(recorded, read, self._notices))
        due = len(reads)
        reads += [read for read in map(self._read, later) if isinstance(read, _Read)]
        recent = self._remembered(min(recorded.recorded_at for recorded in rested), now)
        earlier = recent.related([read.call for read in reads])
        for positions, known in _grouped(reads, [*earlier, *self._in_ledger(reads, earlier)]):
            if positions[0] < due:
                self._decide_one([reads[position] for position in positions], known, verdict, now)
        known_already = self._outbox.decide(verdict.decided, verdict.duplicates, dropped=verdict.dropped, now=now)
        self._counts["duplicate"] += len(verdict.duplicates) + known_already
        self._counts["dropped: unattributed"] += len(verdict.dropped)
        # Not before: what could not be written has not been decided.
        with suppress(Exception):
            # The application's provider of metrics must not repeat what has been decided.
            for unpriced in verdict.unpriced:
                self._telemetry.count_unpriced(unpriced)
        for call, is_now in verdict.known:
            call.become(is_now)
            recent.remember(call, now)

    def _read(self, recorded: Recorded) -> _Read | Measurement | Exception:
        try:
            call = self._load(recorded.call)
            if isinstance(call, Measurement):
                return call
            external_id(call).encode()
        except Exception as error:  # noqa: BLE001 - one damaged row must not stop the rest
            return error
        return _Read(recorded, call)

    def _decide_measurement(self, recorded: Recorded, measurement: Measurement, verdict: _Verdict, now: float) -> None:
        """What becomes of usage that is no call to a model: no other span can tell of it."""
        if isinstance(measurement.customer, Unattributed) and self._settings.on_unattributed == "drop":
            verdict.dropped.append(recorded.seq)
            return
        parent_id = self._certain(measurement.parent_event_id, verdict)
        verdict.decided.append(
            decide_measurement(recorded, measurement, parent_id=parent_id, notices=self._notices, now=now)
        )

    def _certain(self, parent_event_id: str | None, verdict: _Verdict) -> str | None:
        """The event of the run, if it is certain to be sent, or has been: it was recorded before what it is around."""
        if parent_event_id is None:
            return None
        if any(d.external_id == parent_event_id and d.state is State.READY for d in verdict.decided):
            return parent_event_id
        states = [known.state for known in self._outbox.known([parent_event_id])]
        return parent_event_id if states in ([State.READY.value], [State.SENT.value]) else None

    def _decide_one(self, group: Sequence[_Read], earlier: KnownCall | None, verdict: _Verdict, now: float) -> None:
        """What becomes of one call that the spans in *group* tell of, and of one that was decided *earlier*, if any."""
        calls = [] if earlier is None else list(earlier.calls)
        # What was held and is tried again is known already.
        calls += [read.call for read in group if read.call not in calls]
        merged = merge(calls)
        self._scopes.look_at(calls)
        if earlier is not None and not earlier.is_held:
            verdict.duplicates += [_duplicate(read, earlier.external_id) for read in group]
            verdict.known.append((earlier, KnownCall(earlier.external_id, is_held=False, calls=calls)))
            return
        if earlier is None and isinstance(merged.customer, Unattributed) and self._settings.on_unattributed == "drop":
            self._notices.warn("dropped", "a model call was dropped, and so will others be: %s", merged.customer.reason)
            verdict.dropped += [read.recorded.seq for read in group]
            return
        first = group[0].recorded
        answer = decide(
            first if len(calls) == 1 else Recorded(first.seq, first.recorded_at, dump_call(merged)),
            merged,
            settings=self._settings,
            price=self._price,
            notices=self._notices,
            now=now,
            parent_id=self._certain(merged.parent_event_id, verdict),
        )
        verdict.decided.append(answer)
        if answer.state is State.UNPRICED and earlier is None:
            verdict.unpriced.append(merged)
        others = [_duplicate(read, answer.external_id) for read in group]
        verdict.duplicates += [other for other in others if other.seq != first.seq or other.external_id != other.of]
        if earlier is not None and earlier.external_id != answer.external_id:
            replaced = Duplicate(earlier.external_id, answer.external_id, first.recorded_at, seq=None)
            verdict.duplicates.append(replaced)
        is_now = KnownCall(answer.external_id, answer.state.is_held, calls)
        verdict.known.append((earlier or is_now, is_now))

    def _remembered(self, oldest_at: float, now: float) -> Recent:
        """What was decided lately, also by another process, or in another outbox whose rows have been carried over."""
        recent = self._recent
        if recent is None or self._arrivals != self._outbox.arrivals:
            recent = self._recent = recent or Recent(now)
            self._arrivals = self._outbox.arrivals
            for known in self._outbox.recalled(since=oldest_at - REMEMBERED_S, limit=MAX_RECALLED):
                call = _known_call(known)
                # One call must not be known twice: what becomes of it would be told to one of them only.
                if all(other.external_id != call.external_id for other in recent.related(call.calls)):
                    recent.remember(call, now)
        return recent

    def _in_ledger(self, reads: Sequence[_Read], remembered: Sequence[KnownCall]) -> list[KnownCall]:
        """What the ledger has under the own ids of these spans, and is not remembered: a late redelivery."""
        is_remembered = {known.external_id for known in remembered}
        ids = {external_id(read.call): read.call for read in reads}
        found = self._outbox.known([key for key in ids if key not in is_remembered])
        # Where its call is forgotten, the span itself stands for it: it has the same id.
        return [_known_call(known, ids[known.external_id]) for known in found]


@dataclass(slots=True)
class _Verdict:
    """What a portion comes to: written in one transaction, and remembered after that."""

    decided: list[Decided] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    unpriced: list[ModelCall] = field(default_factory=list)
    known: list[tuple[KnownCall, KnownCall]] = field(default_factory=list)


def _known_call(known: Known, instead: ModelCall | None = None) -> KnownCall:
    try:
        calls = [load_call(known.call or "")]
    except ValueError:
        calls = [] if instead is None else [instead]
    return KnownCall(known.external_id, known.is_held, calls)


def _grouped(reads: Sequence[_Read], earlier: Sequence[KnownCall]) -> Iterator[tuple[list[int], KnownCall | None]]:
    """Positions of spans that tell of one call, with what is known of it from earlier."""
    calls = [read.call for read in reads]
    known: dict[int, KnownCall] = {}
    for each in earlier:
        for call in each.calls:
            known[len(calls)] = each
            calls.append(call)
    for group in select(calls, known):
        positions = [position for position in group if position < len(reads)]
        if positions:
            yield positions, next((known[position] for position in group if position in known), None)


def _duplicate(read: _Read, of: str) -> Duplicate:
    return Duplicate(external_id(read.call), of, read.recorded.recorded_at, read.recorded.seq)
