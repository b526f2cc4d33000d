"""Specifies that a process can be forked at any moment: nothing of the parent's is used by the child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.sandbox import SandboxServer
from tests.delivery.wire import Polar, Wire
from tests.workers.support import START_S, Program, environment, once_each, payers, running

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.slow

WHEN: Final = [
    "before_the_first_call",
    "in_a_thread",
    "in_a_child",
    "children_that_are_killed",
    "a_child_that_ends_as_programs_end",
    "while_threads_bill",
]


def program(when: str, polar_url: str, directory: Path) -> AbstractContextManager[Program]:
    """One of tests.workers.forks, which soon looks for files without an owner."""
    variables = environment(polar_url, directory / "outbox", IDLE_S="0.2", OTEL_POLAR_SHUTDOWN_TIMEOUT_S="20")
    return running(["tests.workers.forks", when], variables, directory)


def contents(directory: Path) -> dict[Path, bytes]:
    """Every file of every outbox, but the memory that SQLite's connections share."""
    return {path: path.read_bytes() for path in directory.glob("outbox/*/*") if path.suffix != ".db-shm"}


def speakers(conversation: str) -> tuple[str, ...]:
    """Whose calls were sent on a connection."""
    return tuple(process for process in ("parent", "child") if f'"{process}' in conversation.replace('"parent_', ""))


def end(parent: Program, polar: SandboxServer) -> None:
    """See that every call is billed while the parent lives, and none again when it ends."""
    parent.wait_for(lambda: "done" in parent.told(), "end of the work")
    users = [line for line in parent.told() if line not in {"ready", "ready again", "done"}]
    polar.wait_for_events(len(users), timeout_s=START_S)
    parent.end_input()

    assert parent.ends(within_s=START_S) == 0
    assert payers(polar) == once_each(users)
    assert "Traceback" not in parent.said()


@pytest.mark.parametrize("when", WHEN)
def test_every_call_is_billed_once_by_a_process_that_lives(when: str, tmp_path: Path) -> None:
    """Whoever forks does not think of us, nor of which thread does it and what the others are in the middle of."""
    with SandboxServer() as polar, program(when, polar.url, tmp_path) as parent:
        end(parent, polar)


def test_a_child_uses_neither_its_parents_connection_nor_its_parents_files(tmp_path: Path) -> None:
    """Two processes on one connection get each other's answers; two in one database lose rows."""
    with (
        SandboxServer() as polar,
        Wire(polar.url) as wire,
        program("with_a_connection", wire.url, tmp_path) as parent,
    ):
        parent.wait_for(lambda: "ready" in parent.told(), "end of the first flush")
        files = contents(tmp_path)
        parent.tell("child")
        parent.wait_for(lambda: "ready again" in parent.told(), "end of the child's flush")
        kept = {path: content for path, content in contents(tmp_path).items() if path in files}
        parent.tell("parent")
        end(parent, polar)

        assert kept == files
        assert {speakers(said) for said in wire.conversations()} == {("parent",), ("child",)}


def test_a_fork_in_the_middle_of_a_flush_waits_for_no_answer(tmp_path: Path) -> None:
    """The request is the parent's: the child neither waits for it nor hears of it, and the parent goes on with it."""
    with (
        SandboxServer() as polar,
        Wire(polar.url, Polar.HANGS) as wire,
        program("in_a_flush", wire.url, tmp_path) as parent,
    ):
        parent.wait_for(lambda: ("parent",) in map(speakers, wire.conversations()), "request")
        parent.tell("fork")
        parent.wait_for(lambda: ("child",) in map(speakers, wire.conversations()), "request of the child")
        parent.wait_for(lambda: "parent after" in parent.told(), "parent that goes on")
        assert polar.events() == []
        wire.let_answer()
        end(parent, polar)

        assert {speakers(said) for said in wire.conversations()} == {("parent",), ("child",)}
