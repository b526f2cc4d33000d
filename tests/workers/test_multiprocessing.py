"""Specifies processes of the standard library's pools, which end without any exit handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.sandbox import SandboxServer
from tests.workers.support import START_S, deliver_what_is_left, environment, once_each, payers, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TASKS: Final = 2
CALLS: Final = 3 + 3 * TASKS + 2
"""Of the parent, of three pools, and of two processes by themselves."""


@pytest.mark.parametrize(
    ("method", "preload"),
    [("fork", ""), ("spawn", ""), ("forkserver", "tests.workers.pool_tasks")],
    ids=["fork", "spawn", "forkserver with the application preloaded"],
)
def test_calls_of_processes_that_are_gone_are_billed_by_those_that_live(
    method: str, preload: str, tmp_path: Path
) -> None:
    """A parent that works for weeks must not leave what its children recorded to whoever comes after it."""
    variables = {"OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "20", "IDLE_S": "0.5"}
    with (
        SandboxServer() as polar,
        running(
            ["tests.workers.pools", method, preload, str(TASKS)],
            environment(polar.url, tmp_path / "outbox", **variables),
            tmp_path,
        ) as parent,
    ):
        parent.wait_for(lambda: "done" in parent.told(), "end of the work")
        polar.wait_for_events(CALLS, timeout_s=START_S)
        parent.end_input()

        assert parent.ends(within_s=START_S) == 0
        assert payers(polar) == once_each(parent.told()[:-1])


def test_calls_of_processes_that_are_gone_with_their_parent_are_billed_by_the_next(tmp_path: Path) -> None:
    """None of them has had the time to send anything."""
    with SandboxServer() as polar:
        resting = {"OTEL_POLAR_SETTLE_S": "3600", "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "0"}
        variables = environment(polar.url, tmp_path / "outbox", **resting)
        with running(["tests.workers.pools", "fork", "", str(TASKS)], variables, tmp_path) as parent:
            parent.wait_for(lambda: "done" in parent.told(), "end of the work")
            parent.process.kill()
            parent.process.wait()
        assert polar.events() == []
        deliver_what_is_left(polar, tmp_path / "outbox")

        assert payers(polar) == once_each(parent.told()[:-1])
        assert len(polar.events()) == CALLS
