"""Money: what a call cost, exactly, or openly not known.

Amounts are integers of 1e-15 US dollars ("femto"): every price per million tokens with up to nine decimals is whole in
them, so adding up is exact and there is one rounding, half to even, where an amount is written for Polar.

Polar wants ``_cost.amount`` in cents as a decimal with at most 5 digits before the point and 12 after it, and refuses
the whole batch otherwise (polarsource/polar, server/polar/event/schemas.py); about 40 % of costs computed in floats
have more. Meters sum only JSON numbers, so the same amount also goes out as whole billionths of a dollar
(``cost_nanos``).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall

FEMTO_USD_PER_USD: Final = 10**15
FEMTO_USD_PER_NANO_USD: Final = 10**6

MAX_COST_FEMTO_USD: Final = 1_000 * FEMTO_USD_PER_USD - 6
"""Polar refuses 100 000 cents or more on one event, and this is the most that is not rounded up to them."""

# Our own context: the application's, and the default one too, may have any precision or traps.
EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_CENTS_QUANTUM: Final = Decimal("1e-12")
_CENTS_EXPONENT: Final = -13  # 1e-15 dollars = 1e-13 cents


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost the one who made it: at least 0, below 1 000 dollars. ``source`` names the price list."""

    femto_usd: int
    source: str


@dataclass(frozen=True, slots=True)
class Unpriced:
    """No price is known. ``reason`` says for what; it is never written as a cost of 0."""

    reason: str


class PriceResolver(Protocol):
    """Anything that can price a call; a function is one."""

    def __call__(self, call: ModelCall, /) -> Cost | Unpriced:
        """The cost of *call* at the time it started, without network or disk."""
        ...


def build_cost(usd: Decimal, source: str) -> Cost | Unpriced:
    """A cost in dollars as :class:`Cost`, unless Polar could not take it."""
    if not usd.is_finite() or usd < 0:
        return Unpriced(f"{source} gave {usd}, which is not an amount")
    femto_usd = int(EXACT.to_integral_value(EXACT.multiply(usd, FEMTO_USD_PER_USD)))
    if usd > 0 and femto_usd == 0:
        return Unpriced(f"{source} gave {usd} USD, which is less than can be written")
    if femto_usd > MAX_COST_FEMTO_USD:
        return Unpriced(f"{source} gave {usd} USD; Polar takes less than 1000 USD on one event")
    return Cost(femto_usd=femto_usd, source=source)


def cents(femto_usd: int) -> str:
    """An amount as Polar's cents: a plain decimal string with 12 places after the point."""
    exact = EXACT.scaleb(Decimal(femto_usd), _CENTS_EXPONENT)
    return format(EXACT.quantize(exact, _CENTS_QUANTUM), "f")


def nanos(femto_usd: int) -> int:
    """An amount in whole billionths of a dollar, rounded half to even."""
    quotient, remainder = divmod(femto_usd, FEMTO_USD_PER_NANO_USD)
    twice = 2 * remainder
    if twice > FEMTO_USD_PER_NANO_USD or (twice == FEMTO_USD_PER_NANO_USD and quotient % 2):
        return quotient + 1
    return quotient
