"""Specifies what a Collector makes of our answers: what can pass is sent again, what cannot is dropped, and said."""

from __future__ import annotations

import resource
from random import Random
from typing import TYPE_CHECKING, Final

import pytest

from tests.collector.application import Application, Protocol
from tests.collector.bill import problems, wait_for_all
from tests.collector.collector import DROPPED, WILL_RETRY, Collector, exporters
from tests.servers.child import wait_until
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

LARGE: Final = {"gen_ai.input.messages": "nobody may ever read this. " * 200_000}
"""More than five megabytes, which a few kilobytes of gzip hold."""


def deliver(application: Application, count: int = 5, attributes: Mapping[str, str] | None = None) -> None:
    """So many calls, acknowledged by the Collector."""
    application.deliver_calls(count, "without an id", attributes)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux's prlimit")
def test_a_disk_that_takes_nothing_is_waited_for(
    protocol: Protocol, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """A span that is not on our disk is the Collector's, which still has it."""
    with Serve(tmp_path, polar.url) as serve, Collector(binary, tmp_path, exporters(serve, protocol)) as collector:
        application = Application(collector, Random(1), protocol)
        deliver(application)
        wait_for_all(application, polar)
        assert serve.pid is not None
        usual = resource.prlimit(serve.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(serve.pid, resource.RLIMIT_FSIZE, (0, usual[1]))
        deliver(application)
        wait_until(lambda: bool(collector.has_said(WILL_RETRY)), "the Collector is told to come again")
        assert len(polar.events()) == 5

        resource.prlimit(serve.pid, resource.RLIMIT_FSIZE, usual)
        wait_for_all(application, polar)

        application.shutdown()
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert problems(application, polar) == []
    assert collector.has_said(DROPPED) == []


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_wrong_token_costs_what_was_sent_with_it_and_is_said(
    protocol: Protocol, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """A Collector never retries after it, so a token is added here before a Collector has it; without a restart."""
    tokens = tmp_path / "tokens"
    tokens.write_text("# of the other team\ntoken-of-the-others\n")
    settings = {"OTEL_POLAR_SERVE_TOKENS_FILE": str(tokens)}
    headers = {"authorization": "Bearer token-of-this-collector"}
    with (
        Serve(tmp_path, polar.url, settings) as serve,
        Collector(binary, tmp_path, exporters(serve, protocol, headers=headers)) as collector,
    ):
        refused = Application(collector, Random(1), protocol)
        deliver(refused, 1)
        wait_until(lambda: bool(collector.has_said(DROPPED)), "the Collector says that it drops them")
        assert collector.has_said("Unauthenticated|401")
        assert polar.events() == []

        tokens.write_text("token-of-the-others\ntoken-of-this-collector\n")
        application = Application(collector, Random(2), protocol)
        deliver(application)
        wait_for_all(application, polar)

        for each in (refused, application):
            each.shutdown()
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert problems(application, polar) == []
    assert len(collector.has_said(DROPPED)) == 1
    assert not [line for child in (collector, serve) for line in child.has_said("token-of-this")]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_what_is_too_large_is_dropped_and_said_and_holds_nobody_up(
    protocol: Protocol, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """It is measured as it is once unpacked: a few kilobytes can hold gigabytes."""
    config = tmp_path / "serve.toml"
    config.write_text("[serve]\nmax_request_mib = 1\n")
    with (
        Serve(tmp_path, polar.url, options=(f"--config={config}",)) as serve,
        Collector(binary, tmp_path, exporters(serve, protocol)) as collector,
    ):
        large = Application(collector, Random(1), "http")
        deliver(large, 1, LARGE)
        wait_until(lambda: bool(collector.has_said(DROPPED)), "the Collector says that it drops them")
        assert collector.has_said("ResourceExhausted|413")
        application = Application(collector, Random(2), protocol)
        deliver(application)
        wait_for_all(application, polar)

        for each in (large, application):
            each.shutdown()
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert problems(application, polar) == []


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_prompt_of_megabytes_passes(protocol: Protocol, binary: Path, polar: Polar, tmp_path: Path) -> None:
    """More than the four of gRPC's own limit, at which a Collector drops what it has; and none of it is kept."""
    with Serve(tmp_path, polar.url) as serve, Collector(binary, tmp_path, exporters(serve, protocol)) as collector:
        # In front of this Collector the same limit holds.
        application = Application(collector, Random(1), "http")
        deliver(application, 1, LARGE)
        wait_for_all(application, polar)
        application.shutdown()
        assert collector.stop() == 0
        assert serve.stop() == 0

    assert problems(application, polar) == []
    kept = b"".join(path.read_bytes() for path in (tmp_path / "outbox").rglob("*") if path.is_file())
    assert b"nobody may ever read" not in kept
