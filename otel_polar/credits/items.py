"""What an event counts: whose it is, how much, and since when Polar has it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from otel_polar.credits.figures import ZERO
from otel_polar.credits.payer import payer_in
from otel_polar.delivery.looking.seen import read_body

if TYPE_CHECKING:
    from decimal import Decimal

    from otel_polar.credits.metering import MeterRule


class Item(NamedTuple):
    """An event that counts, and when Polar had it (Unix seconds), ``None`` if it does not yet."""

    payer: str
    amount: Decimal
    sent_at: float | None

    @classmethod
    def of(cls, body: str | None, rule: MeterRule, *, sent_at: float | None) -> Item | None:
        """By the body of an event, in the units of the meter with that *rule*; ``None`` if nobody pays for it."""
        event = read_body(body)
        payer = None if event is None else payer_in(event)
        if event is None or payer is None:
            return None
        amount = ZERO
        # An event that a person has damaged counts nothing here; Polar refuses it.
        with suppress(ValueError, KeyError, TypeError, ArithmeticError):
            amount = rule.amount(event)
        return cls(payer, amount, sent_at)
