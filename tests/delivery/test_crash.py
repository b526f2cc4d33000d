"""Specifies that a finished call survives its process: real children, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from otel_polar.sandbox import SandboxServer
from tests.delivery.children import make_calls, make_provider
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALLS = 20
NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""

pytestmark = pytest.mark.slow


@contextmanager
def child(what: str, base_url: str, outbox_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Run one of tests.delivery.children until it has recorded its calls; kill its whole group in the end."""
    arguments = [sys.executable, "-m", "tests.delivery.children", what, base_url, str(outbox_dir), str(CALLS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with_group(process, signal.SIGKILL)


def with_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def users_and_ids(server: SandboxServer) -> tuple[dict[str, int], int]:
    """How many events each user has, and how many different ones there are."""
    users: dict[str, int] = {}
    for event in server.events():
        users[event["external_customer_id"]] = users.get(event["external_customer_id"], 0) + 1
    return users, len({event["external_id"] for event in server.events()})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_calls_of_a_killed_process_are_delivered_once_by_the_next(tmp_path: Path, number: signal.Signals) -> None:
    """No exporter's queue survives this; the outbox is on disk before on_end returns."""
    with SandboxServer() as server:
        with child("record_and_wait", server.url, tmp_path) as process:
            process.send_signal(number)
            process.wait()
        assert server.events() == []

        with child("record_and_deliver", server.url, tmp_path):
            assert users_and_ids(server) == ({"user_42": 2 * CALLS}, 2 * CALLS)


def test_calls_of_a_process_that_exits_hard_are_delivered_once_by_the_next(tmp_path: Path) -> None:
    """os._exit, as multiprocessing's children end, runs no atexit handler."""
    with SandboxServer() as server:
        with child("record_and_exit_hard", server.url, tmp_path) as process:
            process.wait()

        with child("record_and_deliver", server.url, tmp_path):
            assert users_and_ids(server) == ({"user_42": 2 * CALLS}, 2 * CALLS)


def test_calls_of_several_killed_processes_are_adopted_by_one(tmp_path: Path) -> None:
    """A pool of workers that is scaled down must not leave money behind."""
    with SandboxServer() as server:
        with child("record_and_wait", server.url, tmp_path), child("record_and_wait", server.url, tmp_path):
            pass

        provider, _ = make_provider(server.url, str(tmp_path))
        server.wait_for_events(2 * CALLS, timeout_s=30)
        provider.shutdown()

        assert users_and_ids(server) == ({"user_42": 2 * CALLS}, 2 * CALLS)
        (directory,) = tmp_path.iterdir()
        assert len(list(directory.glob("*.db"))) == 1


def test_an_outage_is_outlived(tmp_path: Path) -> None:
    """Calls of a process that never reached Polar are delivered when a later one does."""
    with SandboxServer() as server:
        port = int(server.url.rsplit(":", 1)[1])
        url = server.url
    with child("record_and_wait", url, tmp_path):
        pass

    with SandboxServer(port=port) as server, child("record_and_deliver", url, tmp_path):
        assert users_and_ids(server) == ({"user_42": 2 * CALLS}, 2 * CALLS)


def test_after_a_fork_each_process_delivers_its_own_calls_once(tmp_path: Path) -> None:
    """Neither the connection nor the queue is shared: nothing is doubled, nothing is lost, nobody hangs."""
    with SandboxServer() as server, child("fork_and_record", server.url, tmp_path):
        assert users_and_ids(server) == ({"before": CALLS, "child": CALLS, "parent": CALLS}, 3 * CALLS)


def test_a_forked_child_that_lives_on_does_not_keep_its_dead_parents_file(tmp_path: Path) -> None:
    """A lock is inherited by a fork: whoever does not let go of it would hide the parent's calls for ever."""
    with SandboxServer() as server, child("fork_and_die", server.url, tmp_path) as process:
        process.wait()

        with child("record_and_deliver", server.url, tmp_path):
            assert users_and_ids(server) == ({"user_42": 2 * CALLS}, 2 * CALLS)


def test_a_handler_that_raises_in_the_middle_of_a_fork_leaves_no_lock_taken(tmp_path: Path) -> None:
    """Python swallows what is raised in a fork, and the application goes on: so must its calls and their delivery."""
    # In a process of its own, without a measurement of coverage: that one's lock does not survive this.
    done = subprocess.run(
        [sys.executable, "-m", "tests.delivery.interrupted_forks", str(tmp_path)],
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    interrupted, taken = done.stdout.split(maxsplit=1)
    assert int(interrupted) > 0
    assert taken.strip() == "[]"


def test_a_call_that_ends_after_shutdown_is_on_disk(tmp_path: Path) -> None:
    """Other exit handlers may still end spans; the next process delivers them."""
    with SandboxServer() as server:
        provider, processor = make_provider(server.url, str(tmp_path))
        processor.shutdown()
        make_calls(provider, 1)

        assert processor.pipeline is not None
        assert [outbox.waiting() for outbox in processor.pipeline.outboxes] == [1]
        assert server.events() == []
