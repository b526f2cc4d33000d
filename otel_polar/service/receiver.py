"""One export request, whichever way it came: taken within bounds, read, recorded, and only then acknowledged.

What a sender is told decides whether it sends again (OpenTelemetry's specification of OTLP, "Failures"):

===================  ====  ==================  ======================================================================
answer               HTTP  gRPC                when
===================  ====  ==================  ======================================================================
(accepted)           200   OK                  the calls in it are on disk, or there are none
MALFORMED            400   INVALID_ARGUMENT    it is no request: sending it again changes nothing, and a sender drops it
TOO_LARGE            413   RESOURCE_EXHAUSTED  it holds more than ``max_request_mib``: likewise
UNAUTHENTICATED      401   UNAUTHENTICATED     no token, or a wrong one: likewise
UNAVAILABLE          503   UNAVAILABLE         all else, a full disk or an error of ours: a sender tries again
===================  ====  ==================  ======================================================================
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from otel_polar.delivery.notices import describe, logger
from otel_polar.errors import OutboxError
from otel_polar.service.commits import Commits
from otel_polar.service.origin import SpansFormatError
from otel_polar.service.unzipping import TooLargeError, unzip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_polar.delivery.notices import Notices
    from otel_polar.service.reading import CallsRead

RETRY_AFTER_S: Final = 2
"""Small: OpenTelemetry's SDK for Python gives up at once if it is told more than is left of its 10 seconds."""

INLINE_BYTES: Final = 256 * 1024
"""Requests up to this size are read where they arrive, in a few milliseconds; larger ones would keep others waiting."""


_Answer = TypeVar("_Answer")


SAY_AGAIN_S: Final = 600.0
"""A refusal that costs calls is said so often, of each kind: strangers may knock as often as they like."""


class Refusal(Enum):
    """Why a request was not accepted, in one word for its sender's sake."""

    MALFORMED = "malformed"
    TOO_LARGE = "too large"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"


class RefusedError(Exception):
    """A request was not accepted; ``message`` says why, in words that go back to its sender."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.message = message


class Room:
    """The memory that one request takes, as far as it is counted."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.size_bytes = 0

    def grow(self, more_bytes: int) -> None:
        """Take more.

        Raises:
            RefusedError: if there is no more for it, or it becomes too large by itself.
        """
        receiver, size_bytes = self._receiver, self.size_bytes + more_bytes
        if size_bytes > receiver.max_request_bytes:
            raise receiver.refused(Refusal.TOO_LARGE, f"more than {receiver.max_request_bytes} bytes (max_request_mib)")
        # One that is alone is taken, however little room there is.
        others_bytes = receiver.in_flight_bytes - self.size_bytes
        if others_bytes and others_bytes + size_bytes > receiver.max_in_flight_bytes:
            raise receiver.refused(Refusal.UNAVAILABLE, "too many requests at the same time (max_in_flight_mib)")
        receiver.in_flight_bytes += more_bytes
        self.size_bytes = size_bytes


class Receiver:
    """Takes requests, from one event loop."""

    def __init__(
        self,
        commit: Callable[[Sequence[str]], None],
        notices: Notices,
        *,
        max_request_bytes: int,
        max_in_flight_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*commit* records calls durably, or raises."""
        self.max_request_bytes = max_request_bytes
        self.max_in_flight_bytes = max_in_flight_bytes
        self.in_flight_bytes = 0
        self._notices = notices
        self._commits = Commits(commit)
        # One: a request of 64 MiB takes a multiple of that while it is read.
        self._large = ThreadPoolExecutor(max_workers=1, thread_name_prefix="otel-polar-large-requests")
        self._monotonic = monotonic
        self._say_again_at: dict[Refusal, float] = {}
        self.requests: Counter[str] = Counter()
        """How many came to each end."""
        self.unreadable_spans = 0

    @contextmanager
    def room(self, size_bytes: int = 0) -> Iterator[Room]:
        """Room in memory for so many bytes of a request, and more if it asks, as long as the block lasts.

        Raises:
            RefusedError: if others have taken it.
        """
        room = Room(self)
        try:
            room.grow(size_bytes)
            yield room
        finally:
            self.in_flight_bytes -= room.size_bytes

    async def receive(self, content: bytes, *, is_zipped: bool, read: Callable[[bytes], CallsRead]) -> None:
        """Record the calls of a request, in the room that the caller holds for it; then it may be acknowledged.

        Raises:
            RefusedError: if it may not. Nothing else is ever raised, except when its connection is given up.
        """
        try:
            await self._receive(content, is_zipped=is_zipped, read=read)
        except TooLargeError as error:
            raise self.refused(Refusal.TOO_LARGE, str(error)) from error
        except SpansFormatError as error:
            raise self.refused(Refusal.MALFORMED, str(error)) from error
        except OutboxError as error:
            # It has been said, with the file's name, which is nobody else's business.
            raise self.refused(Refusal.UNAVAILABLE, "the outbox cannot be written now") from error
        except RefusedError:
            raise
        except Exception as error:
            self._notices.error(
                f"receiver:{type(error).__name__}",
                "a request could not be looked at (%s); its sender was told to try again",
                describe(error),
            )
            raise self.refused(Refusal.UNAVAILABLE, "the request could not be looked at") from error

    async def _receive(self, content: bytes, *, is_zipped: bool, read: Callable[[bytes], CallsRead]) -> None:
        if len(content) > self.max_request_bytes:
            raise TooLargeError(f"a request of {len(content)} bytes: at most {self.max_request_bytes} are taken")
        if is_zipped and content:
            content = await self._near(len(content), partial(unzip, content, max_bytes=self.max_request_bytes))
        # Of what came as it is, whoever calls this holds the room.
        with self.room(len(content) if is_zipped else 0):
            found = await self._near(len(content), partial(read, content))
            await self._commits.commit(found.calls)
        self.requests["accepted"] += 1
        if found.unreadable:
            self.unreadable_spans += found.unreadable
            self._notices.warn(
                "unreadable", "spans without ids or times cannot be told from others, and are not billed"
            )

    async def _near(self, size_bytes: int, work: Callable[[], _Answer]) -> _Answer:
        """Do something here if it is small, else in a thread."""
        if size_bytes <= INLINE_BYTES:
            return work()
        # What is given up while it waits for its turn is not counted any more, and must not be kept until then.
        waiting = [work]

        def begin() -> _Answer:
            return waiting.pop()()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._large, begin)
        finally:
            waiting.clear()

    def refused(self, refusal: Refusal, message: str) -> RefusedError:
        """Count a refusal; to be raised."""
        self.requests[f"refused: {refusal.value}"] += 1
        if refusal is not Refusal.UNAVAILABLE and self._monotonic() >= self._say_again_at.get(refusal, 0.0):
            self._say_again_at[refusal] = self._monotonic() + SAY_AGAIN_S
            logger.error(
                "a request was refused as %s (%s), %d so far: its sender drops it, and CALLS IN IT ARE NOT BILLED",
                refusal.value,
                message,
                self.requests[f"refused: {refusal.value}"],
            )
        return RefusedError(refusal, message)

    def stop(self) -> None:
        """End the threads: nobody waits any more for what has not been begun, and what was to be committed is."""
        self._large.shutdown(cancel_futures=True)
        self._commits.stop()
