"""The running server: its life, its faults, and what a test can ask it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.client import RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from polar.base import PolarNetworkError, PolarRateLimitError, PolarServerError

import otel_polar.sandbox
from otel_polar.sandbox import SandboxServer, SandboxStore
from otel_polar.sandbox.faults import IngestRequest
from tests.sandbox.support import call, event, ingest

if TYPE_CHECKING:
    from polar.v2026_10 import Polar

EVENTS = [{"name": "n", "external_customer_id": "u", "external_id": "once"}]


def test_a_canned_answer_is_given_once(polar: Polar, server: SandboxServer) -> None:
    """Faults wait in a queue, one for each request, then the truth returns."""
    server.answer_next(503, b"down for a minute")
    server.answer_next(429, headers={"Retry-After": "7"})

    with pytest.raises(PolarServerError):
        polar.events.ingest(events=EVENTS)  # type: ignore[arg-type]  # a plain dict
    with pytest.raises(PolarRateLimitError) as limited:
        polar.events.ingest(events=EVENTS)  # type: ignore[arg-type]  # a plain dict

    assert limited.value.retry_after == 7
    assert server.events() == []
    assert polar.events.ingest(events=EVENTS).inserted == 1  # type: ignore[arg-type]  # a plain dict


def test_an_answer_after_the_commit_hides_that_the_events_are_stored(polar: Polar, server: SandboxServer) -> None:
    """The client cannot know; only the external_id keeps the second attempt from billing twice."""
    server.answer_next(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"}, after_commit=True)

    with pytest.raises(PolarServerError):
        polar.events.ingest(events=EVENTS)  # type: ignore[arg-type]  # a plain dict

    assert len(server.events()) == 1
    assert polar.events.ingest(events=EVENTS).duplicates == 1  # type: ignore[arg-type]  # a plain dict


@pytest.mark.parametrize(("after_commit", "stored"), [(False, 0), (True, 1)])
def test_a_connection_can_be_cut(polar: Polar, server: SandboxServer, *, after_commit: bool, stored: int) -> None:
    """No answer at all, whether or not Polar had committed."""
    server.hang_up_next(after_commit=after_commit)

    with pytest.raises(PolarNetworkError):
        polar.events.ingest(events=EVENTS)  # type: ignore[arg-type]  # a plain dict

    assert len(server.events()) == stored
    assert ingest(server, *EVENTS).json == {"inserted": 1 - stored, "duplicates": stored}


def test_a_cut_connection_leaves_not_a_single_byte(server: SandboxServer) -> None:
    """It must look like a crash, not like an empty answer."""
    server.hang_up_next()

    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        ingest(server, event())


def test_every_ingest_request_is_recorded(server: SandboxServer) -> None:
    """Headers in lower case, how many events, and the status, also of those that were refused."""
    server.hang_up_next()
    with pytest.raises(ConnectionError):
        ingest(server, event())
    ingest(server, event(), event(), headers={"X-Attempt": "2"})
    ingest(server, event(), token=None)
    call(server, "/v1/events/ingest", b"nonsense")

    recorded = server.ingest_requests

    assert [(request.event_count, request.status) for request in recorded] == [
        (1, None),
        (2, 200),
        (1, 401),
        (None, 422),
    ]
    assert isinstance(recorded[1], IngestRequest)
    assert recorded[1].headers["x-attempt"] == "2"


def test_waiting_returns_the_events_as_soon_as_they_are_there(server: SandboxServer) -> None:
    """A test waits for the delivery thread, not for a number of seconds."""
    sender = threading.Thread(target=ingest, args=(server, event(name="a"), event(name="b")))
    sender.start()

    events = server.wait_for_events(2)
    sender.join()

    assert [one["name"] for one in events] == ["a", "b"]


def test_waiting_in_vain_says_how_many_arrived(server: SandboxServer) -> None:
    """The number is the first thing one wants to know."""
    ingest(server, event())

    with pytest.raises(AssertionError, match=r"1 of 2 events arrived at the sandbox within 0\.01 s"):
        server.wait_for_events(2, timeout_s=0.01)


def test_a_file_outlives_the_server(tmp_path: Path) -> None:
    """A demo that is started again still has its customers, its meters and its keys."""
    path = tmp_path / "polar.db"
    with SandboxServer(db=path) as first:
        ingest(first, event(external_id="a"))
        first.store.insert_customer(email="a@example.com", external_id="user_42")
    with SandboxServer(db=path) as second:
        assert ingest(second, event(external_id="a")).json == {"inserted": 0, "duplicates": 1}
        assert [customer.external_id for customer in second.store.customers()] == ["user_42"]


def test_a_stopped_server_has_no_address() -> None:
    """The address of a server that does not run would be somebody else's."""
    server = SandboxServer()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with server:
        assert server.url.startswith("http://127.0.0.1:")
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url


def test_a_taken_port_is_an_error(server: SandboxServer) -> None:
    """It is raised where the server is started, not lost in a thread."""
    port = int(server.url.rpartition(":")[2])

    with pytest.raises(OSError, match="Address already in use"), SandboxServer(port=port):
        pass


def test_a_second_start_is_refused(server: SandboxServer) -> None:
    """It would leave the first thread running with nobody to stop it."""
    with pytest.raises(RuntimeError, match="already running"):
        server.start()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_sandbox_cleanly(ending: signal.Signals) -> None:
    """The command and a container stop it the same way, without a word on stderr."""
    program = "from otel_polar.sandbox import run; run(on_ready=lambda server: print(server.url, flush=True))"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urlopen(url, timeout=10) as page:  # noqa: S310 - the address our own child has printed
            assert page.status == 200
        process.send_signal(ending)
        _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (0, "")


def test_the_public_face_is_sorted_and_complete() -> None:
    """What is promised can be imported, and nothing else is promised."""
    names = otel_polar.sandbox.__all__

    assert names == sorted(names)
    assert all(getattr(otel_polar.sandbox, name).__doc__ for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = otel_polar.sandbox.nothing


def test_a_store_works_without_a_server() -> None:
    """An application that brings its own ASGI server needs only the store and the app."""
    with SandboxStore() as store:
        assert otel_polar.sandbox.create_app(store).routes
        assert store.count_events() == 0
