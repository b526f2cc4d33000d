"""Spans from a Kafka topic, as the Collector's kafka exporter writes them there (encoding ``otlp_proto``).

::

    poll ──▶ read ──▶ in hand ──▶ outbox, on disk ──▶ offsets committed
                        │             │ refused: partitions rest, membership goes on, the same is tried again
                        └─ revoked: what was held for its time is brought to the disk; the rest is the next owner's

An offset is committed when the calls before it are on disk and never before, so a message is delivered at least once,
and billed once by its calls' external ids. A message that is no OTLP is said and skipped; it stays in the topic for as
long as that keeps it. One that cannot be read for another reason stops its own partition until it can.

Everything happens on one daemon thread, Kafka's callbacks too: they come while it polls.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.notices import Notices, describe, logger
from otel_polar.errors import OutboxError
from otel_polar.service.kafka.consumer import open_consumer
from otel_polar.service.kafka.hand import Hand
from otel_polar.service.kafka.offsets import Offsets, partition_of, place_of
from otel_polar.service.kafka.troubles import Troubles
from otel_polar.service.origin import SpansFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

    from otel_polar.service.kafka.hand import Place
    from otel_polar.service.reading import CallsRead
    from otel_polar.settings.serve import KafkaSettings

POLL_S: Final = 0.2
GATHER_S: Final = 1.0
"""For how long a batch is gathered, about."""

FIRST_RETRY_S: Final = 0.5
LAST_RETRY_S: Final = 30.0
LOOK_S: Final = 1.0
"""How often lag, brokers that were down, and offsets that were not confirmed are looked after."""

TELL_AGAIN_S: Final = 10.0
MAX_SAID: Final = 10


class KafkaSource:
    """A member of the consumer group, from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        read: Callable[[bytes], CallsRead],
        commit: Callable[[Sequence[str]], None],
        notices: Notices | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take what *read* makes of each message to *commit*, which returns when it is on disk.

        Raises:
            ConfigError: if a property of librdkafka cannot be used, or the extra ``kafka`` is missing.
        """
        self._topic = settings.topic
        self._read = read
        self._commit = commit
        self._jitter = jitter
        self.counts: Counter[str] = Counter()
        """``messages``, their ``bytes``, ``calls`` recorded from them, messages that were ``unreadable`` and skipped,
        ``unreadable_spans`` in others, and messages that were ``deleted`` from the topic before they were read.
        """
        self.assigned = 0
        """How many partitions are read here."""
        self.lag = 0
        """How many messages of those are not on disk, as far as the last fetch has told."""
        self._troubles = Troubles(settings.brokers or "", settings.topic, notices or Notices())
        self._hand = Hand()
        self._resting: dict[Place, tuple[int, float]] = {}
        self._failures = 0
        self._try_at = 0.0
        self._look_at = 0.0
        self._tell_at = 0.0
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-polar-kafka", daemon=True)
        self._consumer = open_consumer(
            settings,
            on_error=self._troubles.see,
            on_commit=self._on_commit,
        )
        self._offsets = Offsets(self._consumer)

    @property
    def problem(self) -> str | None:
        """Why nothing can be taken from Kafka now, in a few words."""
        if not self._thread.is_alive():
            return self._troubles.worst or "the Kafka consumer does not run"
        return self._troubles.worst

    @property
    def is_ready(self) -> bool:
        """Whether messages are taken; also if there are none, or other members have all partitions."""
        return self.problem is None

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Bring to the disk what is in hand, commit, and leave the group, within the time; whether that was done."""
        self._is_stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        while not self._is_stopping.is_set() and not self._troubles.is_fatal:
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - the thread must live, whatever Kafka's client answers
                self._troubles.begin("turn", "the Kafka consumer failed (%s); it goes on", describe(error))
                self._is_stopping.wait(FIRST_RETRY_S)
            else:
                self._troubles.end("turn")
        try:
            self._bring_to_disk()
            # Revokes what is assigned: see there.
            self._consumer.close()
        except Exception as error:  # noqa: BLE001 - it ends anyhow, and what is not committed comes again
            logger.warning("the Kafka consumer could not leave its group (%s)", describe(error))

    def _turn(self) -> None:
        if self._is_held_up:
            # Again and again, for others may have been assigned.
            self._consumer.pause(self._consumer.assignment())
        deadline = time.monotonic() + GATHER_S
        message = self._consumer.poll(POLL_S)
        while message is not None:
            self._take(message)
            if self._hand.is_full or time.monotonic() > deadline:
                break
            message = self._consumer.poll(0)
        if time.monotonic() >= self._try_at:
            self._bring_to_disk()
        self._look_after()

    @property
    def _is_held_up(self) -> bool:
        return self._failures > 0

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            self._troubles.see_instead_of_message(error)
            return
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and partition is not None and offset is not None  # noqa: S101, PT018 - it is no error
        place, value = (topic, partition), message.value()
        if place in self._resting:
            # One before it has yet to be read.
            return
        try:
            self.counts["deleted"] += self._offsets.come_to(place, offset)
            found = None if value is None else self._read(value)
        except SpansFormatError:
            found = None
        except Exception as unexpected:  # noqa: BLE001 - not this message's fault, as far as can be told
            self._rest(place, offset, unexpected)
            return
        self._troubles.end_those_of_consuming()
        size = len(value or b"")
        self._hand.take(place, offset, _key_of(message), None if found is None else found.calls, time.monotonic())
        self._offsets.have_read(place, offset)
        self.counts["messages"] += 1
        self.counts["bytes"] += size
        self.counts["unreadable_spans"] += 0 if found is None else found.unreadable

    def _rest(self, place: Place, offset: int, error: Exception) -> None:
        """Come back to a message later, and to all behind it: other partitions go on."""
        self._resting[place] = offset, time.monotonic() + LAST_RETRY_S
        self._troubles.begin(
            f"rest:{place}",
            "%s, partition %d, stands still before offset %d, which cannot be read now: %s",
            *place,
            offset,
            describe(error),
        )
        self._consumer.pause([partition_of(place)])

    def _wake(self) -> None:
        now = time.monotonic()
        for place, (offset, until) in list(self._resting.items()):
            if until <= now and not self._is_held_up:
                self._consumer.seek(partition_of(place, offset))
                self._consumer.resume([partition_of(place)])
                # Not before: what comes from behind it would be taken.
                del self._resting[place]
                self._troubles.end(f"rest:{place}")

    def _bring_to_disk(self) -> None:
        """A portion of the hand to the outbox, and only then its offsets to Kafka; or wait a while and try again."""
        portion = self._hand.portion(time.monotonic())
        if not portion.counts:
            if not self._hand:
                # Everything that the disk has refused went to another member.
                self._go_on()
            return
        try:
            if portion.calls:
                self._commit(portion.calls)
        except Exception as error:  # noqa: BLE001 - whatever it is: it is not on disk
            why = str(error) if isinstance(error, OutboxError) else describe(error)
            self._troubles.begin("disk", "%s. Messages stay in Kafka, and are tried again", why)
            wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2**self._failures)
            self._failures += 1
            self._try_at = time.monotonic() + wait_s * (0.5 + self._jitter() / 2)
            return
        self.counts["calls"] += len(portion.calls)
        self._say_unreadable(portion.unreadable)
        self._offsets.advance(portion.next_offsets)
        self._hand.remove(portion)
        self._go_on()
        self._tell()

    def _go_on(self) -> None:
        if self._is_held_up:
            self._failures, self._try_at = 0, 0.0
            self._troubles.end("disk")
            self._consumer.resume([each for each in self._consumer.assignment() if place_of(each) not in self._resting])

    def _say_unreadable(self, messages: Sequence[tuple[Place, int]]) -> None:
        if not messages:
            return
        self.counts["unreadable"] += len(messages)
        said = [f"{topic}, partition {number}, offset {offset}" for (topic, number), offset in messages[:MAX_SAID]]
        logger.error(
            "%d messages are no traces in the encoding otlp_proto, or too large, and are skipped: %s%s",
            len(messages),
            "; ".join(said),
            "; …" if len(messages) > MAX_SAID else "",
        )

    def _tell(self) -> None:
        self._tell_at = time.monotonic() + TELL_AGAIN_S
        self._offsets.tell()

    def _look_after(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        if now >= self._tell_at:
            self._tell()
        self._wake()
        if self._troubles.asks_for_brokers:
            self._troubles.ask(self._consumer)
        assigned = self._consumer.assignment()
        self.assigned = len(assigned)
        self.lag = sum(map(self._offsets.lag, assigned))

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._troubles.end_those_of_consuming()
        self._forget(map(place_of, partitions))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = [place_of(partition) for partition in partitions]
        # What is raised here would come out of the poll, and might cost the message that it holds.
        try:
            self._bring_to_disk()
            self._offsets.tell_and_wait(places)
        except Exception as error:  # noqa: BLE001 - see above
            logger.warning("partitions could not be given up well (%s): messages come again", describe(error))
        # With what the disk has not taken.
        self._forget(places)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """They have another owner already, who gets what is in hand, too."""
        self._forget(map(place_of, partitions))

    def _forget(self, places: Iterable[Place]) -> None:
        gone = list(places)
        self._hand.drop(gone)
        self._offsets.forget(gone)
        for place in gone:
            if self._resting.pop(place, None) is not None:
                self._troubles.end(f"rest:{place}")

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._offsets.confirm(error, partitions)


def _key_of(message: Message) -> bytes | None:
    key = message.key()
    return key.encode() if isinstance(key, str) else key
