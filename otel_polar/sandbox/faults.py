"""Answers to order, for tests of delivery: a 503, a proxy that fails after Polar committed, a connection cut off.

Faults are queued and consumed one per ingest request, in order. Every ingest request is recorded, whoever answered it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class CannedAnswer:
    """What to answer instead of the truth; ``status`` None closes the connection without an answer.

    With ``after_commit`` the events are stored first: the client cannot know, and must send them again.
    """

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_commit: bool = False


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """One request to the ingest endpoint: its headers in lower case, its number of events, the status it got.

    ``event_count`` is None when the body was no batch, ``status`` is None when the connection was closed.
    """

    headers: dict[str, str]
    event_count: int | None
    status: int | None


class FaultQueue:
    """The faults still to come, and the requests so far; safe from any thread."""

    __slots__ = ("_lock", "_pending", "_requests")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: deque[CannedAnswer] = deque()
        self._requests: list[IngestRequest] = []

    def add(self, answer: CannedAnswer) -> None:
        """Queue a fault for the next ingest request that has none yet."""
        with self._lock:
            self._pending.append(answer)

    def take(self) -> CannedAnswer | None:
        """Consume the fault of this request, if one waits."""
        with self._lock:
            return self._pending.popleft() if self._pending else None

    def record(self, request: IngestRequest) -> None:
        """Remember a request."""
        with self._lock:
            self._requests.append(request)

    def requests(self) -> list[IngestRequest]:
        """Return the requests so far, oldest first."""
        with self._lock:
            return list(self._requests)
