"""Damage to an outbox file that SQLite does not tell of, or for which it would give up what can still be read.

- A file that is shorter than its header says is refused as a whole, though all but the missing pages can be read. It is
  made as long as it was: then only those pages are malformed.
- A file without content is a new one for SQLite, and its write-ahead log is deleted.
- A log that is cut short or broken in the middle ends there for SQLite, without a word. How much had been committed to
  it stands in the index beside it (``-shm``), as long as the machine has not been started anew.

Sources: https://sqlite.org/fileformat2.html (the header), https://sqlite.org/walformat.html (the index).
"""

from __future__ import annotations

import os
import secrets
import shutil
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_polar.delivery.disk.database import Database

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_MAX_PAGE: Final = 65_536
_INDEX: Final = struct.Struct("=I8xBxxxI12x8s")
_INDEX_VERSION: Final = 3_007_000
_COPIED: Final = struct.Struct("=I")
_COPIED_AT: Final = 96
_LOG_SALT: Final = slice(16, 24)


class LogIndex(NamedTuple):
    """What the index says of a log: how many frames are committed, how many copied into the file, and which log."""

    frames: int
    copied: int
    salt: bytes


def read_log_index(path: Path) -> LogIndex | None:
    """The index of the log of an outbox file that this process has not opened, if there is one.

    Of one that it has, closing the index would take SQLite's locks on it from the process: the next to come would take
    it for dead, and empty the index under it (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        index = path.with_name(f"{path.name}-shm").read_bytes()[: _COPIED_AT + _COPIED.size]
    except OSError:
        return None
    if len(index) < _COPIED_AT + _COPIED.size:
        return None
    version, is_there, frames, salt = _INDEX.unpack_from(index)
    if version != _INDEX_VERSION or not is_there:
        return None
    return LogIndex(frames, _COPIED.unpack_from(index, _COPIED_AT)[0], salt)


def find_log_index(path: Path, database: Database) -> LogIndex | None:
    """The same of a file that this process has opened, as SQLite tells it; ``None`` if it cannot.

    It tells only while it copies the log into the file.
    """
    try:
        ((_, frames, copied),) = database.read("PRAGMA wal_checkpoint(PASSIVE)")
        with path.with_name(f"{path.name}-wal").open("rb") as log:
            return LogIndex(frames, copied, log.read(_LOG_SALT.stop)[_LOG_SALT])
    except FileNotFoundError:
        return LogIndex(0, 0, b"")
    except (OutboxError, OSError):
        return None


def is_log_short(before: LogIndex | None, find_after: Callable[[], LogIndex | None]) -> bool:
    """Whether SQLite, which has opened the file since *before*, lacks in the log what had been committed to it."""
    if before is None or before.frames <= before.copied:
        return False
    after = find_after()
    return after is not None and (after.salt != before.salt or after.frames < before.frames)


def copy_log_aside(path: Path) -> str:
    """Copy the log of an outbox file for a person to look at; how that went."""
    log = path.with_name(f"{path.name}-wal")
    aside = f"damaged-{secrets.token_hex(2)}-{log.name}"
    try:
        shutil.copy(log, path.with_name(aside))
    except OSError as error:
        return f"it could not be copied: {error.strerror}"
    return f"it was copied as {aside}"


def make_as_long_as_it_was(path: Path) -> bool:
    """Lengthen a file that is shorter than it says; whether it was.

    Raises:
        OutboxDamagedError: if there is nothing in it, or it is not a file.
        OSError: if it cannot be lengthened.
    """
    if path.is_dir():
        raise OutboxDamagedError(f"outbox {path} is a directory")
    if not path.exists():
        return False
    log = path.with_name(f"{path.name}-wal")
    is_logged = log.exists() and log.stat().st_size > 0
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if not header:
        raise OutboxDamagedError(f"outbox {path} is empty: its process died while making it, or what was in it is lost")
    # With a log, the header may be ahead of the file: the process died while copying.
    if is_logged or len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        return False
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = _MAX_PAGE if page_bytes == 1 else page_bytes
    expected = page_bytes * int.from_bytes(header[28:32], "big")
    # The number of pages counts only if it was written with the last change.
    if size >= expected or header[24:28] != header[92:96]:
        return False
    os.truncate(path, expected)
    return True
