"""What forks: every pipeline is asked before the process forks, and told after it, in the parent and in the child.

One fork at a time: two threads that fork together would each give back what the other still holds.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final, Protocol

# It takes a lock of its own before a fork, and must do so after ours: hooks run in the reverse order of their
# registration, so it has to register first.
import filelock  # noqa: F401 - for the reason above


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


_forkables: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()


def ask_before_fork(forkable: Forkable) -> None:
    """Ask and tell it, for as long as it lives."""
    _forkables.add(forkable)


def _before_fork() -> None:
    _Forks.one_at_a_time.acquire()
    for forkable in list(_forkables):
        forkable.before_fork()


def _after_fork_in_parent() -> None:
    try:
        for forkable in list(_forkables):
            forkable.after_fork_in_parent()
    finally:
        # A signal handler may have raised.
        _Forks.one_at_a_time.release()


def _after_fork_in_child() -> None:
    _Forks.one_at_a_time = threading.RLock()
    for forkable in list(_forkables):
        forkable.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
