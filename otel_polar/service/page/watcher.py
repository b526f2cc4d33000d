"""The page's own thread: it looks at totals every few seconds, and at the outbox while somebody has the page open.

Every look at the outbox holds the connection that the delivery thread needs, for a millisecond or two. After each, the
thread pauses for a multiple of that time, so that it never takes more than a quarter of it, nor of the interpreter.
"""

from __future__ import annotations

import threading
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.metrics.backlog import Backlog, look_at
from otel_polar.delivery.metrics.tally import NOT_BILLED
from otel_polar.delivery.notices import describe, logger
from otel_polar.errors import OutboxError
from otel_polar.service.page.held import Held
from otel_polar.service.page.rates import EVERY_S, Rate, Rates
from otel_polar.service.page.spend import Spend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.service.page.source import Source

ASKED_S: Final = 30.0
"""Whoever has the page open asks every few seconds."""

SPEND_REST_FACTOR: Final = 2.0
"""New events are to be seen soon; but a hundred thousand held ones are looked at again each time."""

TURN_S: Final = 1.0
PAUSE_FACTOR: Final = 3.0
MIN_PAUSE_S: Final = 0.000_5
REST_FACTOR: Final = 20.0
"""What goes through many rows each time, does so for no more than this part of the time."""


class Watcher:
    """What it saw is read by any thread, without waiting for it."""

    def __init__(self, source: Source) -> None:
        self.backlog = Backlog()
        self.in_memory = 0
        """Calls that wait, and are lost if the process ends."""
        self.spend = Spend(source)
        self.held = Held(source)
        self._lock = threading.Lock()
        self._call_rates = Rates()
        self._counter_rates = Rates()
        self._source = source
        self._backlog_turns = _Turns(self._look_at_backlog)
        self._held_turns = _Turns(self.held.count)
        self._spend_turns = _Turns(self.spend.count, rest_factor=SPEND_REST_FACTOR)
        self._asked_at: float | None = None
        self._is_asked = threading.Event()
        self._is_stopping = False
        self._has_complained = False
        self._thread = threading.Thread(target=self._run, name="otel-polar-page", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, which takes a moment."""
        self._is_stopping = True
        self._is_asked.set()
        self._thread.join()

    def ask(self) -> None:
        """Somebody looks at the page."""
        is_first = self._asked_at is None
        self._asked_at = self._source.monotonic()
        if is_first:
            self._is_asked.set()

    def call_rates(self) -> dict[str, Rate]:
        """What becomes of calls, in all and a minute."""
        with self._lock:
            return self._call_rates.rates(self._totals(), self._source.monotonic())

    def counter_rates(self) -> dict[str, Rate]:
        """What the receivers count, in all and a minute."""
        with self._lock:
            return self._counter_rates.rates(self._source.counters(), self._source.monotonic())

    def remembered_s(self) -> float:
        """Over how long a time rates are known."""
        with self._lock:
            return self._call_rates.remembered_s(self._source.monotonic())

    def _totals(self) -> dict[str, int]:
        """What has happened to calls since the process began."""
        tally = self._source.telemetry.tally
        totals = {"in": tally.recorded, "sent": 0, "duplicate": 0, "held": 0, "rejected": 0, NOT_BILLED: 0, "lost": 0}
        for (end, _), count in tally.ends().items():
            name = "held" if end.startswith("held:") else end
            totals[name] = totals.get(name, 0) + count
        return totals

    def _run(self) -> None:
        while not self._is_stopping:
            wait_s = EVERY_S
            try:
                wait_s = self._turn()
            except OutboxError:
                # It is said by the delivery thread, which needs the file more.
                pass
            except Exception as error:  # noqa: BLE001 - the page must go on being told what can be
                if not self._has_complained:
                    self._has_complained = True
                    logger.error("the status page cannot tell everything (%s)", describe(error))
            self._is_asked.wait(wait_s)
            self._is_asked.clear()

    def _turn(self) -> float:
        """Do what is to be done for a moment; in how many seconds to go on."""
        self._sample()
        monotonic = self._source.monotonic()
        if self._asked_at is not None and monotonic - self._asked_at > ASKED_S:
            self._asked_at = None
        if self._asked_at is None:
            return EVERY_S
        # All of them have their turn.
        is_done = [
            turns.go_on(TURN_S, self._pause) for turns in (self._backlog_turns, self._held_turns, self._spend_turns)
        ]
        return TURN_S if all(is_done) else 0.0

    def _look_at_backlog(self) -> Iterator[None]:
        """Count what waits, once."""
        source = self._source
        recorded = source.telemetry.tally.recorded
        outboxes = source.outboxes()
        look = look_at(outboxes, recorded)
        self.in_memory = sum(outbox.waiting() for outbox in outboxes if outbox.path is None)
        self.backlog.saw(look, now=source.clock(), monotonic=source.monotonic())
        yield

    def _sample(self) -> None:
        monotonic = self._source.monotonic()
        with self._lock:
            self._call_rates.saw(self._totals(), monotonic)
            self._counter_rates.saw(self._source.counters(), monotonic)

    def _pause(self, seconds: float) -> bool:
        """Whether to go on after a pause."""
        if not self._is_stopping:
            sleep(seconds)
        return not self._is_stopping


class _Turns:
    """Work that is done in looks, in turns of a second, with pauses; and not again at once when it took long."""

    def __init__(self, work: Callable[[], Iterator[None]], *, rest_factor: float = REST_FACTOR) -> None:
        self._work = work
        self._rest_factor = rest_factor
        self._looks: Iterator[None] | None = None
        self._took_s = 0.0
        self._not_before = 0.0

    def go_on(self, turn_s: float, pause: Callable[[float], bool]) -> bool:
        """Work for one turn, at most *turn_s* seconds; whether it is done for now."""
        begin = perf_counter()
        if begin < self._not_before:
            return True
        if self._looks is None:
            self._looks, self._took_s = self._work(), 0.0
        looks = self._looks
        while perf_counter() - begin < turn_s:
            look_begin = perf_counter()
            try:
                next(looks)
            except StopIteration:
                self._end()
                return True
            except BaseException:
                self._end()
                raise
            took_s = perf_counter() - look_begin
            self._took_s += took_s
            if not pause(max(MIN_PAUSE_S, PAUSE_FACTOR * took_s)):
                break
        return False

    def _end(self) -> None:
        self._looks = None
        self._not_before = perf_counter() + self._rest_factor * self._took_s
