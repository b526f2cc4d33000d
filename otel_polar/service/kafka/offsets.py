"""How far each partition has come: read, on disk, and what Kafka knows of it.

::

    read       up to here messages have been taken; where the next one is not the next, some may have been deleted
    on disk    the outbox has their calls: this offset may be committed
    told       Kafka has confirmed it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import logger
from otel_polar.service.kafka.consumer import describe_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from confluent_kafka import Consumer, KafkaError, TopicPartition

    from otel_polar.service.kafka.hand import Place

ASK_S: Final = 5.0


class Offsets:
    """Of the partitions that are assigned to one consumer."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._read: dict[Place, int] = {}
        self._on_disk: dict[Place, int] = {}
        self._told: dict[Place, int] = {}

    def come_to(self, place: Place, offset: int) -> int:
        """A message is about to be read; how many before it were deleted before they could be."""
        expected = self._read.get(place)
        if expected == offset:
            return 0
        if expected is None:
            (committed,) = self._consumer.committed([partition_of(place)], timeout=ASK_S)
            expected = committed.offset
        if not 0 <= expected < offset:
            return 0
        low, _ = self._consumer.get_watermark_offsets(partition_of(place), timeout=ASK_S)
        # Not all of the gap: there are markers of transactions, and what was compacted.
        deleted = max(0, low - expected)
        if deleted:
            logger.error(
                "messages %d to %d of %s, partition %d, were deleted before they were read: CALLS IN THEM ARE LOST."
                " Let the topic keep them for longer (retention.ms, retention.bytes)",
                expected,
                low - 1,
                *place,
            )
        return deleted

    def have_read(self, place: Place, offset: int) -> None:
        """A message is in hand."""
        self._read[place] = offset + 1

    def advance(self, next_offsets: Mapping[Place, int]) -> None:
        """Everything before these is on disk."""
        self._on_disk |= next_offsets

    def tell(self) -> None:
        """Commit without waiting what is on disk: what is not confirmed is told again."""
        if untold := self._untold(self._on_disk):
            self._consumer.commit(offsets=untold, asynchronous=True)

    def tell_and_wait(self, places: Iterable[Place]) -> None:
        """Commit what is on disk of these partitions, before they go to another member."""
        from confluent_kafka import KafkaException  # noqa: PLC0415 - an extra

        untold = self._untold(places)
        if not untold:
            return
        try:
            self._consumer.commit(offsets=untold, asynchronous=False)
        except KafkaException as error:
            logger.warning(
                "offsets of %d partitions could not be committed (%s): their messages come again, and are billed once",
                len(untold),
                describe_error(error.args[0]),
            )

    def confirm(self, error: KafkaError | None, partitions: Iterable[TopicPartition]) -> None:
        """What Kafka answers to a commit; what it refuses is told again."""
        for partition in partitions:
            if error is None and partition.error is None:
                self._told[place_of(partition)] = partition.offset

    def forget(self, places: Iterable[Place]) -> None:
        """These partitions are somebody else's now: no offset of theirs may be committed from here."""
        for place in places:
            for known in (self._read, self._on_disk, self._told):
                known.pop(place, None)

    def lag(self, partition: TopicPartition) -> int:
        """How many messages of it are not on disk, as far as the last fetch has told."""
        next_offset = self._on_disk.get(place_of(partition))
        _, high = self._consumer.get_watermark_offsets(partition, cached=True)
        return 0 if next_offset is None else max(0, high - next_offset)

    def _untold(self, places: Iterable[Place]) -> list[TopicPartition]:
        return [
            partition_of(place, self._on_disk[place])
            for place in sorted(places)
            if place in self._on_disk and self._told.get(place) != self._on_disk[place]
        ]


def place_of(partition: TopicPartition) -> Place:
    """A partition as the key of a dictionary."""
    return partition.topic, partition.partition


def partition_of(place: Place, offset: int | None = None) -> TopicPartition:
    """A partition as librdkafka wants it, at an offset or at none."""
    from confluent_kafka import OFFSET_INVALID, TopicPartition  # noqa: PLC0415 - an extra

    return TopicPartition(*place, OFFSET_INVALID if offset is None else offset)
