"""Writes that a signal handler interrupts by raising, at ever other moments; then one by another thread.

Run as ``python -m tests.delivery.interrupted <path>``. Prints how many were interrupted, and the last row.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from otel_polar.delivery.disk.database import Database

WRITES = 3_000
INSERT = "INSERT INTO rows VALUES (?)"


class TimeLimitError(BaseException):
    """Raised by the handler, as task queues do."""


def end_in_time(_number: int, _frame: object) -> None:
    """The handler."""
    raise TimeLimitError


def main() -> None:
    """Interrupt, and see whether the lock is free."""
    database = Database(Path(sys.argv[1]), durability="NORMAL", schema=("CREATE TABLE rows (value)",))
    signal.signal(signal.SIGALRM, end_in_time)
    interrupted = 0
    for number in range(WRITES):
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + number % 60))
            database.write(INSERT, (number,))
            signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeLimitError:
            interrupted += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    other = threading.Thread(target=database.write, args=(INSERT, ("another-thread",)), daemon=True)
    other.start()
    other.join(10)
    (last,) = database.read("SELECT value FROM rows ORDER BY rowid DESC LIMIT 1")[0]
    sys.stdout.write(f"{interrupted} {last}\n")


if __name__ == "__main__":
    main()
