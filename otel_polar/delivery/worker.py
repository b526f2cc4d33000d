"""The thread that repeats the steps of delivery, wakes when there is something new, and can be asked to hurry.

It is a daemon, so that it never keeps a process alive: what it has not sent is on disk.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from otel_polar.delivery.notices import describe, logger
from otel_polar.delivery.orders.taking import LOOK_S
from otel_polar.delivery.step import AFTER_ERROR_S, IDLE_S, NO_REST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_polar.delivery.metrics.telemetry import Telemetry
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.step import Delivery


@dataclass(eq=False, slots=True)
class _Drain:
    """Somebody waits until everything is sent.

    ``at_first_hold_up``: but not for a Polar that has to be waited for; ``at_lasting_trouble``: but not where that is
    because it refuses the token or address, or cannot be reached.
    """

    at_first_hold_up: bool = False
    at_lasting_trouble: bool = False
    finished: threading.Event = field(default_factory=threading.Event)
    has_begun: bool = False
    complete: bool = False


class Worker:
    """Runs *delivery*, and *tend* every half minute and at the start. Made anew in a forked child."""

    def __init__(
        self,
        delivery: Delivery,
        tend: Callable[[], None],
        notices: Notices,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._delivery = delivery
        self._notices = notices
        self._telemetry = telemetry
        self._rest_s = delivery.rest.settle_s + delivery.rest.linger_s
        self._tend = tend
        self._tend_at = 0.0
        # Re-entrant, as everything here that a caller's thread touches: a signal or a finalizer may end a span in the
        # middle of it. That is also why the thread is woken by a queue; an Event would wait for itself.
        self._lock = threading.RLock()
        self.stepping = threading.RLock()
        """Held while the thread is at work, so that a fork can wait for it to be in a state worth inheriting."""
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_starting = False
        self._is_stopping = False
        self._drains: list[_Drain] = []
        self.needs_waking = True

    @property
    def is_stopping(self) -> bool:
        """Whether it sends nothing any more: what is recorded from now on is for the next process."""
        return self._is_stopping

    def start(self) -> None:
        """Start the thread, unless it runs or was stopped."""
        with self._lock:
            is_alive = self._thread is not None and self._thread.is_alive()
            if is_alive or self._is_starting or self._is_stopping:
                return
            self._is_starting = True
            self._thread = threading.Thread(target=self._run, name="otel-polar-delivery", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                # The interpreter is shutting down, or the system has no more threads for us now.
                self._thread = None
                self.needs_waking = True
                self._notices.warn("thread", "the delivery thread cannot be started (%s); calls stay on disk", error)
            except BaseException:
                # A signal handler raised: the next call looks whether the thread came to life.
                self.needs_waking = True
                raise
            finally:
                self._is_starting = False

    def wake(self) -> None:
        """There is something new. To be called when ``needs_waking``, which spares a caller's thread the rest."""
        self.needs_waking = False
        self.start()
        if self._thread is not None:
            self._wake.put(None)

    def drain(self, timeout_s: float, *, at_lasting_trouble: bool = False) -> bool:
        """Send everything that can be sent, for at most *timeout_s* seconds; whether nothing is left.

        *at_lasting_trouble*: give up as soon as Polar refuses the token or address, or cannot be reached.
        """
        return self._wait_for(_Drain(at_lasting_trouble=at_lasting_trouble), timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Like :meth:`drain`, but give up as soon as Polar would have to be waited for; then end the thread."""
        deadline = time.monotonic() + timeout_s
        complete = self._wait_for(_Drain(at_first_hold_up=True), timeout_s)
        with self._lock:
            if self._is_stopping:
                # Once is enough: an application and its provider may both shut down what hangs.
                return complete
            self._is_stopping = True
            thread = self._thread
        self._wake.put(None)
        if thread is not None and thread.is_alive():
            # It ends at once, unless it is in the middle of a request.
            thread.join(max(0.0, deadline - time.monotonic()))
        return complete

    def _wait_for(self, drain: _Drain, timeout_s: float) -> bool:
        self.start()
        with self._lock:
            if self._thread is None or self._is_stopping:
                return False
            self._drains.append(drain)
        self._wake.put(None)
        drain.finished.wait(timeout_s)
        with self._lock:
            if drain in self._drains:
                self._drains.remove(drain)
        return drain.complete

    def _run(self) -> None:
        # Our own requests must not become spans of the application.
        context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))  # noqa: FBT003 - OpenTelemetry's own key
        # Not the same one if its start was interrupted and repeated.
        while not self._is_stopping and threading.current_thread() is self._thread:
            # Before the step: whoever records while it runs must wake us, for the step may not see it any more.
            self._sleep(0.0)
            self.needs_waking = True
            with self.stepping:
                wait_s = self._turn()
            if wait_s > 0:
                # Whoever records meanwhile need not wake us if we wake by ourselves before that call has rested.
                self.needs_waking = wait_s > self._rest_s
                self._rest(wait_s)
        self._delivery.close()
        if self._telemetry is not None and self._is_stopping:
            self._telemetry.end()

    def _rest(self, wait_s: float) -> None:
        """Sleep until woken, or until a person wants something."""
        end = time.monotonic() + wait_s
        while (left_s := end - time.monotonic()) > 0:
            if self._sleep(min(left_s, LOOK_S)) or self._delivery.has_orders():
                return

    def _sleep(self, wait_s: float) -> bool:
        """Sleep until woken, and forget every waking so far; whether there was one."""
        is_woken = False
        with suppress(Empty):
            self._wake.get(timeout=wait_s)
            is_woken = True
            while True:
                self._wake.get_nowait()
        return is_woken

    def _turn(self) -> float:
        try:
            if time.monotonic() >= self._tend_at:
                self._tend_at = time.monotonic() + IDLE_S
                self._tend()
            with self._lock:
                drains = list(self._drains)
            return self._step(drains)
        except Exception as error:  # noqa: BLE001 - the thread must live, whatever happens in a step
            # Without the error's words and a traceback, which may show an event.
            logger.error(
                "delivery failed (%s); it goes on in %.0f s, and nothing is lost",
                describe(error),
                AFTER_ERROR_S,
            )
            return AFTER_ERROR_S

    def _step(self, drains: Sequence[_Drain]) -> float:
        for drain in drains:
            if not drain.has_begun:
                drain.has_begun = True
                self._delivery.retry_now()
        step = self._delivery.step(NO_REST if drains else self._delivery.rest)
        finished = [drain for drain in drains if step.is_done or (step.is_held_up and self._gives_up(drain))]
        wait_s = step.wait_s
        if self._telemetry is not None:
            # Whoever waited may collect metrics now.
            wait_s = self._telemetry.look(wait_s, at_once=bool(finished))
        for drain in finished:
            self._finish(drain)
        return wait_s

    def _gives_up(self, drain: _Drain) -> bool:
        """Whether it does not wait for a Polar that has to be waited for."""
        if drain.at_first_hold_up or not drain.at_lasting_trouble:
            return drain.at_first_hold_up
        trouble = None if self._telemetry is None else self._telemetry.polar.trouble
        return trouble is not None and trouble.is_lasting

    def _finish(self, drain: _Drain) -> None:
        drain.complete = self._delivery.is_empty()
        with self._lock:
            if drain in self._drains:
                self._drains.remove(drain)
        drain.finished.set()
