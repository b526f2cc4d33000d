"""The lock beside an outbox file: whoever has it owns the file, and the operating system lets go of it at the end."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from filelock import BaseFileLock, FileLock, Timeout

if TYPE_CHECKING:
    from pathlib import Path


def lock_path(path: Path) -> Path:
    """Where the lock of the file at *path* is."""
    return path.with_name(f"{path.name}.lock")


class _Lock(FileLock):
    def __del__(self) -> None:  # type: ignore[override]  # it takes what it calls as defaults
        """Keep it: the operating system lets go of it.

        When an interpreter ends, this object may go before the connection to the file, which is then closed, and its
        log folded into it, under the eyes of the next owner.
        """


def try_lock(path: Path) -> BaseFileLock | None:
    """The lock of the file at *path*, held by this process; ``None`` if another one has it.

    Raises:
        OSError: if it cannot be made.
    """
    # thread_local=False: the delivery thread may release what the application's thread acquired.
    lock = _Lock(lock_path(path), timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def is_locked(path: Path) -> bool:
    """Whether a process that lives has the lock of the file at *path*; nothing is made, and hardly anything taken.

    A shared lock is asked for, which fails at once if there is an owner, so that those who look do not take each other
    for one. Where there is none it is held for microseconds: a process that starts in them makes a new file, and adopts
    this one later.
    """
    try:
        descriptor = os.open(lock_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        # Somebody else's: whether that one lives cannot be told.
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Closing would not do: a child that was forked in between has the file open, too, and so the lock.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
