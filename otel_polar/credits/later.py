"""A reservation for asynchronous code: made and given back in a thread, because either may wait for a file or Polar."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from otel_polar.credits.decisions import Reservation

_T = TypeVar("_T")

MAKING_THREADS: Final = 16
RELEASING_THREADS: Final = 4


@asynccontextmanager
async def reserve_later(reserve: Callable[[], Reservation]) -> AsyncIterator[Reservation]:
    """Reserve in a thread, and release in one. A task that is cancelled meanwhile leaves no reservation behind."""
    making = _Making(reserve)
    try:
        reservation = await _in_thread(_threads().making, making.make)
    except asyncio.CancelledError:
        making.abandon()
        raise
    try:
        yield reservation
    finally:
        # If this is cancelled, the thread goes on by itself.
        await _in_thread(_threads().releasing, reservation.release)


class _Making:
    """Between the thread that makes a reservation and the task that may not want it any more."""

    def __init__(self, reserve: Callable[[], Reservation]) -> None:
        self._reserve = reserve
        self._lock = threading.Lock()
        self._made: Reservation | None = None
        self._is_abandoned = False

    def make(self) -> Reservation:
        made = self._reserve()
        with self._lock:
            self._made = made
            is_abandoned = self._is_abandoned
        if is_abandoned:
            made.release()
        return made

    def abandon(self) -> None:
        with self._lock:
            self._is_abandoned = True
            made = self._made
        if made is not None:
            made.release()


def _in_thread(executor: ThreadPoolExecutor, function: Callable[[], _T]) -> asyncio.Future[_T]:
    # Not asyncio.to_thread: a loop that ends cancels its task, and a release that has not begun would be left out. Nor
    # the loop's own threads: while Polar hangs, those are for the application, which looks up its hosts in them.
    context = contextvars.copy_context()
    return asyncio.get_running_loop().run_in_executor(executor, lambda: context.run(function))


class _Threads:
    """Of this process. A release, which does not ask Polar, never waits behind those that do."""

    pid = 0
    making: ThreadPoolExecutor
    releasing: ThreadPoolExecutor
    lock = threading.Lock()


def _threads() -> type[_Threads]:
    with _Threads.lock:
        if _Threads.pid != os.getpid():
            _Threads.making = ThreadPoolExecutor(MAKING_THREADS, "otel-polar-credits-making")
            _Threads.releasing = ThreadPoolExecutor(RELEASING_THREADS, "otel-polar-credits-releasing")
            _Threads.pid = os.getpid()
    return _Threads


def _after_fork_in_child() -> None:
    _Threads.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
