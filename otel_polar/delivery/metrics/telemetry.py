"""``Telemetry``: what one pipeline tells of itself through the application's ``MeterProvider``.

The delivery thread hands in what happens; ``instruments`` says what of that is read, and under which names. Where the
application has no provider, and as long as it has none, nothing is looked at.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

from otel_polar.delivery.metrics.backlog import Backlog, look_at
from otel_polar.delivery.metrics.instruments import (
    COMPONENT_NAME,
    COMPONENT_TYPE,
    ERROR_TYPE,
    be_asked,
    is_anybody_asking,
    record_duration,
)
from otel_polar.delivery.metrics.polar_answers import PolarAnswers
from otel_polar.delivery.metrics.tally import Tally
from otel_polar.delivery.notices import describe, logger
from otel_polar.delivery.outcome import Accepted, Failed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from threading import RLock

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import State
    from otel_polar.delivery.outcome import Outcome

PROCESSOR: Final = "otel_polar.PolarSpanProcessor"
EXPORTER: Final = "otel_polar.PolarSpanExporter"

INTERVAL_S: Final = 1.0
"""The backlog is counted so often, at most."""

SHARE: Final = 20
"""Counting many rows takes long: no more than this part of the delivery thread's time."""

FAREWELL_S: Final = 90.0
"""After its end a pipeline is still told of for so long: a reader collects every minute, and once more at exit."""

MAX_ASKING_S: Final = 0.2
"""The delivery thread waits for the application's provider of metrics for so long, once; mostly it takes a moment."""

_OK: Final = 200

numbers: Final = count()
"""By which pipelines are told apart, in the order in which a process makes them."""


class Client(Protocol):
    """Polar, and what it answered last."""

    host: str
    port: int | None

    @property
    def last_status(self) -> int | None:
        """The HTTP status of the last request; ``None`` if it had no answer."""

    def ingest(self, bodies: Sequence[str]) -> Outcome:
        """Send events."""


class Telemetry:
    """For one pipeline, fed by its delivery thread and read by any. Made anew in a forked child."""

    def __init__(
        self,
        counts: Counter[str],
        *,
        number: int,
        outboxes: Callable[[], Sequence[Outbox]],
        importing: RLock,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pid = os.getpid()
        self.processor = {COMPONENT_TYPE: PROCESSOR, COMPONENT_NAME: f"{PROCESSOR}/{number}"}
        self.exporter = {COMPONENT_TYPE: EXPORTER, COMPONENT_NAME: f"{EXPORTER}/{number}"}
        self.tally = Tally(counts)
        self.backlog = Backlog()
        self.polar = PolarAnswers()
        self._outboxes = outboxes
        self._importing = importing
        self._clock = clock
        self._monotonic = monotonic
        self._is_asked = False
        self._asking: threading.Thread | None = None
        self._is_out_of_order = False
        self._next_look_at = 0.0
        self._over_at: float | None = None

    def look(self, wait_s: float, *, at_once: bool) -> float:
        """Look at the backlog, if it is time or *at_once*; in how many seconds of *wait_s* to look again.

        Called by the delivery thread after every step. Never raises.
        """
        if not self._is_told():
            return wait_s
        begin = self._monotonic()
        if begin < self._next_look_at and not at_once:
            # What was seen last is not true any more, and would be told for as long as the thread sleeps.
            return min(wait_s, self._next_look_at - begin)
        # Before the look: what is recorded during it is told twice until the next one, and never left out.
        recorded = self.tally.recorded
        with suppress(Exception):
            # Where it fails, what was seen last is told, with what came since; that the file fails is said elsewhere.
            look = look_at(self._outboxes(), recorded)
            self.backlog.saw(look, now=self._clock(), monotonic=self._monotonic())
        end = self._monotonic()
        self._next_look_at = end + max(INTERVAL_S, SHARE * (end - begin))
        return wait_s

    def watched(self, client: Client) -> Callable[[Sequence[str]], Outcome]:
        """Its function to send events, with each request timed."""
        place: dict[str, str | int] = {"server.address": client.host}
        if client.port is not None:
            place["server.port"] = client.port

        def ingest(bodies: Sequence[str]) -> Outcome:
            # Before a request that may hang.
            self.look(0.0, at_once=False)
            self.tally.in_flight = len(bodies)
            begin = self._monotonic()
            try:
                outcome = client.ingest(bodies)
            finally:
                self.tally.in_flight = 0
            with suppress(Exception):
                # The application's provider of metrics must not make a batch that was taken go out again.
                self._answered(self._monotonic() - begin, outcome, client.last_status, place)
            return outcome

        return ingest

    def end(self) -> None:
        """The delivery thread ends; look for the last time."""
        self.look(0.0, at_once=True)
        self._over_at = self._monotonic() + FAREWELL_S
        # The outboxes need not be kept for that.
        self._outboxes = lambda: ()

    def is_over(self) -> bool:
        """Whether nothing more is told of it."""
        return self._over_at is not None and self._monotonic() > self._over_at

    def sizes(self) -> dict[State, int]:
        """How many calls there are in each state; empty if nobody has looked yet."""
        return self.backlog.sizes(self.tally.recorded)

    def oldest_age_s(self) -> float | None:
        """How long the oldest call that is still to be sent has waited; ``None`` if nobody has looked yet."""
        return self.backlog.oldest_age_s(self.tally.recorded, self._monotonic())

    def _is_told(self) -> bool:
        if self._is_asked or self._is_out_of_order:
            return self._is_asked
        # Whoever forks takes it first: neither an import nor a provider may be found in the middle of something.
        if self._asking is not None or not self._importing.acquire(blocking=False):
            return False
        try:
            if is_anybody_asking():
                # The SDK lets nobody in while it collects, and the application's part in that may take its time, or in
                # a forked child, that has its lock but not its thread, for ever: not the delivery thread's time.
                self._asking = threading.Thread(target=self._ask, name="otel-polar-metrics", daemon=True)
                self._asking.start()
                self._asking.join(MAX_ASKING_S)
        except Exception as error:  # noqa: BLE001 - without metrics everything else goes on
            self._give_up(error)
        finally:
            self._importing.release()
        return self._is_asked

    def _ask(self) -> None:
        try:
            be_asked(self)
            self._is_asked = True
        except Exception as error:  # noqa: BLE001 - without metrics everything else goes on
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._is_out_of_order = True
        logger.warning("the provider of metrics cannot be used (%s)", describe(error))

    def _answered(self, seconds: float, outcome: Outcome, status: int | None, place: dict[str, str | int]) -> None:
        error = _error_type(outcome, status)
        if error is None and status is None:
            # A damaged event: there was no request.
            return
        self.polar.saw(outcome, status=status, error_type=error, now=self._clock())
        attributes: dict[str, str | int] = {**self.exporter, **place}
        if status is not None:
            attributes["http.response.status_code"] = status
        if error is not None:
            attributes[ERROR_TYPE] = error
        record_duration(seconds, attributes)


def _error_type(outcome: Outcome, status: int | None) -> str | None:
    """What was wrong with a request, in few different words."""
    if isinstance(outcome, Accepted):
        return None
    if status is not None:
        return "invalid_answer" if status == _OK else str(status)
    if not isinstance(outcome, Failed):
        return None
    # The exception's name comes first, then its words, which may hold an address.
    name = outcome.reason.partition(":")[0]
    return name if name.isidentifier() else "_OTHER"
