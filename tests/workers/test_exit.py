"""Specifies the end of a process: in time, without a deadlock, and with every call on disk for the next one."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.sandbox import SandboxServer
from tests.delivery.wire import Polar, Wire
from tests.workers.support import (
    SHUTDOWN_TIMEOUT_S,
    SLACK_S,
    Program,
    deliver_what_is_left,
    environment,
    once_each,
    payers,
    running,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.slow

CODES: Final = {
    "while_threads_work_on": 0,
    "while_daemon_threads_work_on": 0,
    "with_calls_in_exit_handlers": 0,
    "after_a_shutdown_by_the_application": 0,
    "in_a_forked_child_too": 0,
    "by_sigterm": -signal.SIGTERM,
    "by_a_handler_of_sigterm": 4,
}
"""How a program ends, and the code it ends with as it would without us."""

CUT_SHORT: Final = {"while_daemon_threads_work_on": 3, "by_a_handler_of_sigterm": 1}
"""How many may have been between a call and the word about it when the end came."""

NO_REQUEST: Final = ["with_a_first_call_in_an_exit_handler", "at_once"]


def program(how: str, polar_url: str, directory: Path, budget_s: float) -> AbstractContextManager[Program]:
    """One of tests.workers.exits, whose requests may take much longer than it has when it ends."""
    variables = environment(
        polar_url,
        directory / "outbox",
        OTEL_POLAR_SHUTDOWN_TIMEOUT_S=str(budget_s),
        OTEL_POLAR_REQUEST_TIMEOUT_S="600",
    )
    return running(["tests.workers.exits", how], variables, directory)


def ended(program: Program, wire: Wire, budget_s: float) -> int:
    """Have a program end that waits for Polar; with which code it did."""
    program.wait_for(lambda: any("external_id" in said for said in wire.conversations()), "request that hangs")
    program.tell("end")
    return program.ends(within_s=budget_s + SLACK_S)


@pytest.mark.parametrize("polar", [Polar.HANGS, Polar.DRIPS_BODY])
def test_the_end_takes_no_longer_than_its_budget_and_says_what_waits(polar: Polar, tmp_path: Path) -> None:
    """A program that does not end is noticed at once, and billing is what will be taken out of it."""
    with SandboxServer() as server, Wire(server.url, polar) as wire:
        with program("by_the_end_of_the_program", wire.url, tmp_path, SHUTDOWN_TIMEOUT_S) as ending:
            assert ended(ending, wire, SHUTDOWN_TIMEOUT_S) == 0
        assert "1 calls wait on disk; the next process with this outbox directory sends them" in ending.said()
        wire.let_answer()
        deliver_what_is_left(wire, tmp_path / "outbox")

        assert payers(server) == once_each(ending.told())


@pytest.mark.parametrize("how", CODES)
def test_a_process_ends_as_without_us_and_the_next_sends_what_it_left(how: str, tmp_path: Path) -> None:
    """Whatever the other threads do meanwhile, and whoever is called when; Polar hangs all the time."""
    budget_s = 0.2
    with SandboxServer() as server, Wire(server.url, Polar.HANGS) as wire:
        with program(how, wire.url, tmp_path, budget_s) as ending:
            assert ended(ending, wire, budget_s) == CODES[how]
        wire.let_answer()
        deliver_what_is_left(wire, tmp_path / "outbox")

        told, billed = once_each(ending.told()), payers(server)
        assert set(billed.values()) == {1}
        assert not told - billed
        assert len(billed - told) <= CUT_SHORT.get(how, 0)
    assert "Fatal Python error" not in ending.said()


def test_an_interrupt_ends_the_shutdown_and_loses_nothing(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C because of us must not have to press it twice, nor to think of billing."""
    with SandboxServer() as server, Wire(server.url, Polar.HANGS) as wire:
        with program("by_an_interrupt_of_the_shutdown", wire.url, tmp_path, 600.0) as ending:
            assert ended(ending, wire, budget_s=0.0) == 0
        wire.let_answer()
        deliver_what_is_left(wire, tmp_path / "outbox")

        assert payers(server) == once_each(ending.told())


@pytest.mark.parametrize("budget_s", [0.0, 20.0])
@pytest.mark.parametrize("how", NO_REQUEST)
def test_a_process_that_ends_before_anything_is_sent_loses_nothing(how: str, budget_s: float, tmp_path: Path) -> None:
    """A command that makes one call has ended before the delivery thread has imported what it needs."""
    with SandboxServer() as server:
        with program(how, server.url, tmp_path, budget_s) as ending:
            ending.tell("end")
            assert ending.ends(within_s=budget_s + SLACK_S) == 0
        deliver_what_is_left(server, tmp_path / "outbox")

        assert payers(server) == once_each(ending.told())
    assert "Fatal Python error" not in ending.said()
