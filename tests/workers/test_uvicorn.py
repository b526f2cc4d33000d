"""Specifies the web server that spawns its workers: each imports the application, and they share a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import pytest

from otel_polar.sandbox import SandboxServer
from tests.workers.servers import WORKERS, Server, listening
from tests.workers.support import START_S, deliver_what_is_left, environment, once_each, payers

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.slow

REQUESTS: Final = 12


def uvicorn(polar_url: str, directory: Path, *options: str, **variables: str) -> AbstractContextManager[Server]:
    """The server, whose workers are started at the same moment."""
    arguments = ["uvicorn", f"--workers={WORKERS}", "--port=0", "--log-level=info", *options]
    return listening(
        [*arguments, "tests.workers.asgi_app:app"],
        environment(polar_url, directory / "outbox", **variables),
        directory,
    )


def test_calls_of_every_worker_are_billed_once(tmp_path: Path) -> None:
    """They start together: none may take the other's file for one without an owner."""
    with SandboxServer() as polar:
        with uvicorn(polar.url, tmp_path) as server:
            users = [f"user-{number}" for number in range(REQUESTS)]
            for number, user in enumerate(users):
                server.get(f"/?user={user}" if number % 2 else f"/thread?user={user}")
            more, _ = server.get_until_answered_by(WORKERS, "more")
            server.stop()
        deliver_what_is_left(polar, tmp_path / "outbox")

        assert payers(polar) == once_each([*users, *more])


def test_calls_that_still_rest_when_the_server_is_stopped_are_sent_at_the_end_of_the_lifespan(tmp_path: Path) -> None:
    """Its workers end by a signal, without exit handlers; an application that shuts down itself sends the rest."""
    resting = {"OTEL_POLAR_SETTLE_S": "3600", "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "20"}
    with SandboxServer() as polar, uvicorn(polar.url, tmp_path, **resting) as server:
        users, _ = server.get_until_answered_by(WORKERS, "user")
        assert polar.events() == []
        server.stop()

        assert payers(polar) == once_each(users)


def test_calls_of_a_worker_that_ends_without_a_word_wait_for_the_next_process(tmp_path: Path) -> None:
    """No exit handler runs when the operating system is short of memory, or when an application forgets its own."""
    resting = {"OTEL_POLAR_SETTLE_S": "3600"}
    with SandboxServer() as polar:
        with uvicorn(polar.url, tmp_path, "--lifespan=off", **resting) as server:
            users, _ = server.get_until_answered_by(WORKERS, "user")
            server.stop()
        assert polar.events() == []
        deliver_what_is_left(polar, tmp_path / "outbox")

        assert payers(polar) == once_each(users)


def test_calls_of_a_worker_that_is_killed_are_billed_by_the_one_that_takes_its_place(tmp_path: Path) -> None:
    """The server goes on for weeks: what a worker left behind must not wait for a restart."""
    with SandboxServer() as polar, uvicorn(polar.url, tmp_path) as server:
        before, workers = server.get_until_answered_by(WORKERS, "before")
        with pytest.raises(httpx.RemoteProtocolError):
            server.get("/die?user=victim")
        after, _ = server.get_until_answered_by(1, "after", but=workers)
        users = [*before, "victim", *after]
        polar.wait_for_events(len(users), timeout_s=START_S)

        assert payers(polar) == once_each(users)
        server.stop()
