"""Specifies what a customer has left, worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from otel_polar.credits.figures import BASELINE_S, OwnUsage, Reading, balance_of

NOW = 1_790_856_000.0


def reading(consumed: int, quantity: int | None, *, after_s: float = 0.0, credited: int = 1_000) -> Reading:
    return Reading(
        NOW + after_s,
        is_known=True,
        polar_id="id",
        credited=Decimal(credited),
        consumed=Decimal(consumed),
        counted_at=NOW - 60,
        quantity=None if quantity is None else Decimal(quantity),
    )


@pytest.mark.parametrize(
    ("looks", "own", "used", "why"),
    [
        ([(100, 100)], 0, 100, "all is counted"),
        ([(100, 5_100)], 0, 100, "the first look: what is not counted cannot be told from earlier periods"),
        ([(100, 5_100)], 40, 140, "but what this machine has sent since is known"),
        ([(100, 5_100), (100, 5_150)], 0, 150, "what anybody sends afterwards is seen at once"),
        ([(100, 5_100), (100, 5_150)], 30, 150, "which has what this machine has sent in it"),
        ([(100, 5_100), (140, 5_150)], 0, 150, "Polar has counted a part of it"),
        ([(100, 5_100), (150, 5_150)], 0, 150, "and then all of it"),
        ([(100, 5_100), (150, 5_120)], 0, 150, "more was counted than was seen: the first look was late"),
        ([(100, 5_100), (150, 5_120), (150, 5_140)], 0, 170, "from then on it is exact"),
        ([(100, 5_100), (0, 5_150)], 0, 0, "a new billing period"),
        ([(100, 5_100), (0, 5_150), (0, 5_160)], 0, 10, "in which it begins anew"),
        ([(0, 0), (0, 80)], 500, 80, "nobody has used more than was ever used"),
        ([(100, None)], 40, 140, "a token that may not read meters"),
    ],
)
def test_what_was_used_is_worked_out_of_two_numbers(
    looks: list[tuple[int, int | None]], own: int, used: int, why: str
) -> None:
    """One lags, and the other one has earlier billing periods in it."""
    known: Reading | None = None
    for number, (consumed, quantity) in enumerate(looks):
        known = reading(consumed, quantity, after_s=30.0 * number).following(known)

    assert known is not None
    assert known.used(Decimal(own)) == used, why


def test_after_an_hour_unseen_the_offset_is_found_anew() -> None:
    """A billing period may have begun and been used up in between."""
    first = reading(100, 5_100).following(None)

    assert reading(300, 5_900, after_s=BASELINE_S).following(first).used(Decimal(0)) == 900
    assert reading(300, 5_900, after_s=BASELINE_S + 1).following(first).used(Decimal(0)) == 300


def test_fewer_credits_are_a_new_billing_period() -> None:
    """Credits are only taken back as a whole."""
    first = reading(0, 5_100).following(None)

    assert reading(10, 5_500, after_s=1, credited=999).following(first).used(Decimal(0)) == 10


def test_what_is_available_is_what_nothing_else_has_a_claim_on() -> None:
    """Credited, less counted, less used and not counted, less waiting, less reserved."""
    known = reading(100, 5_150).following(reading(100, 5_100).following(None))

    balance = balance_of(known, OwnUsage(Decimal(7), Decimal(30)), Decimal(500), is_stale=False)

    assert [balance.credited, balance.consumed, balance.balance] == [1_000, 100, 900]
    assert [balance.pending, balance.reserved, balance.available] == [57, 500, 343]
    assert balance.as_of.timestamp() == NOW
