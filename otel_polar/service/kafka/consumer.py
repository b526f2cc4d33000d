"""A consumer of librdkafka as the promises need it: what it is configured with, and what it may say.

Every property of librdkafka passes through (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md),
except those by which offsets would be committed before the calls are on disk, or messages be skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import logger
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import Consumer, KafkaError, TopicPartition

    from otel_polar.settings.serve import KafkaSettings

_OWN: Final[Mapping[str, str]] = {
    "bootstrap.servers": "set serve.kafka.brokers (OTEL_POLAR_SERVE_KAFKA_BROKERS) instead",
    "metadata.broker.list": "set serve.kafka.brokers (OTEL_POLAR_SERVE_KAFKA_BROKERS) instead",
    "group.id": "set serve.kafka.group (OTEL_POLAR_SERVE_KAFKA_GROUP) instead",
    "enable.auto.commit": "offsets are committed when the calls are on disk, and never before",
    "auto.commit.enable": "offsets are committed when the calls are on disk, and never before",
    "enable.auto.offset.store": "offsets are committed when the calls are on disk, and never before",
}
"""Properties that are not the user's, and why."""

_EARLIEST: Final = ("smallest", "earliest", "beginning")

_SECRETS: Final = ("password", "secret", "key", "token", "jaas", "oauthbearer.config")
"""Parts of the names of properties whose values are never repeated."""

_ASSIGNMENT: Final = "partition.assignment.strategy"

_DEFAULTS: Final[Mapping[str, str]] = {
    "client.id": "otel-polar",
    # Also of a topic that the Collector has yet to create.
    "topic.metadata.refresh.interval.ms": "30000",
    "reconnect.backoff.ms": "500",
}


def open_consumer(
    settings: KafkaSettings,
    *,
    on_error: Callable[[KafkaError], None],
    on_commit: Callable[[KafkaError | None, list[TopicPartition]], None],
) -> Consumer:
    """A consumer that is connected to its brokers in the background. The callbacks come while it is polled.

    Raises:
        ConfigError: if a property cannot be used, or the extra ``kafka`` is missing.
    """
    config = consumer_config(settings)
    try:
        from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            "a Kafka topic as source needs the extra kafka: pip install 'otel-polar[kafka]', or '.[kafka]' in a clone"
        ) from error
    try:
        return Consumer({**config, "error_cb": on_error, "on_commit": on_commit}, logger=_WithoutText())
    except KafkaException as error:
        raise ConfigError(f"serve.kafka.properties: {_without_secrets(error.args[0].str(), config)}") from None


def check_consumer(settings: KafkaSettings) -> None:
    """Whether there could be such a consumer. Whether the brokers answer is another question.

    Raises:
        ConfigError: as :func:`open_consumer`.
    """
    open_consumer(settings, on_error=lambda _: None, on_commit=lambda _error, _partitions: None).close()


def consumer_config(settings: KafkaSettings) -> dict[str, object]:
    """What librdkafka is configured with.

    Raises:
        ConfigError: if a property would break a promise.
    """
    properties = dict(settings.properties)
    for name, value in properties.items():
        if name in _OWN:
            raise ConfigError(f"serve.kafka.properties: {name} cannot be set: {_OWN[name]}")
        if name == "auto.offset.reset" and value not in _EARLIEST:
            raise ConfigError(
                f"serve.kafka.properties: auto.offset.reset is {value!r}: it must be 'earliest', or calls would be"
                " skipped"
            )
    # By the newer protocol the brokers assign, cooperatively.
    classic = {} if properties.get("group.protocol") == "consumer" else {_ASSIGNMENT: "cooperative-sticky"}
    return {
        **_DEFAULTS,
        **classic,
        "auto.offset.reset": "earliest",
        **properties,
        "bootstrap.servers": settings.brokers,
        "group.id": settings.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


class _WithoutText:
    """Takes librdkafka's log lines. Only what kind they are is kept: a broker's words in them may hold anything."""

    def log(self, _level: int, _form: str, kind: str, *_text: object) -> None:
        logger.debug("librdkafka: %s", kind)


def describe_error(error: KafkaError) -> str:
    """An error by librdkafka's own words for its code, and not those that came over the network."""
    from confluent_kafka import KafkaError  # noqa: PLC0415 - an extra

    return f"{error.name()}, {KafkaError(error.code()).str()}"


def _without_secrets(text: str, config: Mapping[str, object]) -> str:
    for name, value in config.items():
        if any(part in name for part in _SECRETS) and isinstance(value, str) and value:
            text = text.replace(value, "…")
    return text
