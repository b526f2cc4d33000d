"""Commits of many requests together: what arrives while the disk is busy waits for the next commit, and shares it.

A commit is on disk, as far as the disk does not lie, when it returns; that takes milliseconds, in which a request that
came a moment later would have to wait for two.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_CALLS: Final = 10_000
"""In one commit, about."""


class _Waiting(NamedTuple):
    calls: Sequence[str]
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Commits:
    """One thread that commits, for an event loop that must not wait for a disk."""

    def __init__(self, commit: Callable[[Sequence[str]], None]) -> None:
        """*commit* records calls, all of them or none, and raises if it cannot."""
        self._commit = commit
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="otel-polar-commits", daemon=True)
        self._thread.start()

    async def commit(self, calls: Sequence[str]) -> None:
        """Return when *calls* are on disk.

        Raises:
            Exception: what the commit raised; then none of them is recorded, or it is not certain that they are.
        """
        if calls:
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            self._queue.put(_Waiting(calls, done, loop))
            await done

    def stop(self) -> None:
        """End the thread, when everything handed over is committed."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            together, goes_on = self._with_others(first)
            error: Exception | None = None
            try:
                self._commit([call for waiting in together for call in waiting.calls])
            except Exception as raised:  # noqa: BLE001 - whoever waits is told
                error = raised
            for waiting in together:
                with suppress(RuntimeError):
                    # The loop may be closed by now.
                    waiting.loop.call_soon_threadsafe(_tell, waiting.done, error)
            if not goes_on:
                return

    def _with_others(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        together, count = [first], len(first.calls)
        while count < MAX_CALLS and not self._queue.empty():
            other = self._queue.get()
            if other is None:
                return together, False
            together.append(other)
            count += len(other.calls)
        return together, True


def _tell(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        # Its request was given up.
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
