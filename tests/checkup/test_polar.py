"""Specifies what is found out at Polar, and how little is asked for it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from otel_polar.checkup.finding import Level
from otel_polar.checkup.polar import PolarLook, clock_findings
from otel_polar.checkup.reaching import proxy_findings, unreachable
from otel_polar.errors import PolarRateLimitedError, PolarUnreachableError
from otel_polar.polar_api.client import SERVERS
from otel_polar.sandbox import SandboxServer
from otel_polar.settings import Settings
from tests.checkup.support import told, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.checkup.finding import Finding
    from otel_polar.options import Server

TOKEN = "polar_oat_good"
ALL_SCOPES = frozenset(
    {
        *("events:write", "events:read", "organizations:read", "meters:read", "meters:write"),
        *("customers:read", "customers:write", "products:write", "benefits:write"),
    }
)


def look(base_url: str | None = None, **options: Any) -> list[Finding]:
    settings = Settings.load({}, **{"access_token": TOKEN, "base_url": base_url, **options})
    polar = PolarLook(settings, SERVERS)
    with polar.api:
        return list(polar.findings())


def test_a_token_that_may_everything_is_well(polar_sandbox: SandboxServer) -> None:
    """Nothing is left to do but a meter."""
    found = look(polar_sandbox.url)

    assert set(wrong(found)) == {"polar.meters"}
    assert "Local sandbox" in next(each.what for each in found if each.check == "polar.organization")
    assert polar_sandbox.events() == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"inserted": "none"}'])
def test_what_answers_everything_with_200_is_not_polar(body: bytes) -> None:
    """A page of a proxy, or another service at a wrong address, takes whatever it is sent."""
    with SandboxServer() as server:
        server.answer_on("/v1/events/ingest", 200, body)
        found = look(server.url)

    assert set(wrong(found)) == {"polar.reach"}


def test_a_polar_that_does_not_answer_in_time_is_told_as_that() -> None:
    """Who has hung up must not say that Polar did."""
    with SandboxServer() as server:
        server.delay_on("/v1/events/ingest", 1.0)
        (finding,) = look(server.url, request_timeout_s=0.2)

    assert "does not answer in time" in finding.what


def test_a_token_that_may_only_send_is_well_too() -> None:
    """It is the one an application should have: what it lacks is told, and is no fault."""
    with SandboxServer(tokens={TOKEN: frozenset({"events:write"})}) as server:
        found = look(server.url)

    assert wrong(found) == {}
    missing = [each.what for each in found if each.check == "polar.scopes"]
    assert len(missing) == 1
    for scope in ("meters:read", "meters:write", "customers:read", "customers:write", "products:write"):
        assert scope in missing[0]


def test_a_token_that_may_not_send_is_told_apart_from_a_wrong_one() -> None:
    """One is mended in Polar's settings, the other in the environment."""
    with SandboxServer(tokens={TOKEN: ALL_SCOPES - {"events:write"}}) as server:
        lacking = look(server.url)
        strange = look(server.url, access_token="polar_oat_revoked")

    assert "events:write" in wrong(lacking)["polar.events_write"]
    assert set(wrong(strange)) == {"polar.token"}


@pytest.mark.parametrize("here", ["sandbox", "production"])
def test_a_token_of_the_other_server_is_known_there(here: Server) -> None:
    """It is what happens on the day of going live."""
    there: Server = "production" if here == "sandbox" else "sandbox"
    with SandboxServer(tokens={}) as ours, SandboxServer(tokens={TOKEN: ALL_SCOPES}) as other:
        polar = PolarLook(Settings.load({}, access_token=TOKEN, server=here), {here: ours.url, there: other.url})
        with polar.api:
            (finding,) = polar.findings()

    assert (finding.check, finding.level) == ("polar.server", Level.PROBLEM)
    assert finding.do[0].startswith(f"export POLAR_SERVER={there}")


def test_another_server_is_not_asked_where_an_address_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of a company's own server is none of Polar's business."""
    monkeypatch.setattr(PolarLook, "_is_known_at", lambda *_: pytest.fail("it was asked"))
    with SandboxServer(tokens={}) as server:
        assert set(wrong(look(server.url))) == {"polar.token"}


def test_what_is_no_polar_is_told() -> None:
    """A path too much, or another program at the port."""
    with SandboxServer() as server:
        found = look(f"{server.url}/v1")

    assert set(wrong(found)) == {"polar.reach"}


def test_nobody_at_the_address_is_told() -> None:
    """The sandbox is not running, say."""
    (finding,) = look("http://127.0.0.1:9")

    assert (finding.check, finding.level) == ("polar.reach", Level.PROBLEM)
    assert "nobody listens there" in finding.what


def chained(cause: BaseException) -> PolarUnreachableError:
    error = PolarUnreachableError("no")
    error.__cause__ = httpx.ConnectError("no")
    error.__cause__.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "DNS"),
        (ssl.SSLCertVerificationError("self-signed"), "certificate"),
        (ssl.SSLError("WRONG_VERSION_NUMBER"), "does not speak TLS"),
        (ConnectionRefusedError(), "nobody listens"),
        (TimeoutError(), "does not answer in time"),
        (httpx.ReadTimeout("slow"), "does not answer in time"),
        (httpx.ProxyError("407"), "proxy"),
        (OSError("odd"), "no"),
    ],
)
def test_why_polar_cannot_be_reached_is_said_in_words(cause: BaseException, words: str) -> None:
    """Each is mended elsewhere."""
    assert words in unreachable("https://api.polar.sh", chained(cause)).what


def test_used_up_requests_are_told() -> None:
    """They are those of the whole organization."""
    with SandboxServer(requests_per_minute=1) as server:
        found = look(server.url)
        again = look(server.url)

    assert {each.level for each in found if each.check != "polar.reach"} >= {Level.UNKNOWN}
    assert set(wrong(again)) == {"polar.rate"}
    assert unreachable("x", PolarRateLimitedError("used up", retry_after_s=60.0)).check == "polar.rate"


@pytest.mark.parametrize(
    ("ahead_s", "level"),
    [(0.0, "well"), (2.0, "well"), (-30.0, "well"), (5.0, "warning"), (4_000.0, "problem"), (-4_000.0, "problem")],
)
def test_clocks_that_differ_are_told(ahead_s: float, level: str) -> None:
    """Polar refuses an event of the future; one of the past costs nothing."""
    assert told(clock_findings(1e9, 1e9 + ahead_s)) == {"polar.clock": level}


def test_a_polar_that_does_not_say_the_time_is_no_fault() -> None:
    """The local one does not."""
    assert list(clock_findings(None, 1e9)) == []


@pytest.mark.parametrize(
    "value", ["http://me:hidden@proxy.internal:3128", "proxy.internal:3128", "me:hidden@proxy.internal"]
)
def test_a_proxy_on_the_way_is_told_without_its_password(value: str) -> None:
    """It is the first thing to look at where nothing arrives."""
    found: Iterator[Finding] = proxy_findings({"HTTPS_PROXY": value})
    (finding,) = found

    assert "proxy.internal" in finding.what
    assert "hidden" not in finding.what
