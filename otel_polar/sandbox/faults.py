"""Answers to order, for tests: a 503, a proxy that fails after Polar committed, a connection cut off, a slow answer.

A fault waits for requests of a method and a path. The oldest one that fits is taken, as often as it was ordered, then
the truth returns. Every request is recorded, whoever answered it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

INGEST_PATH: Final = "/v1/events/ingest"
_REQUESTS_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class CannedAnswer:
    """What to answer instead of the truth; ``status`` None closes the connection without an answer.

    With ``after_commit`` the request is obeyed first: the client cannot know, and must send it again.
    """

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_commit: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do to requests of a method (None: any) and a path, in which ``*`` stands for anything.

    ``answer`` None is the truth; ``delay_s`` is waited for before any answer.
    """

    path: str
    method: str | None = None
    answer: CannedAnswer | None = None
    delay_s: float = 0.0

    def fits(self, method: str, path: str) -> bool:
        """Say whether a request is one this fault waits for."""
        return self.method in {None, method} and fnmatchcase(path, self.path)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request to the API: its headers in lower case, the status it got.

    ``status`` is None when the connection was closed.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    status: int | None


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """One request to the ingest endpoint: its headers in lower case, its number of events, the status it got.

    ``event_count`` is None when the body was no batch, ``status`` is None when the connection was closed.
    """

    headers: dict[str, str]
    event_count: int | None
    status: int | None


@dataclass(slots=True)
class _Order:
    fault: Fault
    times_left: int | None


class FaultQueue:
    """The faults still to come, and the requests so far; safe from any thread."""

    __slots__ = ("_ingest_requests", "_lock", "_orders", "_requests")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[_Order] = []
        self._requests: deque[ApiRequest] = deque(maxlen=_REQUESTS_KEPT)
        self._ingest_requests: list[IngestRequest] = []

    def add(self, answer: CannedAnswer) -> None:
        """Queue a fault for the next ingest request that has none yet."""
        self.order(Fault(INGEST_PATH, answer=answer))

    def order(self, fault: Fault, times: int | None = 1) -> None:
        """Queue a fault for the next *times* requests that fit and have none yet, or with None for all of them."""
        with self._lock:
            self._orders.append(_Order(fault, times))

    def clear(self) -> None:
        """Forget every fault that still waits."""
        with self._lock:
            self._orders.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Consume the fault of this request, if one waits."""
        with self._lock:
            order = next((one for one in self._orders if one.fault.fits(method, path)), None)
            if order is None:
                return None
            if order.times_left is not None:
                order.times_left -= 1
                if order.times_left <= 0:
                    self._orders.remove(order)
            return order.fault

    def record(self, request: ApiRequest) -> None:
        """Remember a request; of very many only the last ten thousand."""
        with self._lock:
            self._requests.append(request)

    def record_ingest(self, request: IngestRequest) -> None:
        """Remember a request to the ingest endpoint."""
        with self._lock:
            self._ingest_requests.append(request)

    def requests(self) -> list[ApiRequest]:
        """Return the requests so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def ingest_requests(self) -> list[IngestRequest]:
        """Return the requests to the ingest endpoint so far, oldest first."""
        with self._lock:
            return list(self._ingest_requests)
