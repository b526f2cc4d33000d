"""Specifies Celery's pre-forked pool: whoever asked for the work pays for it, whichever process did it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.sandbox import SandboxServer
from tests.workers.support import START_S, Program, deliver_what_is_left, environment, once_each, payers, running

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.slow

TASKS: Final = 12
USERS: Final = ["main", *(f"user-{number}" for number in range(TASKS))]


def celery(polar_url: str, directory: Path, *options: str, **variables: str) -> AbstractContextManager[Program]:
    """A worker with two children, which are forked when the processor exists and has made a call."""
    for name in ("messages", "control"):
        (directory / name).mkdir()
    return running(
        ["celery", "--app=tests.workers.celery_app", "worker", "--pool=prefork", "--concurrency=2", *options],
        environment(polar_url, directory / "outbox", BROKER=str(directory), TASKS=str(TASKS), **variables),
        directory,
    )


def tasks_done(worker: Program) -> int:
    return worker.said().count(" succeeded in ")


def test_calls_of_children_that_are_replaced_are_billed_while_the_worker_lives(tmp_path: Path) -> None:
    """Celery's children end without exit handlers, here after every other task; the worker itself goes on for weeks."""
    with (
        SandboxServer() as polar,
        celery(polar.url, tmp_path, "--max-tasks-per-child=2", "--loglevel=info", IDLE_S="0.5") as worker,
    ):
        worker.wait_for(lambda: tasks_done(worker) == TASKS, "end of the work")
        polar.wait_for_events(len(USERS), timeout_s=START_S)

        assert payers(polar) == once_each(USERS)


def test_calls_of_a_worker_that_is_killed_with_its_children_are_billed_by_the_next(tmp_path: Path) -> None:
    """As by the operating system when it is short of memory; nothing has been sent until then."""
    with SandboxServer() as polar:
        with celery(polar.url, tmp_path, "--loglevel=info", OTEL_POLAR_SETTLE_S="3600") as worker:
            worker.wait_for(lambda: tasks_done(worker) == TASKS, "end of the work")
        assert polar.events() == []
        deliver_what_is_left(polar, tmp_path / "outbox")

        assert payers(polar) == once_each(USERS)
