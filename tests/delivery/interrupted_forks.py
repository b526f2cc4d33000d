"""Forks that a signal handler interrupts by raising, at ever other moments; then whether delivery can still go on.

Run as ``python -m tests.delivery.interrupted_forks <outbox_dir>``. Prints how many were interrupted, and which locks of
the pipeline, in their order, stayed taken, though nobody forks any more.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress

from tests.delivery.children import make_calls, make_provider
from tests.delivery.interrupted import TimeLimitError

FORKS = 400
MAX_DELAY_MICROSECONDS = 400

interrupted = 0


def end_in_time(_number: int, _frame: object) -> None:
    """The handler."""
    global interrupted  # noqa: PLW0603 - a handler has no other place to count
    interrupted += 1
    raise TimeLimitError


def fork_in_time(delay_s: float) -> None:
    """Fork a child that does nothing, with so much time for it."""
    with suppress(TimeLimitError):
        signal.setitimer(signal.ITIMER_REAL, delay_s)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
    with suppress(TimeLimitError):
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    """Fork, and see which locks another thread can have."""
    provider, processor = make_provider("http://127.0.0.1:9", sys.argv[1], settle_s=3_600)
    make_calls(provider, 1)
    assert processor.pipeline is not None
    signal.signal(signal.SIGALRM, end_in_time)
    for number in range(FORKS):
        fork_in_time(1e-6 * (1 + number % MAX_DELAY_MICROSECONDS))
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    pipeline = processor.pipeline
    taken: list[str] = []

    def try_them() -> None:
        taken.extend(str(number) for number, (lock, _) in enumerate(pipeline._locks()) if not lock.acquire(timeout=5))

    other = threading.Thread(target=try_them)
    other.start()
    other.join()
    sys.stdout.write(f"{interrupted} {taken}\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
