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

MAX_CONDITIONS: Final = 1_000
"""Conditions remembered at once; keys can hold model names, which come from spans."""


class Notices:
    """What has been said already, by one pipeline."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def warn(self, key: str, message: str, *arguments: object) -> None:
        """Log a condition that mends itself, or only holds a call back."""
        if self._is_new(key):
            logger.warning(message, *arguments)

    def error(self, key: str, message: str, *arguments: object) -> None:
        """Log a condition that needs a person."""
        if self._is_new(key):
            logger.error(message, *arguments)

    def over(self, key: str, message: str, *arguments: object) -> None:
        """Log that a condition has ended, if it was said to have begun."""
        with self._lock:
            if key not in self._said:
                return
            self._said.discard(key)
        logger.warning(message, *arguments)

    def after_fork(self) -> None:
        """In a forked child: the lock may have been held by a thread that does not exist here."""
        self._lock = threading.Lock()

    def _is_new(self, key: str) -> bool:
        with self._lock:
            if key in self._said or len(self._said) >= MAX_CONDITIONS:
                return False
            self._said.add(key)
            return True
