"""Messages that have been read and are not on disk: their offsets are not committed, so Kafka delivers them again.

Two spans that tell of one call must come to one outbox, or it is billed twice. But the Collector's exporter makes a
message of each trace of each *scope* (contrib, pkg/batchpersignal), so that they are in two messages, one closely
behind the other in a partition. If the process is killed between them, or the partition goes to another member, the
second one must not come alone. So a message is kept in hand for a second, and messages with the same key, which is the
trace id, come to the disk in one commit, which is there as a whole or not at all; offsets are committed up to there.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Place: TypeAlias = tuple[str, int]
"""A topic, and the number of a partition."""

HOLD_S: Final = 1.0
MAX_MESSAGES: Final = 20_000
MAX_CHARACTERS: Final = 16 * 2**20
"""Of calls in hand: some 20,000. When there are more, three quarters go to the disk before their time."""


class _Message(NamedTuple):
    """``calls`` is ``None`` if it is no OTLP. Several without calls are one, with the offset of the last."""

    offset: int
    key: bytes | None
    calls: list[str] | None
    at: float


class Portion(NamedTuple):
    """What comes to the disk at once: the first so many messages of each partition."""

    calls: list[str]
    next_offsets: dict[Place, int]
    unreadable: list[tuple[Place, int]]
    counts: dict[Place, int]


class Hand:
    """By partition, in the order in which they came."""

    def __init__(self) -> None:
        self._messages: dict[Place, list[_Message]] = {}
        self._count = 0
        self._characters = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return self._count >= MAX_MESSAGES or self._characters >= MAX_CHARACTERS

    def take(self, place: Place, offset: int, key: bytes | None, calls: list[str] | None, now: float) -> None:
        """One more message, and the calls that were read from it; ``None`` if it is no OTLP."""
        messages = self._messages.setdefault(place, [])
        if calls == [] and messages and messages[-1].calls == []:
            messages[-1] = _Message(offset, None, calls, now)
            return
        # Without calls it belongs to no other message.
        messages.append(_Message(offset, key if calls else None, calls, now))
        self._count += 1
        self._characters += sum(map(len, calls or ()))

    def portion(self, now: float) -> Portion:
        """What has been held for long enough, without parting messages of one key."""
        portion = Portion([], {}, [], {})
        for place, messages in self._messages.items():
            if self.is_full:
                count = _up_to(messages, len(messages) * 3 // 4) or len(messages)
            else:
                count = _up_to(messages, sum(1 for _ in takewhile(lambda message: _is_ripe(message, now), messages)))
            if count:
                portion.counts[place] = count
                portion.next_offsets[place] = messages[count - 1].offset + 1
                for message in messages[:count]:
                    portion.calls.extend(message.calls or ())
                    if message.calls is None:
                        portion.unreadable.append((place, message.offset))
        return portion

    def remove(self, portion: Portion) -> None:
        """It is on disk."""
        for place, count in portion.counts.items():
            del self._messages[place][:count]
        self._count_anew()

    def drop(self, places: Iterable[Place]) -> None:
        """These partitions are somebody else's: Kafka delivers their messages to them."""
        for place in places:
            self._messages.pop(place, None)
        self._count_anew()

    def _count_anew(self) -> None:
        self._messages = {place: messages for place, messages in self._messages.items() if messages}
        every = [message for messages in self._messages.values() for message in messages]
        self._count = len(every)
        self._characters = sum(len(call) for message in every for call in message.calls or ())


def _is_ripe(message: _Message, now: float) -> bool:
    # There is nothing to come together with one without calls.
    return not message.calls or message.at <= now - HOLD_S


def _up_to(messages: Sequence[_Message], limit: int) -> int:
    """How many of the first *limit* may go: as many as possible with none of their keys among those that stay."""
    last = {message.key: place for place, message in enumerate(messages) if message.key is not None}
    found = reach = 0
    for place, message in enumerate(messages[:limit]):
        if message.key is not None:
            reach = max(reach, last[message.key])
        if reach <= place:
            found = place + 1
    return found
