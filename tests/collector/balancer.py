"""The plainest balancer: it gives each connection to the next server, and may lose an answer on its way back."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.servers.child import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_PORTION: Final = 2**16


class Balancer:
    """Round robin over *ports*, for as long as the ``with`` block lasts.

    Args:
        ports: where the servers are; one that does not answer is passed over.
        loses: whether the next answer is lost: its first bytes arrive here, and both connections are cut.
    """

    def __init__(self, ports: Sequence[int], loses: Callable[[], bool]) -> None:
        self.port = free_port()
        self.lost = 0
        self.used: set[int] = set()
        """Ports of the servers that have answered."""

        self._ports = list(ports)
        self._loses = loses
        self._turn = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listens.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, HOST, self.port)
        self._listens.set()
        await self._ended.wait()
        server.close()

    async def _connect(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        try:
            port, far, far_writer = await self._next()
        except OSError:
            near_writer.close()
            return
        upward = asyncio.create_task(_pass_on(near, far_writer))
        try:
            while portion := await far.read(_PORTION):
                self.used.add(port)
                if self._loses():
                    self.lost += 1
                    return
                near_writer.write(portion)
                await near_writer.drain()
        except OSError:
            pass
        finally:
            upward.cancel()
            near_writer.close()
            far_writer.close()

    async def _next(self) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in self._ports[1:]:
            port = self._take_turn()
            try:
                return port, *await asyncio.open_connection(HOST, port)
            except OSError:
                continue
        port = self._take_turn()
        return port, *await asyncio.open_connection(HOST, port)

    def _take_turn(self) -> int:
        self._turn += 1
        return self._ports[self._turn % len(self._ports)]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while portion := await reader.read(_PORTION):
            writer.write(portion)
            await writer.drain()
    except OSError:
        pass
