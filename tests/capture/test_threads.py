"""Specifies ``carry_context``: the right user in every thread, and nobody else's afterwards."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from otel_polar import bill_to, carry_context
from tests.capture.support import HELD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.capture.support import App


def test_a_job_of_a_pool_is_billed_to_whoever_submitted_it_and_the_next_one_to_its_own(app: App) -> None:
    """The one thread of this pool does all of them."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        for user in ("alice", "bob"):
            with bill_to(user):
                pool.submit(carry_context(app.call)).result()
        pool.submit(app.call).result()
        pool.submit(carry_context(app.call)).result()

    assert app.payers() == ["alice", "bob", HELD, HELD]


def test_a_thread_is_billed_to_whoever_started_it(app: App) -> None:
    """Without help it has an empty context."""
    with bill_to("alice"):
        thread = threading.Thread(target=carry_context(app.call))
    with bill_to("bob"):
        thread.start()
        thread.join()

    assert app.payers() == ["alice"]


def test_a_job_of_an_event_loops_executor_is_billed_to_whoever_asked(app: App) -> None:
    """asyncio.to_thread carries the context, run_in_executor does not."""

    async def ask(user: str) -> None:
        with bill_to(user):
            await asyncio.get_running_loop().run_in_executor(None, carry_context(app.call))

    async def both() -> None:
        await asyncio.gather(ask("alice"), ask("bob"))

    asyncio.run(both())

    assert sorted(app.payers()) == ["alice", "bob"]


def test_many_calls_of_one_carried_function_run_at_the_same_time(app: App) -> None:
    """executor.map calls it from all of its threads; one context can be entered once only."""
    barrier = threading.Barrier(2, timeout=30)

    def work(number: int) -> int:
        barrier.wait()
        app.call()
        return number

    with bill_to("alice"), ThreadPoolExecutor(max_workers=2) as pool:
        assert list(pool.map(carry_context(work), [1, 2])) == [1, 2]

    assert app.payers() == ["alice", "alice"]


def test_what_a_job_enters_and_does_not_leave_stays_its_own(app: App) -> None:
    """A stream that is begun in one job must not bill the next job of its thread."""

    def forget_to_leave() -> None:
        bill_to("mallory").__enter__()

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(carry_context(forget_to_leave)).result()
        pool.submit(app.call).result()

    assert app.payers() == [HELD]


def test_what_a_carried_function_hands_out_to_be_run_later_keeps_the_context(app: App) -> None:
    """A coroutine function or a generator does nothing when it is called."""

    async def call() -> None:
        await asyncio.sleep(0)
        app.call()

    def steps() -> Iterator[int]:
        app.call()
        yield 1

    async def async_steps() -> AsyncIterator[int]:
        app.call()
        yield 1

    async def use(carried: Any) -> list[int]:
        return [item async for item in carried()]

    with bill_to("alice"):
        carried = [carry_context(function) for function in (call, steps, async_steps)]
    with bill_to("bob"):
        asyncio.run(carried[0]())  # type: ignore[arg-type] # as above
        assert list(carried[1]()) == [1]  # type: ignore[call-overload] # as above
        assert asyncio.run(use(carried[2])) == [1]

    assert app.payers() == ["alice"] * 3
