"""The thread that keeps a guard's knowledge young, so that calls seldom wait: outboxes, balances, and tidying up.

It begins with the first call and ends when none has come for a minute.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_S: Final = 1.0
"""How often the outboxes are looked at."""

LOOK_SHARE: Final = 20.0
"""A look that takes long, because much waits in an outage, is taken the less often."""

TIDY_S: Final = 30.0
IDLE_S: Final = 60.0
MAX_WANTED: Final = 1_000


class Keeper:
    """For one guard in one process."""

    def __init__(
        self,
        *,
        look: Callable[[], None],
        refresh: Callable[[str], None],
        tidy_up: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The three things it does; none of them raises."""
        self._look = look
        self._refresh = refresh
        self._tidy_up = tidy_up
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._used_at = 0.0
        self._is_closed = False

    def used(self) -> None:
        """A call has been made: go on, or begin."""
        self._used_at = self._monotonic()
        if self._thread is None:
            self._begin()

    def want(self, customer: str) -> None:
        """Ask Polar about this customer soon."""
        with self._lock:
            if len(self._wanted) < MAX_WANTED:
                self._wanted[customer] = None
        self._news.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread, and wait for that so long."""
        self._is_closed = True
        self._news.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is not None or self._is_closed:
                return
            thread = threading.Thread(target=self._run, name="otel-polar-credits", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # An interpreter that ends starts no more threads: calls look for themselves.
                return
            self._thread = thread

    def _run(self) -> None:
        look_at = tidy_at = 0.0
        while not self._is_closed:
            now = self._monotonic()
            if now - self._used_at > IDLE_S:
                break
            if now >= look_at:
                self._look()
                took_s = self._monotonic() - now
                look_at = now + max(LOOK_S, LOOK_SHARE * took_s)
            if now >= tidy_at:
                self._tidy_up()
                tidy_at = now + TIDY_S
            self._refresh_wanted()
            if self._news.wait(max(0.0, min(LOOK_S, look_at - self._monotonic()))):
                self._news.clear()
        with self._lock:
            self._thread = None

    def _refresh_wanted(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        for customer in wanted:
            if self._is_closed:
                return
            self._refresh(customer)
