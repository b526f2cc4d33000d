"""A line to the local Polar on which requests and answers can be kept back, and which knows what was said on it.

It has an address of its own, which stays the same while Polar hangs, and when it answers again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

PORTION_BYTES: Final = 65_536
DRIP_S: Final = 0.02
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Slow: "
BODY: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


class Polar(Enum):
    """How the far end behaves. All of them take connections."""

    ANSWERS = auto()
    HANGS = auto()
    HANGS_AFTER_COMMIT = auto()
    DRIPS_HEAD = auto()
    DRIPS_BODY = auto()


STUCK: Final = [polar for polar in Polar if polar is not Polar.ANSWERS]


class Wire:
    """In front of the Polar at *target_url*, for as long as the ``with`` block lasts."""

    def __init__(self, target_url: str, polar: Polar = Polar.ANSWERS) -> None:
        address = urlsplit(target_url)
        self._target = (address.hostname, address.port)
        self._polar = polar
        self._conversations: list[bytearray] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="wire", daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._loop.call_soon_threadsafe(self._told_to_stop.set)
        self._thread.join()

    def let_answer(self) -> None:
        """From now on requests, also those that were kept back, are answered."""

        def answer() -> None:
            self._polar = Polar.ANSWERS
            self._answering.set()

        self._loop.call_soon_threadsafe(answer)

    def conversations(self) -> list[str]:
        """What was asked on each connection so far."""
        return [conversation.decode() for conversation in self._conversations]

    def wait_for_request(self, timeout_s: float = 30.0) -> None:
        """Until events have been sent, whether or not they are answered."""
        deadline = time.monotonic() + timeout_s
        while not any("external_id" in conversation for conversation in self.conversations()):
            assert time.monotonic() < deadline, f"no request within {timeout_s} s"
            time.sleep(0.01)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told_to_stop = asyncio.Event()
        self._answering = asyncio.Event()
        if self._polar is Polar.ANSWERS:
            self._answering.set()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._told_to_stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would complain about each that is cancelled in the end.
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = bytearray()
        self._conversations.append(conversation)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        requests: asyncio.Queue[bytes] = asyncio.Queue()
        others = [
            asyncio.create_task(self._pass_requests(requests, far_writer)),
            asyncio.create_task(self._pass_answers(far_reader, writer)),
        ]
        try:
            with suppress(ConnectionError):
                while portion := await reader.read(PORTION_BYTES):
                    conversation += portion
                    requests.put_nowait(portion)
        finally:
            for task in others:
                task.cancel()
            far_writer.close()
            writer.close()

    async def _pass_requests(self, requests: asyncio.Queue[bytes], far_writer: asyncio.StreamWriter) -> None:
        while True:
            portion = await requests.get()
            if self._polar is not Polar.HANGS_AFTER_COMMIT:
                await self._answering.wait()
            far_writer.write(portion)

    async def _pass_answers(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            if self._polar in {Polar.DRIPS_HEAD, Polar.DRIPS_BODY}:
                is_head = self._polar is Polar.DRIPS_HEAD
                writer.write(HEAD if is_head else BODY)
                while True:
                    writer.write(b"x" if is_head else b"1\r\n \r\n")
                    await writer.drain()
                    await asyncio.sleep(DRIP_S)
            while portion := await far_reader.read(PORTION_BYTES):
                await self._answering.wait()
                writer.write(portion)
