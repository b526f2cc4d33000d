"""A program that forks at an awkward moment.

Run as ``python -m tests.workers.forks <when>``. Says who made a call, a line each, and ``done``; then it waits to be
told to end by the end of its input.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final, NoReturn

from tests.workers.application import bill, start, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar import PolarSpanProcessor

FLUSH_MS: Final = 30_000
STORM_FORKS: Final = 8
STORM_THREADS: Final = 3


def forked(work: Callable[[], None]) -> int:
    """Run *work* in a child, which ends without any exit handler; its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must not go on with what its parent does
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def wait_for(*pids: int) -> None:
    """Until these children have ended, all of them well."""
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0


def flush(processor: PolarSpanProcessor) -> None:
    """Send everything of this process."""
    assert processor.force_flush(FLUSH_MS)


def before_the_first_call(processor: PolarSpanProcessor) -> None:
    """The processor's file and thread exist, and nothing else."""

    def child() -> None:
        bill("child")
        flush(processor)

    wait_for(forked(child))
    bill("parent")


def in_a_thread(processor: PolarSpanProcessor) -> None:
    """It is the child's main thread, and the child ends with it."""

    def fork() -> None:
        def child() -> None:
            bill("child")
            flush(processor)
            bill("child that is not flushed")

        wait_for(forked(child))

    bill("parent before")
    thread = threading.Thread(target=fork)
    thread.start()
    bill("parent meanwhile")
    thread.join()


def in_a_child(processor: PolarSpanProcessor) -> None:
    """By one that has a file and a connection of its own, and by one that has neither, as a daemon is made."""

    def grandchild() -> None:
        bill("grandchild")
        flush(processor)

    def child() -> None:
        bill("child before")
        flush(processor)
        wait_for(forked(grandchild))
        bill("child after")
        flush(processor)

    bill("parent")
    flush(processor)
    wait_for(forked(child), forked(lambda: wait_for(forked(lambda: bill("daemon")))))


def children_that_are_killed(_processor: PolarSpanProcessor) -> None:
    """Each in the middle of its work: what they recorded is their parent's to send."""

    def child(user: str) -> NoReturn:
        bill(user)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    for number in range(3):
        os.waitpid(forked(lambda user=f"child {number}": child(user)), 0)  # type: ignore[misc] # its default has a type
    bill("parent")


def a_child_that_ends_as_programs_end(processor: PolarSpanProcessor) -> None:
    """Its exit handlers are run, the provider's among them; they are the parent's own, inherited."""
    bill("parent before")
    flush(processor)
    pid = os.fork()
    if pid == 0:
        bill("child")
        sys.exit(0)
    wait_for(pid)
    bill("parent after")


def while_threads_bill(processor: PolarSpanProcessor) -> None:
    """Daemon threads that end spans all the time, and one that flushes all the time."""
    is_over = threading.Event()

    def work(name: int) -> None:
        number = 0
        while not is_over.is_set():
            bill(f"thread {name}: {number}")
            number += 1
            # A pace that the Polar of the tests can keep up with.
            is_over.wait(0.002)

    def flush_always() -> None:
        while not is_over.is_set():
            flush(processor)

    def child(name: int) -> None:
        bill(f"child {name}: first", f"child {name}: second")
        flush(processor)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in range(STORM_THREADS)]
    threads.append(threading.Thread(target=flush_always, daemon=True))
    for thread in threads:
        thread.start()
    wait_for(*(forked(lambda name=name: child(name)) for name in range(STORM_FORKS)))  # type: ignore[misc] # as above
    is_over.set()
    for thread in threads:
        thread.join()


def with_a_connection(processor: PolarSpanProcessor) -> None:
    """Parent, child and parent again, one after the other."""
    bill("parent before")
    flush(processor)
    os.write(1, b"ready\n")

    def child() -> None:
        told("child")
        bill("child")
        flush(processor)

    wait_for(forked(child))
    os.write(1, b"ready again\n")
    told("parent")
    bill("parent after")
    flush(processor)


def in_a_flush(processor: PolarSpanProcessor) -> None:
    """Of which the request hangs until the test lets Polar answer."""
    bill("parent before")
    flushing = threading.Thread(target=flush, args=(processor,))
    flushing.start()
    told("fork")

    def child() -> None:
        bill("child")
        flush(processor)

    pid = forked(child)
    bill("parent after")
    flushing.join()
    wait_for(pid)


if __name__ == "__main__":
    globals()[sys.argv[1]](start())
    os.write(1, b"done\n")
    sys.stdin.read()
