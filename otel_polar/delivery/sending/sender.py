"""Batches of ready events to Polar, one request at a time, within Polar's budget.

What an answer does to the batch is the table in :mod:`otel_polar.delivery.outcome`. Two things need memory between
requests. *When*: after a failure, a rate limit or a refused token nothing is sent until that wait is over. *How many*:
a server that fails on a batch may be failing because of one event in it, so the batch is halved until events go alone.

An event that failed alone is a suspect: it goes alone from then on, in turn with batches of the others, until it
passes. Whether it is to blame or the server was down shows by itself: if others pass between two of its failures, it
waits longer each time, and nobody else waits for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.metrics.tally import Tally
from otel_polar.delivery.outcome import Accepted, Denied, Failed, Invalid, Outcome, RateLimited, TooLarge
from otel_polar.delivery.sending.progress import Progress
from otel_polar.delivery.sending.redating import redated
from otel_polar.polar_api.polar_clock import PolarClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import Entry
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.sending.admission import Admission
    from otel_polar.polar_api.budget import Budget

MAX_BATCH_EVENTS: Final = 500
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Polar takes 10 MiB with the brackets and commas around (polarsource/polar, server/polar/config.py)."""

SMALL_EVENT_BYTES: Final = 256 * 1024
"""An event is a few KiB; Polar takes 10 MiB."""

FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 60.0
DENIED_WAIT_S: Final = 60.0
FAILURES_BEFORE_HALVING: Final = 2
MAX_SEARCH_FAILURES: Final = 12
"""So many halvings find one event among 500, and a few more; after that it is an outage like any other."""

FIRST_SUSPECT_WAIT_S: Final = 30.0
MAX_SUSPECT_WAIT_S: Final = 1_800.0
MAX_SUSPECTS: Final = 16
"""More events than that failing alone, without one that passed: it is the server, and they can go together again."""
EARLY_WAIT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """How often an event failed alone while others passed, and how many requests had passed when it last did."""

    failures: int
    passed_requests: int

    @property
    def is_proven(self) -> bool:
        return self.failures > 1

    @property
    def wait_s(self) -> float:
        return min(MAX_SUSPECT_WAIT_S, FIRST_SUSPECT_WAIT_S * 2.0 ** min(self.failures - 1, 10))


