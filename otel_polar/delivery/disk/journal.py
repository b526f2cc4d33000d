"""Where a finished call is written down first: a file that is only ever appended to.

One ``write`` of one line, and the call survives the death of the process; nothing that the delivery thread does with
the database, neither its transactions nor the disk it waits for, can keep a caller waiting. The delivery thread reads
the lines and moves them into the database, together with how far it has come::

    outbox-3f9a1c2e.db
    outbox-3f9a1c2e-187a4c0b5f2e9d10.journal    a segment: 1790855999.25 {"v":1,…} for each call, or for several

A segment that has been read to its end is deleted when it has grown or rested, or its process is gone. Its name is
never used again, so that what was noted about it cannot be taken for another one's. A last line that was cut short was
being written when the process died: ``on_end`` had not returned. But the file may also have been truncated: that is
said, as all damage is, and such a segment is put aside for a person to look at instead of being deleted.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.lines import line_of
from otel_polar.delivery.notices import logger
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SEGMENT_BYTES: Final = 4 * 1024 * 1024
"""A segment of which everything has been read is given up when it is larger."""


class Journal:
    """The segments that belong to one outbox file. Made anew in a forked child."""

    def __init__(self, outbox_path: Path, *, is_synchronous: bool) -> None:
        """*is_synchronous*: what is appended survives a power failure, too."""
        self._outbox_path = outbox_path
        self._is_synchronous = is_synchronous
        # Re-entrant: a signal handler may end a span in the middle of an append. It comes before the line or after it.
        self.lock = threading.RLock()
        """Held while a line is appended. Whoever forks takes it first."""
        self._descriptor: int | None = None
        self._current: Path | None = None
        self._is_in_doubt = False
        self._left_open: set[int] = set()
        self._older = segments_of(outbox_path)
        self._damaged: set[Path] = set()

    def append(self, call: str, now: float) -> None:
        """Write down a call, which is one line. When this returns, killing the process does not lose it.

        Raises:
            OutboxError: if the disk does not take it; then there is nothing of it in the file.
        """
        self._append(line_of((call,), now))

    def append_all(self, calls: Sequence[str], now: float) -> None:
        """Write down several calls as one line: whenever the process is killed, all of them are there or none.

        Raises:
            OutboxError: if the disk does not take them; then there is nothing of them in the file.
        """
        self._append(line_of(calls, now))

    def _append(self, line: bytes) -> None:
        try:
            with self.lock:
                if self._is_in_doubt:
                    # A signal handler ends a span in the middle of an append, or has torn one out of the middle: the
                    # other line may be there in part.
                    self._leave()
                descriptor = self._open() if self._descriptor is None else self._descriptor
                self._write(descriptor, line)
                if self._is_synchronous:
                    os.fdatasync(descriptor)
                    if not os.fstat(descriptor).st_nlink:
                        # Somebody has deleted it, and this line with it.
                        self.report_lost()
                        self._append(line)
        except OSError as error:
            raise OutboxError(f"outbox {self._current or self._outbox_path}: {error.strerror}") from error

    def segments(self) -> list[Path]:
        """Every segment there is, the oldest first."""
        with self.lock:
            return self._older if self._current is None else [*self._older, self._current]

    def is_current(self, segment: Path) -> bool:
        """Whether it is the one that is appended to; if not, nobody is in the middle of an append to it either."""
        with self.lock:
            return segment == self._current

    def give_up(self, segment: Path, consumed: int) -> bool:
        """Delete a segment that has been read up to *consumed*, if there is nothing behind; whether it was deleted."""
        with self.lock:
            if self.is_current(segment) and _ends_at(segment, consumed):
                self._close()
            # Only now: until it was closed, a finalizer may have ended a span on this very thread.
            if self.is_current(segment) or not _ends_at(segment, consumed):
                return False
            self._delete(segment)
        return True

    def discard(self) -> None:
        """Delete what has been copied elsewhere: all but a segment that was begun after :meth:`close`.

        Raises:
            OutboxError: if one cannot be deleted.
        """
        with self.lock:
            for segment in self._older:
                self._delete(segment)

    def report(self, segment: Path, damage: str) -> None:
        """Say that a segment is damaged, and keep it for a person to look at when it has been read."""
        self._damaged.add(segment)
        logger.error(
            "outbox %s is damaged: %s. What can be read of it goes on, and the file is kept as %s",
            segment,
            damage,
            _aside(segment, "…"),
        )

    def put_aside(self, segment: Path, reason: object) -> None:
        """Rename a segment that cannot be read at all, and say so.

        Raises:
            OutboxError: if it cannot be renamed.
        """
        with self.lock:
            if self.is_current(segment):
                # Or the next call would go into it, where nobody looks.
                self._close()
            self._damaged.add(segment)
            aside = self._delete(segment)
        logger.error("%s; it was put aside as %s, and the calls in it are not billed", reason, aside)

    def close(self) -> None:
        """Append nothing more to the present segment; the next call begins another one."""
        with self.lock:
            self._close()

    def is_lost(self) -> bool:
        """Whether somebody has deleted the segment that is being appended to."""
        with self.lock:
            return self._current is not None and not self._current.exists()

    def report_lost(self) -> None:
        """Say so, and begin another one with the next call."""
        with self.lock:
            segment = self._current
            self._close()
        logger.error("outbox %s has been deleted: CALLS IN IT ARE LOST, unless they had been read", segment)

    def _open(self) -> int:
        path = self._outbox_path.with_name(f"{self._outbox_path.stem}-{time.time_ns():016x}.journal")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, mode=0o600)
        if self._is_synchronous:
            # What is in a file survives a power failure only if its name does.
            try:
                _synchronise_directory(path.parent)
            except OSError:
                os.close(descriptor)
                path.unlink(missing_ok=True)
                raise
        if self._descriptor is not None:
            # A signal handler has ended a span meanwhile, and begun a segment for it: it is to be read, too.
            self._leave()
        self._descriptor, self._current = descriptor, path
        return descriptor

    def _write(self, descriptor: int, line: bytes) -> None:
        """Write a line or nothing of it. Where neither is certain, this segment stays in doubt."""
        self._is_in_doubt = True
        try:
            written = os.write(descriptor, line)
        except OSError:
            self._is_in_doubt = False
            raise
        if written != len(line):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
            self._is_in_doubt = False
            no_space = os.strerror(errno.ENOSPC)
            raise OSError(errno.ENOSPC, f"{no_space}: only {written} of {len(line)} bytes could be written")
        self._is_in_doubt = False

    def _leave(self) -> None:
        """Let the next line begin another segment; an append that was interrupted still finds its own open."""
        if self._descriptor is not None:
            self._left_open.add(self._descriptor)
        if self._current is not None:
            self._older = [*self._older, self._current]
        self._descriptor = self._current = None
        self._is_in_doubt = False

    def _close(self) -> None:
        self._leave()
        while self._left_open:
            os.close(self._left_open.pop())

    def _delete(self, segment: Path) -> str:
        """Delete it, or put it aside if it is damaged; its name then."""
        aside = _aside(segment, secrets.token_hex(2))
        try:
            if segment in self._damaged:
                segment.rename(segment.with_name(aside))
            else:
                segment.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise OutboxError(f"outbox {segment} cannot be removed: {error.strerror}") from error
        self._damaged.discard(segment)
        self._older = [older for older in self._older if older != segment]
        return aside


def _synchronise_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def segments_of(outbox_path: Path) -> list[Path]:
    """The segments of an outbox file, the oldest first; there may be some without the file."""
    return sorted(outbox_path.parent.glob(f"{outbox_path.stem}-*.journal"))


def outbox_of(segment: Path) -> Path:
    """The outbox file that a segment belongs to."""
    return segment.with_name(f"{segment.stem.rpartition('-')[0]}.db")


def _ends_at(segment: Path, consumed: int) -> bool:
    """Whether there is nothing behind *consumed*, as far as can be told; also where the file is gone."""
    try:
        return segment.stat().st_size == consumed
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _aside(segment: Path, mark: str) -> str:
    # The name no longer fits the pattern by which segments are found.
    return f"damaged-{mark}-{segment.name}"
