"""Specifies that the Node.js examples are billed: node, perhaps a real Collector, ``otel-polar serve``, Polar."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest

from tests.collector.collector import Collector, over_http
from tests.nodejs.node import finish, started
from tests.servers.child import wait_until
from tests.servers.serve import Serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox.openai_api import Usage
    from tests.nodejs.vendor import Vendor
    from tests.servers.polar import Polar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

SETTINGS: Final = {"OTEL_POLAR_GATEWAYS": "127.0.0.1"}

Bill = tuple[object, ...]
"""Who pays; tokens of input, of that from cache, of output, of that reasoning; the cost in billionths of a dollar."""


Deliver = Callable[[str, str], None]


@pytest.fixture(params=["directly", "by a Collector"])
def deliver(request: pytest.FixtureRequest, vendor: Vendor, polar: Polar, tmp_path: Path) -> Iterator[Deliver]:
    """Runs an example by a protocol, and returns when an event of every answer is in Polar and all have ended."""
    with Serve(tmp_path, polar.url, SETTINGS) as serve:

        def deliver(script: str, protocol: str) -> None:
            if request.param == "directly":
                run_example(script, vendor, tmp_path, serve.http_port, protocol)
            else:
                binary: Path = request.getfixturevalue("binary")
                with Collector(binary, tmp_path, over_http(serve.http_port)) as collector:
                    run_example(script, vendor, tmp_path, collector.http_port, protocol)
                    wait_until(lambda: len(polar.events()) >= len(vendor.told), "every call is in Polar")
                    assert collector.stop() == 0
            assert serve.stop() == 0

        yield deliver


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_the_ai_sdk_is_billed(protocol: str, deliver: Deliver, vendor: Vendor, polar: Polar) -> None:
    """JavaScript's exporters write either form; the question that needs a tool is two calls."""
    vendor.ask_for_a_tool()

    deliver("vercel.mjs", protocol)

    alice, again, *others = vendor.told
    bob, carol = sorted(others, key=lambda told: "usage event?" not in told.request)
    assert bills(polar) == in_order(
        chat("alice", alice.usage), chat("alice", again.usage), chat("bob", bob.usage), vector("carol", carol.usage)
    )


def test_openais_client_is_billed(deliver: Deliver, vendor: Vendor, polar: Polar) -> None:
    """Its instrumentation tells totals only: what was cached has the price of what was not."""
    deliver("openai.mjs", "http/protobuf")

    answer, response, *others = (told._replace(usage=totals(told.usage)) for told in vendor.told)
    bob, carol = sorted(others, key=lambda told: "slowly" not in told.request)
    assert bills(polar) == in_order(
        chat("alice", answer.usage), chat("alice", response.usage), chat("bob", bob.usage), vector("carol", carol.usage)
    )


def run_example(script: str, vendor: Vendor, directory: Path, port: int, protocol: str) -> None:
    environment = {
        "OPENAI_BASE_URL": vendor.server.base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
    }
    with started(script, application=directory / "application", environment=environment) as process:
        finish(process)


def totals(usage: Usage) -> Usage:
    return type(usage)(usage.input_tokens, output_tokens=usage.output_tokens)


def chat(user: str, usage: Usage) -> Bill:
    """gpt-4o-mini: $0.15 a million tokens, $0.075 from cache, $0.60 of output."""
    cost = 150 * (usage.input_tokens - usage.cached_tokens) + 75 * usage.cached_tokens + 600 * usage.output_tokens
    return user, usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens, cost


def vector(user: str, usage: Usage) -> Bill:
    """text-embedding-3-small: $0.02 a million tokens."""
    return user, usage.input_tokens, 0, 0, 0, 20 * usage.input_tokens


def bills(polar: Polar) -> list[Bill]:
    keys = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens", "cost_nanos")
    events = polar.events()
    assert {event["metadata"]["service_name"] for event in events} == {"node-app"}
    return in_order(*((event["external_customer_id"], *(event["metadata"][key] for key in keys)) for event in events))


def in_order(*bills: Bill) -> list[Bill]:
    return sorted(bills, key=str)
