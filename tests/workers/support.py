"""Real processes, the local Polar they bill, and what is left when they are gone."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar import PolarSpanProcessor
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_polar.sandbox import SandboxServer
    from tests.delivery.wire import Wire

ROOT: Final = Path(__file__).parents[2]
TOKEN: Final = "polar_oat_test"
SHUTDOWN_TIMEOUT_S: Final = 1.0
"""The budget of every program here for what it may send when it ends."""

SLACK_S: Final = 10.0
"""What a busy machine may take on top of a budget."""

START_S: Final = 30.0
"""In which any program has come up, or done what it is waited for."""


class Program(NamedTuple):
    """A child process and the files its output goes to."""

    process: subprocess.Popen[bytes]
    output: Path
    log: Path

    def told(self) -> list[str]:
        """The lines of its standard output so far."""
        return self.output.read_text().splitlines()

    def said(self) -> str:
        """Everything it has written so far, and its log."""
        return self.output.read_text() + self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
        """Wait until *condition* holds; fail if the program ends, or time does, before."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"no {what} within {timeout_s} s:\n{self.said()}"
            time.sleep(0.02)

    def tell(self, word: str) -> None:
        """A line on its standard input, for which it may be waiting."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input, for which it may be waiting."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ends(self, within_s: float) -> int:
        """Wait for its end and give its exit code; where it does not end, show what its threads do."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            # faulthandler is on.
            self.process.send_signal(signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(SLACK_S)
            raise AssertionError(f"it did not end within {within_s} s:\n{self.said()}") from None


def environment(base_url: str, outbox_dir: Path, **variables: str) -> dict[str, str]:
    """Of a program that bills to *base_url* at once; *variables* are set on top."""
    outside = {k: v for k, v in unmeasured_environment().items() if not k.startswith(("POLAR_", "OTEL_"))}
    return {
        **outside,
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": base_url,
        "OTEL_POLAR_OUTBOX_DIR": str(outbox_dir),
        "OTEL_POLAR_SETTLE_S": "0",
        "OTEL_POLAR_LINGER_S": "0",
        "OTEL_POLAR_REQUESTS_PER_MINUTE": "100000",
        "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": str(SHUTDOWN_TIMEOUT_S),
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


@contextmanager
def running(arguments: Iterable[str], variables: dict[str, str], directory: Path) -> Iterator[Program]:
    """``python -m`` *arguments*, in a process group of its own, of which nothing is left afterwards.

    What it writes goes to *directory*.
    """
    output, log = directory / "output", directory / "log"
    with (
        output.open("wb") as output_file,
        log.open("wb") as log_file,
        subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=variables,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=output_file,
            stderr=log_file,
            start_new_session=True,
        ) as process,
    ):
        program = Program(process, output, log)
        try:
            yield program
        except BaseException:
            # What every process of it is doing: faulthandler is on, and writes to the log.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGABRT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SLACK_S)
            sys.stderr.write(program.said())
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def deliver_what_is_left(server: SandboxServer | Wire, outbox_dir: Path) -> None:
    """Be the next process with this directory: take over what the others left, send it, and leave nothing."""
    deadline = time.monotonic() + START_S
    while any(map(_has_owner, outbox_files(outbox_dir))):
        # A process that was killed takes a moment to die.
        assert time.monotonic() < deadline, "a process of the test lives on, with an outbox file"
        time.sleep(0.02)
    processor = PolarSpanProcessor(
        access_token=TOKEN,
        base_url=server.url,
        outbox_dir=outbox_dir,
        settle_s=0.0,
        linger_s=0.0,
        requests_per_minute=100_000.0,
    )
    try:
        assert processor.force_flush(30_000), "the next process could not deliver everything either"
        assert len(outbox_files(outbox_dir)) == 1, "a file without an owner was not taken over"
    finally:
        processor.shutdown()


def outbox_files(outbox_dir: Path) -> list[Path]:
    """All outbox files, whoever they belong to."""
    return sorted(outbox_dir.glob("*/outbox-*.db"))


def _has_owner(outbox: Path) -> bool:
    with outbox.with_name(f"{outbox.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def payers(server: SandboxServer) -> Counter[str]:
    """How many calls each user was billed for; each with an id of its own."""
    events = server.events()
    assert len({event["external_id"] for event in events}) == len(events)
    return Counter(str(event["external_customer_id"]) for event in events)


def once_each(users: Iterable[str]) -> Counter[str]:
    """One call of each of them."""
    return Counter(dict.fromkeys(users, 1))
