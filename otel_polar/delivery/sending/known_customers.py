"""Which customers are known to be on Polar, in memory and beside the outbox files, so that a restart asks nobody again.

A line of ``customers.known`` is the beginning of the SHA-256 of an external id and the day it was seen on Polar. Every
process there appends to it; a line that cannot be read is asked for again, and so is a customer after a month, because
customers can be deleted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE_NAME: Final = "customers.known"
MAX_AGE_DAYS: Final = 30
_DAY_S: Final = 86_400
_DIGITS: Final = 32
_DAY_DIGITS: Final = 7
"""Python refuses to read numbers of thousands."""

_SPARE_LINES: Final = 1_000


class KnownCustomers:
    """For the delivery thread of one process."""

    def __init__(self, directory: Path | None) -> None:
        """*directory*: that of the outbox files; ``None`` where calls are in memory only."""
        self._path = None if directory is None else directory / FILE_NAME
        self._days: dict[str, int] | None = None

    def has(self, external_id: str, now: float) -> bool:
        """Whether it was seen on Polar within a month; *now* in Unix seconds."""
        day = self._loaded(now).get(_key(external_id))
        return day is not None and _is_recent(day, now)

    def add(self, external_ids: Iterable[str], now: float) -> None:
        """These were seen on Polar just now. What cannot be written is asked again after a restart."""
        day = int(now // _DAY_S)
        days = self._loaded(now)
        new = [key for key in map(_key, external_ids) if days.get(key) != day]
        days.update(dict.fromkeys(new, day))
        if self._path is not None and new:
            _append(self._path, "".join(f"{key} {day}\n" for key in new))

    def _loaded(self, now: float) -> dict[str, int]:
        if self._days is None:
            self._days = {} if self._path is None else _load(self._path, now)
        return self._days


def _key(external_id: str) -> str:
    return sha256(external_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def _is_recent(day: int, now: float) -> bool:
    # One from the future was written before the clock was set back.
    return 0 <= now // _DAY_S - day < MAX_AGE_DAYS


def _load(path: Path, now: float) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    days: dict[str, int] = {}
    for line in lines:
        key, _, day = line.partition(" ")
        if len(key) == _DIGITS and len(day) <= _DAY_DIGITS and day.isdecimal() and _is_recent(int(day), now):
            days[key] = max(int(day), days.get(key, 0))
    if len(lines) > 2 * len(days) + _SPARE_LINES:
        _replace(path, days)
    return days


def _append(path: Path, text: str) -> None:
    with suppress(OSError):
        # Several processes do this: short lines that are appended at once stay whole on a local disk.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _replace(path: Path, days: dict[str, int]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.new")
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
        _append(temporary, "".join(f"{key} {day}\n" for key, day in days.items()))
        temporary.replace(path)
