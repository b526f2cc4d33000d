"""Specifies what the processes of a machine share: the credit, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

import pytest

from otel_polar import InsufficientCredits
from otel_polar.credits import CreditGuard
from tests.credits.support import (
    CALL_TOKENS,
    METER,
    USER,
    a_customer_with,
    an_application,
    guarding,
    make_calls,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


class Child:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout

    def hear(self) -> str:
        return self._stdout.readline().strip()

    def tell(self) -> None:
        self._stdin.write("go\n")
        self._stdin.flush()


@contextmanager
def child(server: SandboxServer, directory: Path, estimate: int, calls: int) -> Iterator[Child]:
    command = [sys.executable, "-m", "tests.credits.children", server.url, str(directory), USER, str(estimate)]
    with subprocess.Popen([*command, str(calls)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        one = Child(process)
        try:
            assert one.hear() == "ready"
            yield one
        finally:
            process.kill()


@pytest.mark.slow
def test_processes_cannot_pass_on_the_same_credit(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The workers of a server answer the same user at the same moment."""
    a_customer_with(polar_sandbox, 1_000)
    with ExitStack() as stack:
        children = [stack.enter_context(child(polar_sandbox, tmp_path, 100, 7)) for _ in range(2)]
        for one in children:
            one.tell()
        told = [one.hear().split() for one in children]

    assert sum(int(passed) for passed, *_ in told) == 10
    assert {reason for _, *reasons in told for reason in reasons} == {"insufficient"}


def test_what_a_killed_process_has_reserved_is_free_again(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A worker that runs out of memory must not hold a user's credit for a quarter of an hour."""
    a_customer_with(polar_sandbox, 1_000)
    with child(polar_sandbox, tmp_path, 900, 1) as one, guarding(polar_sandbox.url, tmp_path) as guard:
        one.tell()
        assert one.hear() == "1"
        with pytest.raises(InsufficientCredits):
            guard.require(USER, 200)
        one.process.kill()
        one.process.wait()

        guard.require(USER, 200).release()


def test_a_forked_child_goes_on_with_a_file_of_its_own(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """A server that loads the application first forks its workers from it."""
    a_customer_with(polar_sandbox, 1_000)
    with guarding(polar_sandbox.url, tmp_path) as guard, guard.require(USER, 600) as reservation:
        pid = os.fork()
        if pid == 0:
            try:
                reservation.release()
                held = guard.require(USER, 300)
                reason = ""
                try:
                    guard.require(USER, 200)
                except InsufficientCredits as error:
                    reason = error.reason
                os._exit(0 if reason == "insufficient" and held is not None else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(pid, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        # What the child has reserved went with it; what the parent has is the parent's.
        guard.require(USER, 400).release()
        with pytest.raises(InsufficientCredits):
            guard.require(USER, 401)


def test_what_waits_in_the_outbox_of_another_process_is_pending(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """One worker records, another one is asked."""
    a_customer_with(polar_sandbox, 10_000)
    with an_application(polar_sandbox.url, tmp_path) as processor:
        make_calls(processor, 2)
        with child(polar_sandbox, tmp_path, 10_000 - 2 * CALL_TOKENS, 2) as one:
            one.tell()

            assert one.hear() == "1 insufficient"


def test_a_rate_card_that_is_wrong_by_now_does_not_leave_a_forked_child_its_parents_file(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Somebody may be writing it when a server starts another worker."""
    a_customer_with(polar_sandbox, 1_000)
    card = tmp_path / "card.toml"
    card.write_text('version = "1"\n[[prices]]\nprovider = "*"\nmodel = "*"\nusd_per_request = "1"\n')
    guard = CreditGuard(METER, settings=settings(polar_sandbox.url, tmp_path, rate_card=card))
    engine = guard._engine
    card.write_text("half of")
    guard.after_fork_in_child()

    assert guard._engine is not engine
    guard.require(USER, 1).release()
    guard.close()
    engine.close()


def test_what_a_killed_process_has_recorded_counts_before_it_is_adopted(
    polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """A worker dies with a call on disk; another one, which may adopt the file, only does so after a while."""
    a_customer_with(polar_sandbox, 10_000)
    with an_application(polar_sandbox.url, tmp_path) as processor, guarding(polar_sandbox.url, tmp_path) as guard:
        assert guard.balance(USER).pending == 0
        pid = os.fork()
        if pid == 0:
            try:
                make_calls(processor, 2)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

        assert guard.balance(USER).pending == 2 * CALL_TOKENS
