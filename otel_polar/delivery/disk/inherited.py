"""Files that a forked child has inherited open: it never closes them, and never opens them as they are.

SQLite knows a file by its inode, and believes that the process still holds the locks and shares the index that its
parent had. A child that closes such a file takes it from under whoever goes on with it; one that opens it again, after
the parent's death, sees an index that is out of date, and writes over what others have written since.

Source: https://sqlite.org/howtocorrupt.html, 2.6.
"""

from __future__ import annotations

import os
import shutil
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.making import UNFINISHED

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from otel_polar.delivery.disk.database import Database

_Inode = tuple[int, int]

_open: Final[weakref.WeakKeyDictionary[Database, tuple[sqlite3.Connection, _Inode]]] = weakref.WeakKeyDictionary()
_inherited: Final[set[_Inode]] = set()


def note_open(database: Database, connection: sqlite3.Connection, path: Path | None) -> None:
    """This process has opened the file at *path*, if it is there already."""
    if path is not None and path.exists():
        _open[database] = (connection, _inode(path))


def is_open_here(path: Path) -> bool:
    """Whether this process has opened the file at *path*, and so loses SQLite's locks on it if it closes it."""
    with suppress(OSError):
        return _inode(path) in {inode for _, inode in list(_open.values())}
    return False


def make_own(path: Path) -> None:
    """Make an inherited file one that can be opened: another inode with the same content.

    Nobody else may have it open.

    Raises:
        OSError: if it cannot be copied.
    """
    if not _inherited or not path.exists() or _inode(path) not in _inherited:
        return
    for side_file in ("", "-wal"):
        file = path.with_name(f"{path.name}{side_file}")
        if file.exists():
            copy = file.with_name(f"{file.name}{UNFINISHED}")
            shutil.copy(file, copy)
            copy.replace(file)
    # It is made anew from the log.
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def _inode(path: Path) -> _Inode:
    status = path.stat()
    return status.st_dev, status.st_ino


def _after_fork_in_child() -> None:
    import ctypes  # noqa: PLC0415 - for a forked child only

    for connection, inode in list(_open.values()):
        # Not even when the interpreter ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        _inherited.add(inode)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
