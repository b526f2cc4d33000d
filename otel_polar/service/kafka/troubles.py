"""What is wrong between here and Kafka: said once, and once more when it is over; and the reason for ``/readyz``.

librdkafka tells the same every second, and that something is over not at all: brokers are asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.service.kafka.consumer import describe_error

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

    from otel_polar.delivery.notices import Notices

ASK_S: Final = 1.0

_BROKERS: Final = "brokers"
_TOPIC: Final = "topic"
_GROUP: Final = "group"
_FATAL: Final = "fatal"


class Troubles:
    """Of one consumer."""

    def __init__(self, brokers: str, topic: str, notices: Notices) -> None:
        self._brokers = brokers
        self._topic = topic
        self._notices = notices
        self._present: dict[str, str] = {}

    @property
    def worst(self) -> str | None:
        """The one that began first, if there is any."""
        return next(iter(list(self._present.values())), None)

    @property
    def is_fatal(self) -> bool:
        """Whether this consumer can do nothing any more."""
        return _FATAL in self._present

    @property
    def asks_for_brokers(self) -> bool:
        """Whether the end of something is only found out by asking."""
        return _BROKERS in self._present or _TOPIC in self._present

    def begin(self, kind: str, message: str, *arguments: object) -> None:
        """Something does not work that needs a person, or a disk with room."""
        self._present.setdefault(kind, message % arguments)
        self._notices.error(f"kafka:{kind}", message, *arguments)

    def end(self, kind: str) -> None:
        """It works again."""
        if self._present.pop(kind, None) is not None:
            self._notices.over(f"kafka:{kind}", "%s of Kafka: messages are taken again", self._topic)

    def end_those_of_consuming(self) -> None:
        """A message has come, or a partition."""
        if self._present:
            for kind in (_BROKERS, _TOPIC, _GROUP):
                self.end(kind)

    def see_instead_of_message(self, error: KafkaError) -> None:
        """What librdkafka says where a message was asked for: each of these needs somebody to know of it."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - an extra

        before = dict(self._present)
        self.see(error)
        if self._present == before and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
            self._warn(_GROUP, f"{self._topic} of Kafka cannot be read ({describe_error(error)})")

    def see(self, error: KafkaError) -> None:
        """What librdkafka says on its own account. Of one broker among several, it says more than matters."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - an extra

        code, what = error.code(), describe_error(error)
        if error.fatal() or code == KafkaError._FATAL:  # noqa: SLF001 - its name
            self.begin(
                _FATAL,
                "Kafka refuses this member for good (%s), as it does when another process has the same"
                " group.instance.id. Nothing is taken from Kafka until this one is started again",
                what,
            )
        elif code in {KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL}:  # noqa: SLF001 - its names
            self._warn(_BROKERS, f"Kafka at {self._brokers} cannot be reached ({what})")
        elif code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED}:
            self._warn(_TOPIC, f"the topic {self._topic} of Kafka at {self._brokers} cannot be read ({what})")
        elif code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self.begin(_GROUP, "the consumer group may not be joined: %s", what)

    def ask(self, consumer: Consumer) -> None:
        """Ask the brokers for the topic, and see whether they answer."""
        from confluent_kafka import KafkaException  # noqa: PLC0415 - an extra

        try:
            topic = consumer.list_topics(self._topic, timeout=ASK_S).topics[self._topic]
        except (KafkaException, KeyError):
            return
        self.end(_BROKERS)
        if topic.error is None:
            self.end(_TOPIC)

    def _warn(self, kind: str, what: str) -> None:
        self._present.setdefault(kind, what)
        self._notices.warn(f"kafka:{kind}", "%s; it is tried again, and nothing is lost", what)
