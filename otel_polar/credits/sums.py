"""How much each of those who pay has used, of what this machine knows, to go with what Polar said at any moment."""

from __future__ import annotations

from bisect import bisect_left
from decimal import localcontext
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from otel_polar.billing.money import EXACT
from otel_polar.credits.figures import ZERO, OwnUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal

    from otel_polar.credits.items import Item


class Sums(NamedTuple):
    """Of one who pays: what is not sent, and when what was sent since, as sums of all that came later."""

    unsent: Decimal
    times: list[float]
    sums: list[Decimal]

    @classmethod
    def of(cls, items: Iterable[Item]) -> Sums:
        """Of all items of one who pays."""
        unsent = ZERO
        sent: list[tuple[float, Decimal]] = []
        for item in items:
            if item.sent_at is None:
                unsent += item.amount
            else:
                sent.append((item.sent_at, item.amount))
        sent.sort()
        sums = [*accumulate((amount for _, amount in reversed(sent)), initial=ZERO)]
        return cls(unsent, [sent_at for sent_at, _ in sent], sums[::-1])

    def sent_since(self, at: float) -> Decimal:
        """How much Polar got at that moment (Unix seconds) and later."""
        return self.sums[bisect_left(self.times, at)]


def sums_of(items: Iterable[Item]) -> dict[str, Sums]:
    """By who pays (see :func:`~otel_polar.credits.payer.payer_of`)."""
    by_payer: dict[str, list[Item]] = {}
    for item in items:
        by_payer.setdefault(item.payer, []).append(item)
    # Not by the context of the application, which may round.
    with localcontext(EXACT):
        return {payer: Sums.of(own) for payer, own in by_payer.items()}


def own_usage(
    by_payer: Mapping[str, Sums], payers: Sequence[str], *, asked_at: float, counted_at: float | None
) -> OwnUsage:
    """Of all *payers*, who are one customer: what Polar did not have when it was asked, or had not counted."""
    waiting, sent = ZERO, ZERO
    for payer in payers:
        if (known := by_payer.get(payer)) is not None:
            late = known.sent_since(asked_at)
            waiting = EXACT.add(waiting, EXACT.add(known.unsent, late))
            if counted_at is not None:
                sent = EXACT.add(sent, max(ZERO, EXACT.subtract(known.sent_since(counted_at), late)))
    return OwnUsage(waiting, sent)
