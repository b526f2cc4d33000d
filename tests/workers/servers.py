"""A web server with several workers, as a test drives it: who answers is told by the process's id."""

from __future__ import annotations

import re
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from tests.workers.support import START_S, Program, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WORKERS: Final = 2
MAX_REQUESTS: Final = 500
FEW_REQUESTS: Final = 100
PAUSE_S: Final = 0.05
"""After which every worker has had its turn."""

ADDRESS: Final = re.compile(r"(?:Listening at|running on):? (http://127\.0\.0\.1:\d+)")


class Server:
    """A server that listens."""

    def __init__(self, program: Program, client: httpx.Client) -> None:
        self._program = program
        self._client = client

    def get(self, path: str) -> str:
        """Which process answered."""
        return self._client.get(path).raise_for_status().text

    def get_until_answered_by(self, workers: int, who: str, but: Iterable[str] = ()) -> tuple[list[str], set[str]]:
        """Ask as ever other users until so many processes have answered that are not in *but*; who asked, and those."""
        users: list[str] = []
        answered: set[str] = set()
        while len(answered) < workers:
            assert len(users) < MAX_REQUESTS, f"only {answered} answered:\n{self._program.said()}"
            if len(users) > FEW_REQUESTS:
                # A worker that begins needs the processor, too.
                time.sleep(PAUSE_S)
            users.append(f"{who}-{len(users)}")
            answered |= {self.get(f"/?user={users[-1]}")}.difference(but)
        return users, answered

    def stop(self) -> None:
        """As a deployment does it; a worker that has to be killed would be said."""
        self._program.process.send_signal(signal.SIGTERM)
        assert self._program.ends(within_s=START_S) in {0, -signal.SIGTERM}, self._program.said()


@contextmanager
def listening(arguments: Iterable[str], variables: dict[str, str], directory: Path) -> Iterator[Server]:
    """Run a server as ``python -m`` *arguments*."""
    with running(arguments, variables, directory) as program:
        # Its address is said before its workers listen.
        program.wait_for(lambda: _takes_connections(_address(program)), "worker that listens")
        # A connection for each request, or they would all go to the worker that took the first.
        with httpx.Client(base_url=_address(program), headers={"Connection": "close"}, timeout=START_S) as client:
            yield Server(program, client)


def _address(program: Program) -> str:
    found = ADDRESS.search(program.said())
    return "" if found is None else found[1]


def _takes_connections(address: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))):
            return True
    except (ValueError, ConnectionRefusedError):
        return False
