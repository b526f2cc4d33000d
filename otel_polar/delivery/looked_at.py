"""Files that this very process is looking at: it opens none of them for writing at that moment.

Within a process SQLite shares what it knows of a file among its connections. One that is opened for writing while
another looks at it with ``readonly_shm=1`` cannot write, for as long as it lives ("attempt to write a readonly
database"). The other way round both can do what they are for.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_looked_at: Final[Counter[Path]] = Counter()


class _Opening:
    lock = threading.Lock()
    """Held while a file is opened, which takes milliseconds, and never while one is looked at."""


@contextmanager
def looking_at(path: Path) -> Iterator[None]:
    """While the block runs, this process does not open the file at *path* for writing."""
    path = path.absolute()
    with _Opening.lock:
        _looked_at[path] += 1
    try:
        yield
    finally:
        with _Opening.lock:
            _looked_at[path] -= 1
            if not _looked_at[path]:
                del _looked_at[path]


@contextmanager
def opening(path: Path | None) -> Iterator[None]:
    """While the block runs, which opens the file at *path* for writing, nobody here begins to look at it.

    Raises:
        OutboxError: if somebody does already. Whoever wanted to adopt the file does that later.
    """
    with _Opening.lock:
        if path is not None and path.absolute() in _looked_at:
            raise OutboxError(f"outbox {path} is being looked at by this process, and is opened later")
        yield


def _after_fork_in_child() -> None:
    _Opening.lock = threading.Lock()
    _looked_at.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
