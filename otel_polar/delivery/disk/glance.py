"""A look at the database of an outbox file beside its owner: at one moment, without a lock that anybody would miss.

Nothing is made, changed or waited for. SQLite by itself would do all three, even where a file is opened for reading
only: it makes the index of the write-ahead log (``-shm``), or builds it anew where a process has died, and with that
the only trace of a log that was cut short is gone (see ``damage``). How the file is opened depends on what is there:

    ============  ===================================================================================================
    both          ``readonly_shm=1``: the index of a living process is read; of a dead one's log SQLite makes its own
    no log        it was closed well, and is read as it is (``immutable=1``): if it has changed at the end, once more
    the log only  somebody has removed the index: file and log are copied to a temporary directory, and read there
    ============  ===================================================================================================

SQLite shares within a process what it has opened. One that has a file may look at it; a file that it opens for writing
while it looks at it could only be read, so that is refused, and tried again by whoever wanted to adopt it.

Sources: https://sqlite.org/wal.html#read_only_databases, https://sqlite.org/uri.html.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from otel_polar.delivery.disk.in_use import using
from otel_polar.delivery.disk.inherited import is_open_here
from otel_polar.delivery.disk.statements import SCHEMA
from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_TIMEOUT_S: Final = 1.0
"""An owner that opens its file after another's death has it to itself for a moment."""

_LOG_HEADER_BYTES: Final = 32
_LOG_MAGIC: Final = frozenset({0x377F0682, 0x377F0683})
_32_BITS: Final = 0xFFFF_FFFF

# A damaged row must not make the good ones beside it unreadable.
_read_text: Final = partial(str, encoding="utf-8", errors="backslashreplace")


class MovedError(OutboxError):
    """The file has gone or changed while it was looked at; what was in it is elsewhere now, or looks otherwise."""


@contextmanager
def glance(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection on which everything is read as it was at one moment. Not to be kept: the log cannot begin anew.

    Raises:
        MovedError: if the file has gone, or what was read may be of several moments; also at the end.
        OutboxDamagedError: if it is no outbox file.
        OutboxError: if it cannot be read.
    """
    before = _signature(path)
    if before is None:
        raise MovedError(f"outbox {path} has gone")
    try:
        if not _has_frames(path):
            with _opened(path, path, "mode=ro&immutable=1") as connection:
                yield connection
        elif _beside(path)[1].exists():
            with _opened(path, path, "mode=ro&readonly_shm=1") as connection:
                yield connection
            return
        else:
            _check_not_open_here(path)
            with TemporaryDirectory(prefix="otel-polar-") as name:
                copy = Path(name) / path.name
                _copy(path, copy)
                with _opened(path, copy, "mode=rw") as connection:
                    yield connection
    except OutboxError as error:
        if not isinstance(error, MovedError) and _signature(path) != before:
            raise MovedError(f"outbox {path} has changed: {error}") from error
        raise
    if _signature(path) != before:
        raise MovedError(f"outbox {path} has changed")


@contextmanager
def _opened(path: Path, opened: Path, parameters: str) -> Iterator[sqlite3.Connection]:
    with using():
        connection = None
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(opened))}?{parameters}", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S
            )
            connection.text_factory = _read_text
            connection.execute("BEGIN")
            _check(path, connection)
            yield connection
        except sqlite3.Error as error:
            raise _meant(path, error) from error
        finally:
            if connection is not None:
                connection.close()


def _check_not_open_here(path: Path) -> None:
    # To close what is copied would take SQLite's locks on it from this process.
    if is_open_here(path):
        raise OutboxError(f"outbox {path} cannot be looked at: somebody has removed its {path.name}-shm")


def _check(path: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(SCHEMA):
        raise OutboxError(f"outbox {path} was written by a newer version of otel-polar")
    if version == 0:
        raise OutboxDamagedError(f"outbox {path} is empty: its process died while making it, or what was in it is lost")


def _meant(path: Path, error: sqlite3.Error) -> OutboxError:
    if not path.exists():
        return MovedError(f"outbox {path} has gone")
    # SQLite's word for a file that is not one of its own, or is malformed, is the base class itself.
    kind = OutboxDamagedError if type(error) is sqlite3.DatabaseError else OutboxError
    return kind(f"outbox {path} cannot be read: {error}")


def _beside(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


class _Signature(NamedTuple):
    """What changes when somebody writes to a file, or puts another one in its place."""

    which: int
    size: int
    changed_unix_nano: int
    log_size: int
    log_changed_unix_nano: int


def _signature(path: Path) -> _Signature | None:
    """``None`` if there is no such file."""
    log = _beside(path)[0]
    try:
        status = path.stat()
        log_status = log.stat() if log.exists() else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutboxError(f"outbox {path} cannot be read: {error.strerror}") from error
    told = (0, 0) if log_status is None or not log_status.st_size else (log_status.st_size, log_status.st_mtime_ns)
    return _Signature(status.st_ino, status.st_size, status.st_mtime_ns, *told)


def _has_frames(path: Path) -> bool:
    """Whether there is something in the log.

    A log that has nothing but its header, or none that holds, is none for SQLite; without an owner it would look for
    another one there for ten seconds, and give up ("locking protocol").
    """
    try:
        with _beside(path)[0].open("rb") as file:
            header = file.read(_LOG_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutboxError(f"outbox {path}: its log cannot be read: {error.strerror}") from error
    return size > _LOG_HEADER_BYTES and _is_log_header(header)


def _is_log_header(header: bytes) -> bool:
    """https://sqlite.org/fileformat2.html#walformat."""
    magic = int.from_bytes(header[:4], "big")
    if magic not in _LOG_MAGIC:
        return False
    first, second = 0, 0
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _32_BITS
        second = (second + odd + first) & _32_BITS
    return struct.unpack(">2I", header[24:]) == (first, second)


def _copy(path: Path, copy: Path) -> None:
    try:
        # The log first: whoever writes meanwhile is found out at the end.
        shutil.copy(_beside(path)[0], _beside(copy)[0])
        shutil.copy(path, copy)
    except FileNotFoundError as error:
        raise MovedError(f"outbox {path} has changed") from error
    except OSError as error:
        raise OutboxError(f"outbox {path} cannot be copied to be read: {error.strerror}") from error