class Sender:
    """Sends what is due. Times of waiting are on the monotonic clock, due dates in Unix seconds."""

    def __init__(
        self,
        ingest: Callable[[Sequence[str]], Outcome],
        *,
        budget: Budget,
        notices: Notices,
        jitter: Callable[[], float],
        place: str = "Polar",
        close: Callable[[], None] = lambda: None,
        tally: Tally | None = None,
        polar_clock: PolarClock | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._ingest = ingest
        self.polar_clock = polar_clock or PolarClock()
        self._close = close
        self._admission = admission
        self._budget = budget
        self._notices = notices
        self._jitter = jitter
        self._place = place
        self._tally = Tally() if tally is None else tally
        self._not_before = 0.0
        self._rate_limited_until = 0.0
        self._failures = 0
        self._suspicions: dict[tuple[Outbox, int], _Suspicion] = {}
        self._passed_requests = 0
        self._passed_at_failure = 0
        self._search_failures = MAX_SEARCH_FAILURES
        self._is_suspects_turn = False
        self._progress = Progress()
        self.batch_events = MAX_BATCH_EVENTS

    def close(self) -> None:
        """Close the connections to Polar."""
        self._close()
        if self._admission is not None:
            self._admission.close()

    def wait_s(self, monotonic: float) -> float:
        """Seconds until a request may be made, at least 0."""
        return max(self.held_up_s(monotonic), self._budget.wait_s(monotonic))

    def held_up_s(self, monotonic: float) -> float:
        """Seconds the last answer asks to wait (a failure, a rate limit, a refused token), at least 0."""
        return max(0.0, self._not_before - monotonic, self._rate_limited_until - monotonic)

    def retry_now(self) -> None:
        """Forget the wait after a failure; a rate limit is kept, because it is the whole organization's."""
        self._not_before = 0.0

    def due(self, outbox: Outbox, now: float) -> list[Entry]:
        """The next batch from *outbox*: one suspect alone, or events that are none."""
        limit = self.batch_events + len(self._suspicions)
        entries = outbox.due(now, limit=limit, max_bytes=MAX_BATCH_BYTES)
        others = [entry for entry in entries if (outbox, entry.seq) not in self._suspicions]
        suspects = [entry for entry in entries if (outbox, entry.seq) in self._suspicions]
        if suspects and (self._is_suspects_turn or not others):
            return suspects[:1]
        return others[: self.batch_events]

    def admitted(self, outbox: Outbox, entries: list[Entry], *, now: float, monotonic: float) -> list[Entry]:
        """Those whose customers Polar has, as far as that is to be made sure of."""
        if self._admission is None:
            return entries
        return self._admission.admitted(outbox, entries, now=now, monotonic=monotonic)

    def send(self, outbox: Outbox, entries: Sequence[Entry], *, now: float, monotonic: float) -> None:
        """Make one request and settle what it decides."""
        self._budget.spend(monotonic)
        begun_at = time.monotonic()
        outcome = self._ingest([entry.body for entry in entries])
        took_s = time.monotonic() - begun_at
        match outcome:
            case Accepted():
                # When Polar certainly has them: credits count what it was asked about before that as not there yet.
                outbox.settle([entry.seq for entry in entries], now=now + took_s)
                self._tally.accepted(outcome)
                is_full_batch = len(entries) >= self.batch_events
                self._progress.sent(len(entries), is_full_batch=is_full_batch, waiting=outbox.waiting)
                self._passed(outbox, entries)
            case Invalid():
                self._invalid(outbox, entries, outcome, now=now, monotonic=monotonic)
            case TooLarge() if len(entries) == 1 and len(entries[0].body) < SMALL_EVENT_BYTES:
                # Somebody on the way refuses everything: not this event's fault.
                failure = Failed("an event of usual size is too large for it", answered=True)
                self._failed(outbox, entries, failure, now=now, monotonic=monotonic)
            case TooLarge():
                self._too_large(outbox, entries)
            case RateLimited():
                self._rate_limited_until = monotonic + took_s + outcome.retry_after_s
                self._notices.warn("rate", "Polar's rate limit is reached; %d events wait", outbox.waiting())
            case Denied():
                self._not_before = monotonic + DENIED_WAIT_S
                self._notices.error(
                    "denied",
                    "Polar refuses the access token or address (%s): check POLAR_ACCESS_TOKEN (scope events:write),"
                    " POLAR_SERVER and POLAR_BASE_URL. %d events wait; nothing is lost",
                    outcome.reason,
                    outbox.waiting(),
                )
            case Failed():
                self._failed(outbox, entries, outcome, now=now, monotonic=monotonic)

    def _passed(self, outbox: Outbox, entries: Sequence[Entry]) -> None:
        self._passed_requests += 1
        self._failures = 0
        was_suspect = self._suspicions.pop((outbox, entries[0].seq), None)
        self._is_suspects_turn = was_suspect is None
        if was_suspect is None:
            self.batch_events = min(MAX_BATCH_EVENTS, self.batch_events * 2)
        for condition in ("failed", "denied", "rate"):
            self._notices.over(condition, "Polar takes events again")

    def _invalid(
        self, outbox: Outbox, entries: Sequence[Entry], outcome: Invalid, *, now: float, monotonic: float
    ) -> None:
        reasons = {entries[index].seq: reason for index, reason in outcome.reasons.items()}
        if reasons:
            outbox.reject(reasons)
            self._tally.refused(reasons)
            for seq in reasons:
                self._suspicions.pop((outbox, seq), None)
            # One example is enough to act on, and the reasons hold no id.
            reason = next(iter(reasons.values()))
            self._notices.error(f"invalid:{reason}", "Polar rejected %d events: %s", len(reasons), reason)
        if outcome.early:
            self._early(outbox, [entries[index] for index in sorted(outcome.early)], now=now, monotonic=monotonic)

    def _early(self, outbox: Outbox, entries: Sequence[Entry], *, now: float, monotonic: float) -> None:
        polar_now = self.polar_clock.now(monotonic)
        if polar_now is not None and (bodies := redated(entries, polar_now)):
            outbox.redate(bodies)
            self._notices.error(
                "redated", "the clock here is, or was, wrong: %d events from the future get Polar's time", len(bodies)
            )
        early = [entry.seq for entry in entries]
        outbox.postpone(early, due_at=now + EARLY_WAIT_S, reason="Polar's clock is behind the event's time")
        self._notices.warn("early", "the clock here is ahead of Polar's; %d events wait for it", len(early))

    def _too_large(self, outbox: Outbox, entries: Sequence[Entry]) -> None:
        if len(entries) == 1:
            reasons = {entries[0].seq: "Polar says the event alone is too large"}
            outbox.reject(reasons)
            self._tally.refused(reasons)
            self._notices.error("too large", "Polar rejected an event as too large")
        else:
            self.batch_events = max(1, len(entries) // 2)

    def _failed(
        self,
        outbox: Outbox,
        entries: Sequence[Entry],
        outcome: Failed,
        *,
        now: float,
        monotonic: float,
    ) -> None:
        self._is_suspects_turn = False
        is_alone = len(entries) == 1
        if is_alone and (outbox, entries[0].seq) in self._suspicions:
            if self._suspect(outbox, entries[0], outcome, now=now):
                return
            is_searching = False
        else:
            # A server that took something just now is up: one of these events is looked for, without waiting long.
            if self._passed_requests > self._passed_at_failure:
                self._search_failures = 0
            self._passed_at_failure = self._passed_requests
            is_searching = self._search_failures < MAX_SEARCH_FAILURES
            self._search_failures += 1
            # Otherwise a lone event may have met a moment's weakness of the server.
            if is_alone and (is_searching or self._failures >= FAILURES_BEFORE_HALVING):
                self._suspect(outbox, entries[0], outcome, now=now)
        self._failures += 1
        backoff_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 10))
        if is_searching:
            self._not_before = monotonic + FIRST_BACKOFF_S
            self.batch_events = max(1, len(entries) // 2)
            return
        self._not_before = monotonic + backoff_s * (0.5 + self._jitter() / 2)
        self._notices.warn(
            "failed",
            "%s cannot be reached (%s); %d events wait and are sent when it can. If it never could, check POLAR_SERVER"
            " and POLAR_BASE_URL",
            self._place,
            outcome.reason,
            outbox.waiting(),
        )
        if self._failures > FAILURES_BEFORE_HALVING:
            self.batch_events = max(1, len(entries) // 2)

    def _suspect(self, outbox: Outbox, entry: Entry, outcome: Failed, *, now: float) -> bool:
        """Let an event that failed alone wait; whether it alone is to blame."""
        key = (outbox, entry.seq)
        before = self._suspicions.get(key)
        is_guilty = before is not None and (before.is_proven or self._passed_requests > before.passed_requests)
        if before is None and sum(not suspicion.is_proven for suspicion in self._suspicions.values()) >= MAX_SUSPECTS:
            self._suspicions = {key: suspicion for key, suspicion in self._suspicions.items() if suspicion.is_proven}
        failures = 1 if before is None else before.failures + is_guilty
        suspicion = self._suspicions[key] = _Suspicion(failures, self._passed_requests)
        # Without a sign that others pass it only goes behind them.
        wait_s = suspicion.wait_s if suspicion.is_proven else 0.0
        outbox.postpone([entry.seq], due_at=now + wait_s, reason=f"Polar failed on it alone: {outcome.reason}")
        if suspicion.is_proven:
            self._notices.error(
                "guilty",
                "Polar fails on an event whenever it is sent, and takes others (%s); it is tried again now and then",
                outcome.reason,
            )
        return suspicion.is_proven
