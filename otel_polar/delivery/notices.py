"""Say what is wrong once, and once more when it is over.

A Polar that is down fails every few seconds, and an unknown model at every call; a log that repeats it hides everything
else. Each condition has a key and is logged when it begins; the same condition is silent until :meth:`Notices.over`.

Log lines carry counts and causes, never a token, a customer's id or content.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

logger: Final = logging.getLogger("otel_polar")

MAX_WARNINGS: Final = 1_000
"""Warnings remembered at once; keys can hold model names, which come from spans."""

MAX_CONDITIONS: Final = 2 * MAX_WARNINGS
"""Conditions remembered at once: a flood of warnings leaves room for errors."""


class Notices:
    """What has been said already, by one pipeline."""

    def __init__(self) -> None:
        # Re-entrant: a signal or a finalizer may end a span in the middle of anything.
        self._lock = threading.RLock()
        self._said: set[str] = set()

    def warn(self, key: str, message: str, *arguments: object) -> None:
        """Log a condition that mends itself, or only holds a call back."""
        if self._is_new(key, MAX_WARNINGS):
            logger.warning(message, *arguments)

    def error(self, key: str, message: str, *arguments: object) -> None:
        """Log a condition that needs a person."""
        if self._is_new(key, MAX_CONDITIONS):
            logger.error(message, *arguments)

    def over(self, key: str, message: str, *arguments: object) -> None:
        """Log that a condition has ended, if it was said to have begun."""
        with self._lock:
            if key not in self._said:
                return
            self._said.discard(key)
        logger.warning(message, *arguments)

    def forget(self, key: str) -> None:
        """That condition has become another one, which is said by itself."""
        with self._lock:
            self._said.discard(key)

    def after_fork(self) -> None:
        """In a forked child: the lock may have been held by a thread that does not exist here."""
        self._lock = threading.RLock()

    def _is_new(self, key: str, capacity: int) -> bool:
        with self._lock:
            if key in self._said or len(self._said) >= capacity:
                return False
            self._said.add(key)
            return True


def describe(error: BaseException) -> str:
    """What kind of error, and where it was raised, for a log line. Not its words, which may hold anything."""
    return f"{type(error).__name__} {place_of(error)}".rstrip()


def place_of(error: BaseException) -> str:
    """Where an error was raised; empty if it never was."""
    if error.__traceback__ is None:
        return ""
    # Imported here for the sake of `import otel_polar`.
    import traceback  # noqa: PLC0415 - see above
    from pathlib import Path  # noqa: PLC0415 - see above

    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {place.name}, {Path(place.filename).name}:{place.lineno}"
