"""What to charge for a call, beside what it cost: an exact factor, or a function of yours.

``_cost`` stays the cost; ``charge_nanos`` is what a meter can sum to bill by. It is worked out once, from the exact
cost, and rounded once.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_polar.billing.money import EXACT, MAX_NANOS, nanos, read_amount
from otel_polar.errors import UserFunctionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price

    Markup: TypeAlias = Decimal | Callable[[ModelCall, Price], object]

MAX_FACTOR: Final = 1_000


def charge_nanos(call: ModelCall, price: Price, markup: Markup) -> int:
    """What to charge for *call*, in whole billionths of a dollar.

    Args:
        call: the call.
        price: what it cost.
        markup: a factor, or a function of both that answers US dollars as a decimal, a whole number or text.

    Raises:
        UserFunctionError: if the function raised, or answered what is no amount, or one that is too large to be summed.
    """
    usd = EXACT.multiply(price.usd, markup) if isinstance(markup, Decimal) else _asked(call, price, markup)
    charge = nanos(usd)
    if charge > MAX_NANOS:
        raise UserFunctionError(f"markup gives {usd} USD, more than the {MAX_NANOS} nanos that a meter sums exactly")
    return charge


def _asked(call: ModelCall, price: Price, markup: Callable[[ModelCall, Price], object]) -> Decimal:
    try:
        answer = markup(call, price)
    except BaseException as error:
        raise UserFunctionError(f"markup raised {type(error).__name__}") from error
    try:
        return read_amount(answer)
    except ValueError as error:
        raise UserFunctionError(f"markup must answer US dollars: {error}") from error
