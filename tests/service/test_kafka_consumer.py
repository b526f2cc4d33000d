"""Specifies what a consumer may be configured with, and what is said of it."""

from __future__ import annotations

import logging

import pytest

from otel_polar.errors import ConfigError
from otel_polar.service.kafka.consumer import consumer_config, open_consumer
from otel_polar.settings.serve import KafkaSettings

SECRET = "correct-horse-battery-staple"


def with_properties(**properties: str) -> KafkaSettings:
    return KafkaSettings(
        brokers="127.0.0.1:9",
        properties=tuple((name.replace("_", "."), value) for name, value in properties.items()),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.auto.commit", "true"),
        ("auto.commit.enable", "true"),
        ("enable.auto.offset.store", "true"),
        ("group.id", "another"),
        ("bootstrap.servers", "another:9092"),
        ("metadata.broker.list", "another:9092"),
        ("auto.offset.reset", "latest"),
        ("auto.offset.reset", "error"),
    ],
)
def test_what_would_break_a_promise_cannot_be_set(name: str, value: str) -> None:
    """Offsets that are committed by themselves are calls that are lost; and a name that is told twice is a riddle."""
    with pytest.raises(ConfigError, match=rf"serve\.kafka\.properties: {name} "):
        consumer_config(KafkaSettings(brokers="127.0.0.1:9", properties=((name, value),)))


def test_other_properties_pass_through() -> None:
    """Whoever runs Kafka knows why: certificates, mechanisms, static members, timeouts."""
    config = consumer_config(with_properties(security_protocol="SASL_SSL", group_instance_id="replica-1"))

    assert config["security.protocol"] == "SASL_SSL"
    assert config["group.instance.id"] == "replica-1"
    assert config["partition.assignment.strategy"] == "cooperative-sticky"
    assert config["auto.offset.reset"] == "earliest"


def test_by_the_newer_protocol_the_brokers_assign() -> None:
    """A strategy of the client's beside it is refused by librdkafka."""
    settings = with_properties(group_protocol="consumer")

    assert "partition.assignment.strategy" not in consumer_config(settings)
    open_consumer(settings, on_error=print, on_commit=print).close()


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"no_such_property": "1"}, "No such configuration property"),
        ({"security_protocol": "carrier-pigeon"}, "security.protocol"),
        ({"security_protocol": "SSL", "ssl_key_pem": SECRET}, "ssl.key.pem failed"),
    ],
)
def test_a_property_that_librdkafka_refuses_is_named_and_a_secret_is_not(
    properties: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is printed where the command is started, which others may read."""
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError) as raised:
        open_consumer(with_properties(**properties), on_error=print, on_commit=print)

    assert said in str(raised.value)
    assert SECRET not in str(raised.value) + caplog.text
    assert raised.value.__cause__ is None
