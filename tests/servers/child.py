"""A server in a process of its own, which can be killed and started again, and whose every line is kept."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parents[2]
READY_S: Final = 30.0
LAST_LINES: Final = 60
_STOP_S: Final = 20.0
# Below those from which the system takes the near ends of connections. Otherwise one of them could have the port while
# a server is down; and who dials such a port again and again may at last be connected to itself.
_PORTS: Final = range(15_000, 32_000)


def free_port() -> int:
    """A port that nobody has now, and that a server can have again after it was killed."""
    dice = random.SystemRandom()
    while True:
        port = dice.choice(_PORTS)
        try:
            with socket.create_server((HOST, port)):
                return port
        except OSError:
            continue


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = READY_S) -> None:
    """Return as soon as it is so.

    Raises:
        AssertionError: if it is not after *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


class Child:
    """A process, or several one after the other. A ``with`` block kills it in the end, and tells of it if it fails."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = list(command)
        self._environment = {**unmeasured_environment(), **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self.lines: list[str] = []
        """What all of them have said, on either stream."""

        self.first_of_life = 0
        """The number of the first line of the present one."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid is not None:
            self.kill()
        if error is not None:
            said = "\n".join(self.lines[-LAST_LINES:])
            error.add_note(f"--- {self.name} says, at last:\n{said}")

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, and return once it is ready.

        Raises:
            AssertionError: if it ends instead, or is not ready in time.
        """
        assert self._process is None
        self.first_of_life = len(self.lines)
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=ROOT,
            env=self._environment,
        )
        self._process = process
        self._readers = [threading.Thread(target=self._read, args=(s,)) for s in (process.stdout, process.stderr)]
        for reader in self._readers:
            reader.start()
        try:
            wait_until(self._is_ready, f"{self.name} is ready")
        except BaseException as error:
            self.kill()
            error.add_note("\n".join(self.lines[-LAST_LINES:]))
            raise

    def is_ready(self) -> bool:
        """Whether it does its work by now."""
        raise NotImplementedError

    def kill(self) -> None:
        """As ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end, and return its exit status.

        Raises:
            AssertionError: if it does not.
        """
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it, and start another one with the same ports and files."""
        self.kill()
        self.start()

    def has_said(self, pattern: str) -> list[str]:
        """The lines in which it is found."""
        return [line for line in list(self.lines) if re.search(pattern, line)]

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has ended by itself with {self._process.returncode}"
        return self.is_ready()

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} has not ended {_STOP_S} s after it was asked to") from None
        finally:
            for reader in self._readers:
                reader.join()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
