"""What SQLite does in this process at one moment: a fork waits for its end.

SQLite has locks of its own, of its memory and its files, which all connections of a process share. A child that is
forked while a thread has one of them waits for ever for a thread that it does not have, in its first call. So whoever
forks waits for every connection, not only for those of the outboxes that the process records in: for files that are
being taken over, and for those that are looked at, too. And for whatever opens a file, after which nobody opens another
one until the process has forked.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.forks import Holding, Lock, ask_before_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_USE_S: Final = 10.0
"""A fork waits so long for one that a large file may be read, folded together and closed; not for a disk that hangs."""


class _InUse:
    """Is asked after everything else before a fork: who has one of those locks may be about to open a file."""

    def __init__(self) -> None:
        self._begin()

    def before_fork(self) -> None:
        """Wait until no connection is used."""
        self._holding.begin(self._all_locks)

    def after_fork_in_parent(self) -> None:
        """Let them be used."""
        self._holding.end()

    def after_fork_in_child(self) -> None:
        """Forget them: they are the parent's."""
        _inherited.append((self._holding, self.opening))
        self._begin()

    def _begin(self) -> None:
        # Re-entrant: a signal handler may end a span while its thread opens a file.
        self.opening = threading.RLock()
        self.locks: weakref.WeakSet[Lock] = weakref.WeakSet()
        self._holding = Holding()

    def _all_locks(self) -> Iterator[tuple[Lock, float | None]]:
        yield self.opening, MAX_USE_S
        for lock in list(self.locks):
            yield lock, MAX_USE_S


_inherited: Final[list[object]] = []
_in_use: Final = _InUse()
ask_before_fork(_in_use, owns_files=False, is_last=True)


@contextmanager
def opening(lock: Lock | None = None) -> Iterator[None]:
    """Nobody forks in here; nor, from then on, while *lock* is held, with which that is used which was opened."""
    with _in_use.opening:
        if lock is not None:
            _in_use.locks.add(lock)
        yield


@contextmanager
def using() -> Iterator[None]:
    """Nobody forks in here, where a file is opened, read and closed; others may do the same meanwhile.

    Also for what is imported: a module that is half imported when the process forks stays half imported in the child,
    and to import it there may wait for a thread that the child does not have.
    """
    lock = threading.RLock()
    with lock:
        with opening(lock):
            pass
        yield
