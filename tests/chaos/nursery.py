"""Where applications come from: a process that has imported everything and used nothing, and forks one for each life.

Importing takes seconds, and a storm has a dozen lives. The nursery has no threads, so what it forks is as good as new.
Run as ``python -m tests.chaos.nursery``: a life as JSON on standard input is answered by the process's id, an empty
line by the ids and ends of those that have come to one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.chaos.child import Life, run
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from types import TracebackType

ROOT: Final = Path(__file__).parents[2]


class Nursery:
    """The far end of it: starts lives, and knows how they ended."""

    def __init__(self) -> None:
        self._ended: dict[int, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
            env=unmeasured_environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with self._process:
            # At the end of its input it ends.
            self._process.stdin.close()

    def start(self, life: Life) -> int:
        """Begin a life; its process's id."""
        return int(self._ask(life.as_json()))

    def exit_status(self, pid: int) -> int | None:
        """How it ended, as ``subprocess`` tells it; ``None`` while it lives."""
        self._ended |= {int(key): status for key, status in json.loads(self._ask("")).items()}
        return self._ended.get(pid)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        return self._process.stdout.readline()


def _serve() -> Life | None:
    """Answer requests; in a forked child, return the life it is for."""
    while line := sys.stdin.readline():
        if line.strip():
            life = Life(**json.loads(line))
            pid = os.fork()
            if pid == 0:
                return life
            answer = str(pid)
        else:
            answer = json.dumps(dict(_reaped()))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    return None


def _reaped() -> list[tuple[int, int]]:
    reaped: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return reaped
        if pid == 0:
            return reaped
        reaped.append((pid, os.waitstatus_to_exitcode(status)))


def _leave() -> None:
    """Leave the nursery's pipes."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdin, sys.stdout):
        os.dup2(nothing, stream.fileno())


if __name__ == "__main__":
    if (own := _serve()) is not None:
        _leave()
        run(own)
