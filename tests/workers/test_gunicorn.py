"""Specifies the pre-fork web server: a processor made in gunicorn's master bills in the master and in every worker.

Without ``--preload`` each worker makes its own, in a process that was forked before.
"""

from __future__ import annotations

from collections import Counter
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


def gunicorn(polar_url: str, directory: Path, *options: str, **variables: str) -> AbstractContextManager[Server]:
    """The server, as it is started on a command line."""
    arguments = ["gunicorn", f"--workers={WORKERS}", "--bind=127.0.0.1:0", *options]
    return listening(
        [*arguments, "tests.workers.wsgi_app:app"],
        environment(polar_url, directory / "outbox", **variables),
        directory,
    )


@pytest.mark.parametrize(
    ("options", "imports"),
    [
        (["--preload"], 1),
        (["--preload", "--max-requests=3"], 1),
        (["--worker-class=gthread", "--threads=4"], WORKERS),
    ],
    ids=["preloaded", "preloaded, a new worker every three requests", "not preloaded, with threads"],
)
def test_calls_of_the_master_and_of_every_worker_are_billed_once(
    options: list[str], imports: int, tmp_path: Path
) -> None:
    """The processor crosses the fork with a thread, a file and maybe a connection that belong to the master."""
    with SandboxServer() as polar:
        with gunicorn(polar.url, tmp_path, *options) as server:
            users = [f"user-{number}" for number in range(REQUESTS)]
            for user in users:
                server.get(f"/?user={user}")
            more, _ = server.get_until_answered_by(WORKERS, "more")
            server.stop()
        deliver_what_is_left(polar, tmp_path / "outbox")

        assert payers(polar) == once_each([*users, *more]) + Counter(importer=imports)


def test_calls_that_still_rest_when_the_server_is_stopped_are_sent_by_the_workers(tmp_path: Path) -> None:
    """A deployment that gives them the time must not leave calls to a next process that may not come for days."""
    resting = {"OTEL_POLAR_SETTLE_S": "3600", "OTEL_POLAR_SHUTDOWN_TIMEOUT_S": "20"}
    with SandboxServer() as polar, gunicorn(polar.url, tmp_path, "--preload", **resting) as server:
        users, _ = server.get_until_answered_by(WORKERS, "user")
        assert polar.events() == []
        server.stop()

        assert payers(polar) == once_each(["importer", *users])


def test_calls_of_a_worker_that_is_killed_are_billed_by_the_one_that_takes_its_place(tmp_path: Path) -> None:
    """The server goes on for weeks: what a worker left behind must not wait for a restart."""
    with SandboxServer() as polar, gunicorn(polar.url, tmp_path, "--preload") as server:
        before, workers = server.get_until_answered_by(WORKERS, "before")
        with pytest.raises(httpx.RemoteProtocolError):
            server.get("/die?user=victim")
        after, _ = server.get_until_answered_by(1, "after", but=workers)
        users = ["importer", *before, "victim", *after]
        polar.wait_for_events(len(users), timeout_s=START_S)

        assert payers(polar) == once_each(users)
        server.stop()
