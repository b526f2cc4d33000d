"""What forks: every pipeline is asked before the process forks, and told after it, in the parent and in the child.

One fork at a time: two threads that fork together would each give back what the other still holds.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, TypeAlias

# It takes a lock of its own before a fork, and must do so after ours: hooks run in the reverse order of their
# registration, so it has to register first.
import filelock  # noqa: F401 - for the reason above

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

Lock: TypeAlias = "threading.RLock"

TRIES: Final = 5
"""For whoever presses Ctrl-C again and again."""


class Forkable(Protocol):
    """Holds what a fork must not find in the middle of something."""

    def before_fork(self) -> None:
        """Hold every lock, so that the child does not inherit one in the middle of something."""

    def after_fork_in_parent(self) -> None:
        """Give the locks back."""

    def after_fork_in_child(self) -> None:
        """Begin anew."""


class _Forks:
    one_at_a_time = threading.RLock()
    interruptions: ClassVar[list[BaseException]] = []
    """What signal handlers have raised while locks were waited for."""


_forkables: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()
_owners: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()
_last: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()


def ask_before_fork(forkable: Forkable, *, owns_files: bool = True, is_last: bool = False) -> None:
    """Ask and tell it, for as long as it lives.

    *owns_files*: it has outbox files, and takes over those of the dead. *is_last*: its locks are taken by those who
    hold locks of the others, and so it is asked after them.
    """
    (_last if is_last else _forkables).add(forkable)
    if owns_files:
        _owners.add(forkable)


def owns_files() -> bool:
    """Whether anything in this process has outbox files, and may take over those of another at any moment."""
    return bool(_owners)


def _before_fork() -> None:
    _Forks.one_at_a_time.acquire()
    for forkable in list(_last):
        # Once while nothing is held: what takes long is waited for now, and hardly ever while others wait for a lock.
        forkable.before_fork()
        forkable.after_fork_in_parent()
    for forkable in [*_forkables, *_last]:
        forkable.before_fork()
    if _Forks.interruptions:
        # Python says it, and forks all the same; but not before everything is held.
        first = _Forks.interruptions[0]
        _Forks.interruptions.clear()
        raise first


def _after_fork_in_parent() -> None:
    try:
        for forkable in [*_last, *_forkables]:
            forkable.after_fork_in_parent()
    finally:
        # A signal handler may have raised.
        _Forks.one_at_a_time.release()


def _after_fork_in_child() -> None:
    _Forks.one_at_a_time = threading.RLock()
    # The last ones first: the others may open something at once.
    for forkable in [*_last, *_forkables]:
        forkable.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


class Holding:
    """Locks that are held over forks. A stack: a signal that comes in the middle of a fork may fork, too."""

    def __init__(self) -> None:
        self._held: list[Generator[None]] = []

    def begin(self, locks: Callable[[], Iterator[tuple[Lock, float | None]]]) -> None:
        """Hold them, in their order, each after the wait that is beside it at most, in seconds (``None``: any).

        What a signal handler raises meanwhile does not stop it: the process forks all the same, and the child would
        find locks as they are in the middle of something.
        """
        place = len(self._held)
        # Before the first lock: if a signal handler raises in here, what is held is given back all the same.
        self._held.append(hold(locks()))
        for _ in range(TRIES):
            try:
                next(self._held[place])
            except BaseException as error:  # noqa: BLE001 - a signal handler may raise anything
                _Forks.interruptions.append(error)
                self._held[place].close()
                self._held[place] = hold(locks())
            else:
                return

    def end(self) -> None:
        """Give back what was begun last."""
        if self._held:
            self._held.pop().close()


def hold(locks: Iterator[tuple[Lock, float | None]]) -> Generator[None]:
    """Hold every lock until it is closed, however it is.

    Blocks within blocks, and not a list of what is held: a signal handler may raise between any two steps, and whatever
    was taken by then is given back.
    """
    lock, timeout_s = next(locks, (None, None))
    if lock is None:
        yield
    elif timeout_s is None:
        with lock:
            yield from hold(locks)
    else:
        try:
            lock.acquire(timeout=timeout_s)
            yield from hold(locks)
        finally:
            try:  # noqa: SIM105 - `suppress` could be interrupted before it comes to that
                lock.release()
            except RuntimeError:
                # The time was over.
                pass
