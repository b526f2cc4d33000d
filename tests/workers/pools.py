"""A program that has its work done by other processes, all the standard library's ways.

Run as ``python -m tests.workers.pools <start method> <preload> <count>``. Says who made a call, a line each; then it
waits to be told to end by the end of its input.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from tests.workers.pool_tasks import answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext

WORKERS = 2


def say(users: Iterable[str]) -> None:
    """Tell who is to be billed."""
    for user in users:
        sys.stdout.write(f"{user}\n")
    sys.stdout.flush()


def main(method: str, preload: str, count: int) -> None:
    """Calls before, in and after processes of each kind."""
    context: ForkContext | SpawnContext | ForkServerContext = multiprocessing.get_context(method)  # type: ignore[assignment]
    if preload:
        multiprocessing.set_forkserver_preload([preload])
    say([answer("parent before")])
    with context.Pool(WORKERS) as pool:
        say(pool.map(answer, [f"pool {number}" for number in range(count)], chunksize=1))
    with context.Pool(WORKERS, maxtasksperchild=1) as pool:
        say(pool.map(answer, [f"short-lived {number}" for number in range(count)], chunksize=1))
    say([answer("parent between")])
    processes = [context.Process(target=answer, args=(f"process {number}",)) for number in range(WORKERS)]
    for process in processes:
        process.start()
    for number, process in enumerate(processes):
        process.join()
        say([f"process {number}"])
    with ProcessPoolExecutor(WORKERS, mp_context=context) as executor:
        say(executor.map(answer, [f"executor {number}" for number in range(count)]))
    say([answer("parent after")])
    say(["done"])
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
