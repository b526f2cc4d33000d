"""Specifies that no answer, however it is sent, keeps the delivery thread, fills the memory or raises."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.delivery.outcome import Accepted, Failed, Invalid, Outcome
from otel_polar.delivery.sending.polar import PolarClient
from otel_polar.polar_api.bounded import MAX_ANSWER_BYTES
from otel_polar.sandbox import SandboxServer
from tests.delivery.support import NOON, a_body, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TAKEN: Final = b'{"inserted":1,"duplicates":0}'
OK: Final = b"HTTP/1.1 200 OK\r\n"
MEBIBYTE: Final = 1024 * 1024


@contextmanager
def polar_that_says(portions: Iterable[bytes]) -> Iterator[str]:
    """The address of a server that answers one request with these bytes."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(10)
            asked = b""
            while not asked.endswith(b"]}"):
                asked += connection.recv(65_536)
            for portion in portions:
                connection.sendall(portion)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def outcome_of(url: str, *, request_timeout_s: float = 30.0) -> Outcome:
    polar = PolarClient(settings(base_url=url, request_timeout_s=request_timeout_s))
    try:
        return polar.ingest([a_body(1)])
    finally:
        polar.close()


@pytest.mark.parametrize(
    "portions",
    [
        pytest.param((b"HTTP/1.1 100 Continue\r\n\r\n" for _ in repeat(None)), id="others before it, without end"),
        pytest.param([OK + b"\r\n"], id="nothing in it"),
    ],
)
def test_an_answer_without_an_answer_in_it_is_a_failure(portions: Iterable[bytes]) -> None:
    """The events are sent again."""
    with polar_that_says(portions) as url:
        assert isinstance(outcome_of(url, request_timeout_s=0.5), Failed)


def test_a_head_that_never_ends_is_given_up_when_a_request_has_taken_its_time() -> None:
    """The timeout of httpx is for each read, and every byte begins it anew."""
    may_go_on = threading.Event()

    def drip() -> Iterator[bytes]:
        yield OK + b"X-Slow: "
        while not may_go_on.wait(0.02):
            yield b"x"

    with polar_that_says(drip()) as url:
        threading.Timer(20.0, may_go_on.set).start()
        outcome = outcome_of(url, request_timeout_s=0.5)
        was_given_up = not may_go_on.is_set()
        may_go_on.set()

    assert was_given_up
    assert isinstance(outcome, Failed)


@pytest.mark.parametrize(
    "portions",
    [
        pytest.param([OK + b"\r\n", *repeat(b" " * MEBIBYTE, 200)], id="long"),
        pytest.param(
            [OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b" " * 200 * MEBIBYTE)],
            id="short, until it is unpacked",
        ),
    ],
)
def test_an_answer_does_not_fill_the_memory(portions: list[bytes]) -> None:
    """It is the application's."""
    with polar_that_says(portions) as url:
        tracemalloc.start()
        try:
            outcome = outcome_of(url)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert isinstance(outcome, Failed)
    assert f"more than {MAX_ANSWER_BYTES} bytes" in outcome.reason
    assert peak_bytes < 5 * MAX_ANSWER_BYTES


def test_an_answer_may_be_packed() -> None:
    """Polar is behind a proxy that does so."""
    with polar_that_says([OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(TAKEN)]) as url:
        assert outcome_of(url) == Accepted(inserted=1, duplicates=0)


def test_an_answer_that_only_says_that_it_is_packed_is_a_failure() -> None:
    """As any other nonsense."""
    with polar_that_says([OK + b"Content-Encoding: gzip\r\n\r\n", TAKEN]) as url:
        outcome = outcome_of(url)

    assert isinstance(outcome, Failed)
    assert "cannot be unpacked" in outcome.reason


@pytest.mark.parametrize("charset", ["zlib", "undefined", "idna", "latin-1", "no-such"])
def test_the_charset_of_an_answer_is_not_believed(charset: str) -> None:
    """JSON is UTF-8; Python has codecs under such names that raise, or make no text of it."""
    head = OK + f"Content-Type: application/json; charset={charset}\r\n\r\n".encode()
    with polar_that_says([head, TAKEN]) as url:
        assert outcome_of(url) == Accepted(inserted=1, duplicates=0)


@pytest.mark.parametrize("damage", ["user_4\udcff", "usér_42"])
def test_an_event_that_is_no_ascii_any_more_is_not_sent(damage: str) -> None:
    """It was written in ASCII. Polar would take the second one, for somebody else."""
    bad = json.dumps({**json.loads(a_body(1)), "external_customer_id": damage}, ensure_ascii=False)
    with SandboxServer(now=lambda: NOON) as server:
        polar = PolarClient(settings(base_url=server.url))
        outcome = polar.ingest([a_body(0), bad])
        polar.close()
        events = server.events()

    assert isinstance(outcome, Invalid)
    assert set(outcome.reasons) == {1}
    assert events == []
