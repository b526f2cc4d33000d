"""Specifies the wire between machines: who calls is known by a token or a certificate, and nobody reads along."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.application import Application, Protocol
from tests.collector.bill import problems, wait_for_all
from tests.collector.certificates import Authority
from tests.collector.collector import Collector, over_grpc, over_http
from tests.servers.child import HOST, wait_until
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]


def with_certificates(serve: Serve, protocol: Protocol, tls: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """One exporter of this protocol, with TLS."""
    if protocol == "grpc":
        return over_grpc(serve.grpc_port, tls=tls, **more)
    return over_http(serve.http_port, endpoint=f"https://{HOST}:{serve.http_port}", tls=tls, **more)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "certificates")


@pytest.fixture
def with_tls(authority: Authority) -> dict[str, str]:
    """The settings of a service that shows its certificate."""
    own = authority.issue("serve")
    return {
        "OTEL_POLAR_SERVE_TLS_CERT_FILE": str(own.certificate),
        "OTEL_POLAR_SERVE_TLS_KEY_FILE": str(own.key),
    }


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_collector_with_a_token_is_let_in_over_tls(
    protocol: Protocol, with_tls: dict[str, str], authority: Authority, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """As the Collector's own extension for tokens sends it, which over gRPC refuses to without TLS."""
    settings = {**with_tls, "OTEL_POLAR_SERVE_TOKENS": "token-of-another,token-of-this-collector"}
    extensions = {"bearertokenauth": {"token": "token-of-this-collector"}}
    tls = {"ca_file": str(authority.certificate)}
    with Serve(tmp_path, polar.url, settings) as serve:
        sent = with_certificates(serve, protocol, tls, auth={"authenticator": "bearertokenauth"})
        with Collector(binary, tmp_path, sent, extensions) as collector:
            application = Application(collector, Random(1), protocol)
            application.deliver_calls(10)
            application.shutdown()

            wait_for_all(application, polar)
            assert collector.stop() == 0
            assert serve.stop() == 0

    assert problems(application, polar) == []


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_where_certificates_are_asked_for_nobody_comes_in_without(
    protocol: Protocol, with_tls: dict[str, str], authority: Authority, binary: Path, polar: Polar, tmp_path: Path
) -> None:
    """One without is kept waiting with all its spans: a certificate that has run out costs nothing but time."""
    settings = {**with_tls, "OTEL_POLAR_SERVE_TLS_CLIENT_CA_FILE": str(authority.certificate)}
    theirs = authority.issue("collector")
    without = {"ca_file": str(authority.certificate)}
    with_one = {**without, "cert_file": str(theirs.certificate), "key_file": str(theirs.key)}
    with Serve(tmp_path, polar.url, settings) as serve:
        with Collector(binary, tmp_path, with_certificates(serve, protocol, without)) as collector:
            application = Application(collector, Random(1), protocol)
            application.deliver_calls(10)
            application.shutdown()
            wait_until(lambda: bool(collector.has_said("Will retry")), "the Collector cannot come in")
            assert collector.stop() == 0
            assert polar.events() == []

        # The next one finds the queue of the first.
        with Collector(binary, tmp_path, with_certificates(serve, protocol, with_one)) as collector:
            wait_for_all(application, polar)
            assert collector.stop() == 0
            assert serve.stop() == 0

    assert problems(application, polar) == []
