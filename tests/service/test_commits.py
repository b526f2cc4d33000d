from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from otel_polar.errors import OutboxError
from otel_polar.service.commits import Commits

if TYPE_CHECKING:
    from collections.abc import Sequence


class Disk:
    """Keeps what is committed, as slowly as a test wants it."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_asked = threading.Event()
        self.commits: list[list[str]] = []
        self.error: Exception | None = None

    def commit(self, calls: Sequence[str]) -> None:
        self.is_asked.set()
        assert self.is_free.wait(10)
        if self.error is not None:
            raise self.error
        self.commits.append(list(calls))


async def _handed_over() -> None:
    # Every task has come to where it waits.
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_comes_while_the_disk_is_busy_shares_the_next_commit() -> None:
    """A disk takes milliseconds for each; fifty senders would otherwise wait for fifty of them."""
    disk = Disk()
    commits = Commits(disk.commit)

    async def send() -> None:
        first = asyncio.create_task(commits.commit(["a"]))
        await asyncio.to_thread(disk.is_asked.wait, 10)
        others = [asyncio.create_task(commits.commit([name])) for name in "bcd"]
        await _handed_over()
        assert not first.done()
        disk.is_free.set()
        await asyncio.gather(first, *others)

    asyncio.run(send())
    commits.stop()

    assert disk.commits == [["a"], ["b", "c", "d"]]


def test_nobody_is_told_of_success_where_the_commit_failed() -> None:
    """An acknowledgement of what is not on disk is a lost bill."""
    disk = Disk()
    disk.is_free.set()
    disk.error = OutboxError("no space left")
    commits = Commits(disk.commit)

    async def send() -> list[object]:
        return [*await asyncio.gather(commits.commit(["a"]), commits.commit(["b"]), return_exceptions=True)]

    told = asyncio.run(send())
    disk.error = None
    asyncio.run(commits.commit(["c"]))
    commits.stop()

    assert all(isinstance(each, OutboxError) for each in told)
    assert disk.commits == [["c"]]


def test_a_request_that_was_given_up_does_not_stop_the_others() -> None:
    """A sender that hangs up while the disk is busy is nothing out of the ordinary."""
    disk = Disk()
    commits = Commits(disk.commit)

    async def send() -> None:
        gone = asyncio.create_task(commits.commit(["gone"]))
        await asyncio.to_thread(disk.is_asked.wait, 10)
        other = asyncio.create_task(commits.commit(["other"]))
        await _handed_over()
        gone.cancel()
        disk.is_free.set()
        await other
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(send())
    commits.stop()

    assert disk.commits == [["gone"], ["other"]]


def test_at_its_end_everything_handed_over_is_committed() -> None:
    """A graceful end may not cost what a crash would not."""
    disk = Disk()
    commits = Commits(disk.commit)

    async def send() -> None:
        tasks = [asyncio.create_task(commits.commit([name])) for name in "ab"]
        await asyncio.to_thread(disk.is_asked.wait, 10)
        await _handed_over()
        disk.is_free.set()
        await asyncio.to_thread(commits.stop)
        await asyncio.gather(*tasks)

    asyncio.run(send())

    assert sorted(name for commit in disk.commits for name in commit) == ["a", "b"]


def test_nothing_to_commit_waits_for_no_disk() -> None:
    """Most requests have no call in them."""
    disk = Disk()
    commits = Commits(disk.commit)

    asyncio.run(asyncio.wait_for(commits.commit([]), 5))

    disk.is_free.set()
    commits.stop()
    assert disk.commits == []
