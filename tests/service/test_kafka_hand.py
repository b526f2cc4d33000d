"""Specifies what is between Kafka and the disk."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from otel_polar.service.kafka.hand import HOLD_S, MAX_CHARACTERS, MAX_MESSAGES, Hand

ONE, OTHER = ("otlp_spans", 0), ("otlp_spans", 1)
LATER: Final = HOLD_S


def test_the_next_offset_of_a_partition_is_behind_its_last_message() -> None:
    """Kafka's offset is that of the message to read next."""
    hand = Hand()
    hand.take(ONE, 7, b"1", ["a"], 0.0)
    hand.take(OTHER, 3, b"2", ["b", "c"], 0.0)
    hand.take(ONE, 8, b"3", None, 0.0)

    portion = hand.portion(LATER)

    assert sorted(portion.calls) == ["a", "b", "c"]
    assert portion.next_offsets == {ONE: 9, OTHER: 4}
    assert portion.unreadable == [(ONE, 8)]
    hand.remove(portion)
    assert not hand


def test_a_message_is_held_for_a_while() -> None:
    """The other span of its call is in the message behind it."""
    hand = Hand()
    hand.take(ONE, 7, b"trace", ["a"], 0.0)

    assert hand.portion(LATER - 0.01).counts == {}
    assert hand.portion(LATER).calls == ["a"]


def test_messages_of_one_key_come_together() -> None:
    """Alone in another outbox the second would be another event."""
    hand = Hand()
    hand.take(ONE, 1, b"other", ["o"], 0.0)
    hand.take(ONE, 2, b"trace", ["a"], 0.0)
    hand.take(ONE, 3, b"third", ["t"], 0.0)
    hand.take(ONE, 4, b"trace", ["b"], 0.5)

    first = hand.portion(LATER)
    assert (first.calls, first.next_offsets) == (["o"], {ONE: 2})
    hand.remove(first)
    rest = hand.portion(LATER + 0.5)
    assert (rest.calls, rest.next_offsets) == (["a", "t", "b"], {ONE: 5})


def test_messages_without_calls_are_held_as_one_and_wait_for_nothing() -> None:
    """Of a fleet's messages most have none."""
    hand = Hand()
    for offset in range(MAX_MESSAGES + 1):
        hand.take(ONE, offset, b"%d" % offset, [], 0.0)

    assert not hand.is_full
    assert hand.portion(0.0).next_offsets == {ONE: MAX_MESSAGES + 1}


def test_an_offset_is_never_behind_a_message_that_is_held() -> None:
    """It would be passed over after a crash."""
    hand = Hand()
    hand.take(ONE, 1, b"a", [], 0.0)
    hand.take(ONE, 2, b"b", ["b"], 0.0)
    hand.take(ONE, 3, b"c", [], 0.0)

    assert hand.portion(0.0).next_offsets == {ONE: 2}


def test_what_goes_to_another_member_leaves_nothing_behind() -> None:
    """It would be billed by both, and its offset be committed by the wrong one."""
    hand = Hand()
    hand.take(ONE, 7, b"1", ["a"], 0.0)
    hand.take(OTHER, 3, b"2", ["b"], 0.0)
    hand.drop([ONE])

    portion = hand.portion(LATER)
    assert (portion.calls, portion.next_offsets) == (["b"], {OTHER: 4})


def test_a_hand_is_full_by_messages_or_by_what_was_read_from_them() -> None:
    """A batch of large messages must not take all memory, nor one of small ones last; most of it goes at once then."""
    many, large = Hand(), Hand()
    for offset in range(MAX_MESSAGES):
        assert not many.is_full
        many.take(ONE, offset, b"%d" % offset, ["x"], 0.0)
    large.take(ONE, 0, b"1", ["x" * MAX_CHARACTERS], 0.0)

    assert [many.is_full, large.is_full] == [True, True]
    for hand, left in ((many, MAX_MESSAGES // 4), (large, 0)):
        portion = hand.portion(0.0)
        hand.remove(portion)
        assert not hand.is_full
        assert len(hand.portion(LATER).calls) == left


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([None, b"a", b"b", b"c"]), st.booleans(), st.floats(0, 3)), max_size=12
    ),
    now=st.floats(0, 5),
)
def test_a_portion_parts_no_key_and_is_the_beginning_of_what_came(
    messages: list[tuple[bytes | None, bool, float]], now: float
) -> None:
    """Whatever came when."""
    hand = Hand()
    times = sorted(at for _, _, at in messages)
    for offset, ((key, has_calls, _), at) in enumerate(zip(messages, times, strict=True)):
        hand.take(ONE, offset, key, [str(offset)] if has_calls else [], at)

    end = hand.portion(now).next_offsets.get(ONE, 0)

    gone = {key for key, has_calls, _ in messages[:end] if has_calls and key is not None}
    assert gone.isdisjoint(key for key, has_calls, _ in messages[end:] if has_calls)
    assert hand.portion(now).calls == [str(n) for n, (_, has_calls, _) in enumerate(messages[:end]) if has_calls]
    assert all(at <= now - HOLD_S for (_, has_calls, _), at in zip(messages[:end], times, strict=False) if has_calls)
