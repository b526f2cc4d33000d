"""Specifies ``otel-polar serve --kafka``: what it says of the topic while it goes on with everything else."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.kafka.application import replica
from tests.kafka.support import SOON, a_span, call, produce, user
from tests.servers.child import HOST, wait_until
from tests.servers.polar import Polar
from tests.service.messages import request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kafka.broker import Broker
    from tests.servers.serve import Serve

pytestmark = pytest.mark.slow


def ready(serve: Serve) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{serve.http_port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def customers(polar: Polar) -> list[object]:
    return sorted(event["external_customer_id"] for event in polar.events())


def test_a_broker_that_is_down_stops_neither_otlp_nor_the_end(broker: Broker, tmp_path: Path) -> None:
    """Both ways in lead to one outbox; one of them is closed."""
    topic = broker.create_topic()
    with (
        Polar(tmp_path) as polar,
        replica(broker, topic, polar.url, tmp_path / "one", SOON) as serve,
    ):
        produce(broker, topic, [call(0)])
        wait_until(lambda: customers(polar) == [user(0)], "the call is billed")
        assert ready(serve) == (200, "ready\n")
        broker.kill()
        try:
            wait_until(lambda: ready(serve)[0] == 503, "it is said")
            assert f"Kafka at {broker.address} cannot be reached" in ready(serve)[1]
            body = request(a_span(1), scope="opentelemetry.util.genai.handler").SerializeToString()
            post = urllib.request.Request(
                f"http://{HOST}:{serve.http_port}/v1/traces", body, {"Content-Type": "application/x-protobuf"}
            )
            with urllib.request.urlopen(post, timeout=5) as answer:  # noqa: S310 - http
                assert answer.status == 200
            wait_until(lambda: customers(polar) == [user(0), user(1)], "the other call is billed")
        finally:
            broker.start()
        wait_until(lambda: ready(serve)[0] == 200, "it is ready again")
        produce(broker, topic, [call(2)])
        wait_until(lambda: customers(polar) == [user(number) for number in range(3)], "the third call is billed")
        broker.kill()
        try:
            assert serve.stop() == 0
        finally:
            broker.start()


def test_what_was_read_is_committed_when_it_is_told_to_end(broker: Broker, tmp_path: Path) -> None:
    """A deployment is no reason to read anything twice."""
    topic = broker.create_topic()
    with Polar(tmp_path) as polar:
        with replica(broker, topic, polar.url, tmp_path / "one", SOON) as serve:
            produce(broker, topic, [call(number) for number in range(200)])
            wait_until(lambda: polar.events() != [], "it has begun")
            assert serve.stop() == 0
        on_disk = broker.committed(topic)
        with replica(broker, topic, polar.url, tmp_path / "other", SOON) as other:
            wait_until(lambda: len(polar.events()) == 200, "all calls are billed")
            assert other.stop() == 0

    assert on_disk is not None
    assert broker.committed(topic) == 200


def test_a_property_that_cannot_be_used_is_said_before_anything_is_done(broker: Broker, tmp_path: Path) -> None:
    """A service that starts and reads nothing is found out at the end of the month."""
    serve = replica(broker, "otlp_spans", "http://127.0.0.1:9", tmp_path / "one", {"enable.auto.commit": "true"})
    with pytest.raises(AssertionError, match="has ended by itself with 3"):
        serve.start()

    assert serve.has_said("serve.kafka.properties: enable.auto.commit cannot be set")
