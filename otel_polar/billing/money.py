"""Amounts of money: exact decimals until they are written, and rounded once, half to even, where they are.

Polar wants ``_cost.amount`` in cents as a decimal with at most 5 digits before the point and 12 after it, and refuses
the whole batch otherwise (polarsource/polar, server/polar/event/schemas.py); about 40 % of costs computed in floats
have more. Meters sum only JSON numbers, so the same amount also goes out as whole billionths of a dollar
(``cost_nanos``), which a float sums exactly up to nine million dollars.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final

# Our own context: the application's, and the default one too, may have any precision or traps. The widest product,
# tokens of 11 digits times a price of 24 times a markup of 24, is exact in it.
EXACT: Final = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])

ZERO: Final = Decimal(0)

MAX_NANOS: Final = 2**53
"""Above this a sum in floats, such as a meter's, is no longer exact."""

_NANOS_EXPONENT: Final = 9
_CENTS_EXPONENT: Final = 2
_CENTS_QUANTUM: Final = Decimal("1e-12")
_CENTS_LIMIT: Final = Decimal(100_000)
_LIMIT: Final = Decimal(1_000)
_TOO_LITTLE: Final = Decimal("5E-15")
_ONE: Final = Decimal(1)
# Between these nothing has to be rounded to know: nearly every cost is.
_SURELY_WRITABLE: Final = Decimal("1e-12")
_SURELY_TAKEN: Final = Decimal(999)

_NUMERAL: Final = re.compile(r"\+?(\d{1,24}(\.\d{0,24})?|\.\d{1,24})([eE][-+]?\d{1,2})?", re.ASCII)
_FLOAT_DIGITS: Final = 15
"""So many digits of a decimal numeral survive being a float; what follows them is noise."""

MAX_DIGITS: Final = 24
_MAX_PLACES: Final = 30


def read_amount(value: object) -> Decimal:
    """An amount of at least 0, from a decimal, a whole number, a float (to its 15 exact digits) or text of a numeral.

    Raises:
        ValueError: if it is anything else, negative, not finite, of more than 24 digits, or finer than 30 places.
    """
    if isinstance(value, str):
        if not _NUMERAL.fullmatch(value.strip()):
            raise ValueError(f"{value[:40]!r} is not an amount such as 2.50")
        amount = Decimal(value.strip())
    elif isinstance(value, (Decimal, int, float)) and not isinstance(value, bool):
        amount = Decimal(format(value, f".{_FLOAT_DIGITS}g")) if isinstance(value, float) else Decimal(value)
    else:
        raise ValueError(f"an amount is a decimal, a number or text, not {type(value).__name__}")  # noqa: TRY004 - a value
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{amount} is not an amount of at least 0")
    _, digits, exponent = amount.as_tuple()
    if len(digits) > MAX_DIGITS or not isinstance(exponent, int) or not -_MAX_PLACES <= exponent <= MAX_DIGITS:
        raise ValueError(f"{amount} has more than {MAX_DIGITS} digits, or more than {_MAX_PLACES} places")
    return amount


def why_not_a_cost(usd: Decimal) -> str | None:
    """Why Polar could not take *usd* as the cost of one event; ``None`` if it can."""
    if not usd.is_finite() or usd < 0:
        return f"{usd} USD, which is not an amount"
    if not usd or _SURELY_WRITABLE <= usd <= _SURELY_TAKEN:
        return None
    # Compared before it is rounded, which would fail for a number of many digits.
    if usd <= _TOO_LITTLE:
        return f"{usd:.6g} USD, which is less than can be written"
    if usd >= _LIMIT or _cents(usd) >= _CENTS_LIMIT:
        return f"{usd:.6g} USD; Polar takes less than 1000 USD on one event"
    return None


def cents(usd: Decimal) -> str:
    """Dollars as Polar's cents: a plain decimal string with 12 places after the point."""
    return format(_cents(usd), "f")


def nanos(usd: Decimal) -> int:
    """Dollars as whole billionths of a dollar, rounded half to even."""
    return int(EXACT.quantize(EXACT.scaleb(usd, _NANOS_EXPONENT), _ONE))


def plain(amount: Decimal) -> str:
    """An amount without exponent and without zeros at its end."""
    return format(amount.normalize(EXACT), "f")


def _cents(usd: Decimal) -> Decimal:
    return EXACT.quantize(EXACT.scaleb(usd, _CENTS_EXPONENT), _CENTS_QUANTUM)
