"""Specifies which events belong together."""

from __future__ import annotations

import pytest

from otel_polar.reconciliation.pairing import Event, pair_close, pair_loose


def events(text: str, *, is_traced: bool = True) -> list[Event]:
    """``A1`` is content A of customer 1; numbers count from 0."""
    return [Event(number, word[0].encode(), word[1], is_traced) for number, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("here", "there", "equal", "differing", "doubled", "left_here", "left_there", "why"),
    [
        ("A1", "A1", [(0, 0)], [], [], 0, 0, "the same"),
        ("A1", "", [], [], [], 1, 0, "not there"),
        ("", "A1 A1", [], [], [], 0, 2, "not here: each of them"),
        ("A1", "A1 A1", [(0, 0)], [], [(0, 1)], 0, 0, "one too many"),
        ("A1", "B1 A1", [(0, 1)], [], [(0, 0)], 0, 0, "the equal one first, wherever it stands"),
        ("A1", "B1", [], [(0, 0)], [], 0, 0, "changed"),
        ("A1 A2", "A2 B1", [(1, 0)], [(0, 1)], [], 0, 0, "changed, of the same customer"),
        ("A1", "A2", [], [(0, 0)], [], 0, 0, "somebody else pays"),
        ("A1 A1", "A1", [(0, 0)], [], [], 1, 0, "sent twice, there once"),
    ],
)
def test_events_of_one_identity(
    here: str,
    there: str,
    equal: list[tuple[int, int]],
    differing: list[tuple[int, int]],
    doubled: list[tuple[int, int]],
    left_here: int,
    left_there: int,
    why: str,
) -> None:
    """Each event has one partner at most, and every one is accounted for."""
    pairs = pair_close(events(here), events(there))

    assert (pairs.equal, pairs.differing, pairs.doubled) == (equal, differing, doubled), why
    assert (len(pairs.left_here), len(pairs.left_there)) == (left_here, left_there)


@pytest.mark.parametrize(
    ("here", "there", "is_traced", "differing"),
    [
        ("A1", "B1", True, 1),
        ("A1", "B2", True, 1),
        ("A1", "B1", False, 1),
        # A time and a name are shared by many.
        ("A1", "B2", False, 0),
        ("A1 A1", "B1", True, 1),
    ],
)
def test_what_is_left_over(here: str, there: str, is_traced: bool, differing: int) -> None:  # noqa: FBT001 - a table
    """A span is enough to be one event; a time and a name are not."""
    pairs = pair_loose(events(here, is_traced=is_traced), events(there, is_traced=is_traced))

    assert len(pairs.differing) == differing
    assert len(pairs.left_here) == len(here.split()) - differing


def test_a_hundred_thousand_of_one_identity_take_no_longer_than_others() -> None:
    """An emitter without span ids must not make it take for ever."""
    many = [Event(number, b"A", "1") for number in range(100_000)]

    assert len(pair_close(many, many[1:]).left_here) == 1
