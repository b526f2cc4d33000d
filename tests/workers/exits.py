"""A program that ends in some way, mostly while the delivery thread is in the middle of a request.

Run as ``python -m tests.workers.exits <how>``. Says who made a call, a line each, and ends when it is told to.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.workers.application import bill, start, told

THREADS: Final = 3
MANY: Final = 20


def begin() -> None:
    """An application, and its first call."""
    start()
    bill("first")
    told("end")


def by_the_end_of_the_program() -> None:
    begin()


def while_threads_work_on() -> None:
    """Some that end by sys.exit, one that goes on when the main thread is done, and those of an executor."""
    begin()

    def work(name: int) -> None:
        bill(f"thread {name}")
        sys.exit(1)

    def work_on() -> None:
        threading.main_thread().join()
        bill("thread after the end")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(THREADS)]
    for thread in [*threads, threading.Thread(target=work_on)]:
        thread.start()
    executor = ThreadPoolExecutor(1)
    for number in range(MANY):
        executor.submit(bill, f"task {number}")


def while_daemon_threads_work_on() -> None:
    begin()
    busy = threading.Barrier(THREADS + 1)

    def work(name: int) -> None:
        for number in itertools.count():
            bill(f"thread {name}: {number}")
            if number == MANY:
                busy.wait()

    for name in range(THREADS):
        threading.Thread(target=work, args=(name,), daemon=True).start()
    busy.wait()


def with_calls_in_exit_handlers() -> None:
    # They run in the reverse order, and the provider's own between them.
    atexit.register(bill, "after the shutdown")
    begin()
    atexit.register(bill, "before the shutdown")


def with_a_first_call_in_an_exit_handler() -> None:
    def work() -> None:
        start()
        bill("exit handler")

    atexit.register(work)
    told("end")


def after_a_shutdown_by_the_application() -> None:
    processor = start()
    bill("first")
    told("end")
    processor.shutdown()
    bill("after the shutdown")


def at_once() -> None:
    """The delivery thread has just begun to import what it needs."""
    told("end")
    start()
    bill("first")


def in_a_forked_child_too() -> None:
    begin()
    pid = os.fork()
    if pid == 0:
        bill("child")
        sys.exit(0)
    os.waitpid(pid, 0)


def by_sigterm() -> None:
    begin()
    os.kill(os.getpid(), signal.SIGTERM)


def by_a_handler_of_sigterm() -> None:
    """Which raises wherever the main thread happens to be."""

    def end(_number: int, _frame: object) -> None:
        sys.exit(4)

    signal.signal(signal.SIGTERM, end)
    begin()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    for number in itertools.count():
        bill(f"call {number}")


def by_an_interrupt_of_the_shutdown() -> None:
    """By somebody who sees that the program has done its work, and does not end."""
    is_ending = threading.Event()

    def interrupt() -> None:
        is_ending.wait()
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    begin()
    threading.Thread(target=interrupt, daemon=True).start()
    atexit.register(is_ending.set)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
