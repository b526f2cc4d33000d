"""What is written in a segment of the journal, line by line, and what is wrong with it."""

from __future__ import annotations

import errno
import json
import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from otel_polar.errors import OutboxDamagedError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PORTION_BYTES: Final = 256 * 1024
"""Read at once: a few hundred calls."""

_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Reasons why a file cannot be read that say nothing about the file."""


GROUP: Final = "\x1d"
"""Begins the line of several calls that were recorded together, so that a part of it is never taken for one of them."""

SEPARATOR: Final = "\x1e"
"""Stands between those; in a call, which is JSON, no such character can be."""


def line_of(calls: Sequence[str], now: float) -> bytes:
    """The line for calls that are recorded together, all of them or none; *now* in Unix seconds."""
    text = calls[0] if len(calls) == 1 else GROUP + SEPARATOR.join(calls)
    return f"{now!r} {text}\n".encode("ascii", "backslashreplace")


class Line(NamedTuple):
    """A call as it was recorded, or several, in Unix seconds, and where it ends in its segment.

    ``is_cut`` where the end of the line is missing; ``is_damaged`` where it is not what was written.
    """

    recorded_at: float
    call: str
    end: int
    is_cut: bool
    is_damaged: bool


def read_lines(segment: Path, begin: int) -> list[Line]:
    """The next lines from *begin* (a number of bytes) on; empty at the end.

    Raises:
        OutboxDamagedError: if the file cannot be read.
        OutboxError: if it cannot be read now, because of something else.
    """
    try:
        with segment.open("rb") as file:
            return read_open_lines(file, begin)
    except OSError as error:
        kind = OutboxError if error.errno in _PASSING else OutboxDamagedError
        raise kind(f"outbox {segment} cannot be read: {error.strerror}") from error


def read_open_lines(file: BinaryIO, begin: int) -> list[Line]:
    """The same of a segment that is open already, and may have been deleted since.

    Raises:
        OSError: if it cannot be read.
    """
    file.seek(begin)
    data = file.read(PORTION_BYTES)
    if len(data) == PORTION_BYTES:
        data += file.readline()
    return list(_lines(data, begin, os.fstat(file.fileno()).st_mtime))


def calls_of(lines: Sequence[Line]) -> list[tuple[float, str]]:
    """When each call was recorded, and the call, as they come into the intake.

    A last line that is cut short is none, unless nothing but its end is missing.
    """
    whole = [line for line in lines if line.call and not _is_part(line)]
    return [(line.recorded_at, call) for line in whole for call in line.call.removeprefix(GROUP).split(SEPARATOR)]


def damage_in(lines: Sequence[Line]) -> str | None:
    """What is wrong with them, in words, if anything is."""
    damaged = sum(line.is_damaged for line in lines)
    said = [f"{damaged} lines are not what was written"] if damaged else []
    if lines and _is_part(lines[-1]):
        said.append("the last line is cut short (its process died while writing it, or the file was truncated)")
    return ", and ".join(said) or None


def count_calls(segment: Path, begin: int) -> int:
    """How many calls there are behind *begin*; 0 if it cannot be read."""
    count = 0
    with suppress(OSError), segment.open("rb") as file:
        file.seek(begin)
        last = b"\n"
        while data := file.read(PORTION_BYTES):
            count += data.count(b"\n") + data.count(SEPARATOR.encode())
            last = data
        count += not last.endswith(b"\n")
    return count


def _is_part(line: Line) -> bool:
    if not line.is_cut:
        return False
    try:
        json.loads(line.call)
    except ValueError:
        return True
    return False


def _lines(data: bytes, begin: int, written_at: float) -> Iterator[Line]:
    end = begin
    whole_lines, _, rest = data.rpartition(b"\n")
    for line in whole_lines.split(b"\n") if whole_lines else ():
        end += len(line) + 1
        yield _line(line, end, written_at, is_cut=False)
    if rest:
        yield _line(rest, end + len(rest), written_at, is_cut=True)


def _line(line: bytes, end: int, written_at: float, *, is_cut: bool) -> Line:
    # A power failure may leave zeros where something was to be written.
    stripped = line.strip(b"\0")
    is_damaged = len(stripped) != len(line) or not stripped.isascii()
    text = stripped.decode("utf-8", "backslashreplace")
    time_text, _, call = text.partition(" ")
    try:
        recorded_at = float(time_text)
    except ValueError:
        recorded_at = math.nan
    if math.isfinite(recorded_at):
        return Line(recorded_at, call, end, is_cut, is_damaged)
    # Whoever reads it finds out what it is; and it is not older than the file.
    return Line(written_at, text, end, is_cut, is_damaged=is_damaged or bool(text and not is_cut))
