"""What a customer has left, from what Polar said, what it has not counted yet, and what this machine knows.

Polar answers two questions about usage. The customer's *state* has what was credited and consumed, but is brought up to
date 15 seconds after the last event of a customer who rests and up to three hours later for one who never does. A
*quantity* of the meter is counted at the moment it is asked for, but since the beginning of time, while the state
begins anew with each billing period. The difference between both, ``offset``, changes by nothing but such a beginning,
so the smallest one that was seen tells how much of the quantity belongs to earlier periods::

    quantity ├────────── earlier periods ──────────┼──── consumed, as the state has it ────┼─ not counted yet ─┤
                          offset                                                            part of ``pending``

It is at least as large as the true one: at the first look it may hide what had not been counted at that very moment.
From then on everything that any machine sends is seen at once. What this machine sent since the state was counted is
in its outbox, and is added at the first look, too.

Sources: polarsource/polar, server/polar/customer_meter/service.py, server/polar/meter/service.py and
server/polar/config.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Final, NamedTuple

from otel_polar.billing.money import EXACT

ZERO: Final = Decimal(0)
BASELINE_S: Final = 3_600.0
"""For so long an offset holds without being looked at: a new billing period may have begun unseen."""


class Reading(NamedTuple):
    """What Polar said of one customer and one meter. Units are the meter's, times Unix seconds by our clock.

    ``polar_id`` is Polar's own id of the customer; ``None`` if there is no such customer. ``is_known`` says whether the
    meter is active for the customer. ``asked_at`` is before the first of the requests. ``counted_at`` is when Polar
    brought the state up to date, if it says so. ``quantity`` and ``offset`` are ``None`` where Polar did not say.
    """

    asked_at: float
    is_known: bool = False
    polar_id: str | None = None
    credited: Decimal = ZERO
    consumed: Decimal = ZERO
    counted_at: float | None = None
    quantity: Decimal | None = None
    offset: Decimal | None = None

    def following(self, previous: Reading | None) -> Reading:
        """The same with the smallest offset seen in this billing period, which *previous* may have."""
        if self.quantity is None:
            return self if previous is None else self._replace(offset=previous.offset)
        offset = EXACT.subtract(self.quantity, self.consumed)
        if previous is not None and previous.offset is not None and not self._is_new_period(previous):
            offset = min(offset, previous.offset)
        return self._replace(offset=offset)

    def _is_new_period(self, previous: Reading) -> bool:
        return (
            self.consumed < previous.consumed
            or self.credited < previous.credited
            or not 0 <= self.asked_at - previous.asked_at <= BASELINE_S
        )

    def used(self, sent_since_counted: Decimal) -> Decimal:
        """Everything Polar has, counted or not; *sent_since_counted* is what this machine sent since ``counted_at``."""
        seen = EXACT.add(self.consumed, sent_since_counted)
        if self.quantity is None:
            return seen
        if self.offset is not None:
            seen = max(seen, EXACT.subtract(self.quantity, self.offset))
        # Nobody has used more than was ever used; the time of counting is not exact.
        return max(self.consumed, min(seen, self.quantity))


class OwnUsage(NamedTuple):
    """What the outboxes of this machine tell of a customer and a meter.

    ``waiting`` is not on Polar, or was not when Polar was asked; ``sent_since_counted`` was sent before that, but after
    Polar had brought the customer's state up to date.
    """

    waiting: Decimal = ZERO
    sent_since_counted: Decimal = ZERO


NOTHING: Final = OwnUsage()


@dataclass(frozen=True, slots=True)
class Balance:
    """A customer's credits with one meter, in its units: billionths of a dollar for one that sums ``cost_nanos``.

    Args:
        credited: what the customer was given in this billing period.
        consumed: what Polar's state has counted of it.
        balance: the difference, as Polar shows it; negative once more was used than credited.
        pending: used, and not in ``consumed`` yet: what Polar has not counted, and what waits in the outboxes.
        reserved: promised to calls that are being made, on this machine.
        as_of: when Polar was asked.
        is_stale: whether that is longer ago than ``max_age_s``, because Polar could not be asked since.
        is_known: whether Polar knows the customer, and the meter is active for it.
    """

    credited: Decimal
    consumed: Decimal
    balance: Decimal
    pending: Decimal
    reserved: Decimal
    as_of: datetime
    is_stale: bool = False
    is_known: bool = True

    @property
    def available(self) -> Decimal:
        """What a new call may use; negative once more was used than credited."""
        with localcontext(EXACT):
            return self.balance - self.pending - self.reserved


def balance_of(reading: Reading, own: OwnUsage, reserved: Decimal, *, is_stale: bool) -> Balance:
    """All of it together."""
    with localcontext(EXACT):
        balance = reading.credited - reading.consumed
        pending = reading.used(own.sent_since_counted) - reading.consumed + own.waiting
    return Balance(
        credited=reading.credited,
        consumed=reading.consumed,
        balance=balance,
        pending=pending,
        reserved=reserved,
        as_of=datetime.fromtimestamp(reading.asked_at, UTC),
        is_stale=is_stale,
        is_known=reading.is_known,
    )
