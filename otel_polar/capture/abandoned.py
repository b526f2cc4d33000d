"""What has to be done when something is collected: later, and not in the middle of whatever was going on.

Python's collector of cycles runs at any allocation, also inside a lock that ending a span would wait for, such as an
exporter's own. What it closes is only noted down; the next safe place does it: the next request of a hooked client, a
flush, a shutdown, the end of the process.
"""

from __future__ import annotations

import atexit
import gc
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from otel_polar.delivery.notices import describe, logger

if TYPE_CHECKING:
    from collections.abc import Callable

# Safe to be used in the middle of anything (queue.SimpleQueue, "put is reentrant").
_later: Final[SimpleQueue[Callable[[], object]]] = SimpleQueue()


class _Collecting:
    """In which thread the collector is running now."""

    thread: int | None = None


def _follow(phase: str, _about: dict[str, Any]) -> None:
    _Collecting.thread = threading.get_ident() if phase == "start" else None


def act_safely(act: Callable[[], object]) -> None:
    """Do something now, or as soon as that is safe if the collector is running in this thread."""
    if _Collecting.thread == threading.get_ident():
        _later.put(act)
    else:
        act()


def act_on_abandoned() -> None:
    """Do what was noted down."""
    while True:
        try:
            act = _later.get_nowait()
        except Empty:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whoever comes along must not notice
            logger.error("something that was given up could not be ended (%s)", describe(error))


gc.callbacks.append(_follow)
atexit.register(act_on_abandoned)
