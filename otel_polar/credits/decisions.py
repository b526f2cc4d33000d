"""What a guard decides about a call, and the reservation that the call then holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from otel_polar.billing.money import read_amount
from otel_polar.errors import ConfigError, InsufficientCredits

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal
    from types import TracebackType

    from otel_polar.credits.figures import Balance

Verdict: TypeAlias = Literal["covered", "insufficient", "unknown", "unreachable"]
Amount: TypeAlias = "int | str | Decimal"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a call, for ``on_decision``.

    Args:
        customer: your id of the customer.
        estimate: what the call asked for, in the meter's units.
        verdict: ``covered``, or why it is not.
        is_allowed: whether it was let through all the same, in shadow mode or because the guard was told so.
        balance: what the customer had, before this call; ``None`` if nobody could tell.
    """

    customer: str
    estimate: Decimal
    verdict: Verdict
    is_allowed: bool
    balance: Balance | None


class Reservation:
    """Credit that is promised to a call, for as long as the ``with`` block lasts, or until :meth:`release`."""

    def __init__(self, decision: Decision, release: Callable[[Decimal | None], None] | None) -> None:
        self.decision = decision
        """What was decided about it."""
        self._release = release
        self._pid = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self, actual: Amount | None = None) -> None:
        """Give it back, at the end of the call: its real usage is in the outbox by now. The first time counts.

        *actual* is what was used, in the meter's units, if you know: until the outbox has been looked at, which takes
        a second, that much still counts, and else the estimate.

        Raises:
            ConfigError: if *actual* is no amount of at least 0.
        """
        checked = None if actual is None else read_units(actual)
        release, self._release = self._release, None
        # What a parent reserved is not a forked child's to give back.
        if release is not None and os.getpid() == self._pid:
            release(checked)


def read_units(value: object) -> Decimal:
    """An amount of a meter's units: whole, decimal or text of a numeral, at least 0.

    Raises:
        ConfigError: if it is none; a float is none, because money is counted exactly.
    """
    if isinstance(value, float):
        raise ConfigError(f"an estimate is {value!r}: credits are counted exactly, give an int, a Decimal or text")
    try:
        return read_amount(value)
    except ValueError as error:
        raise ConfigError(f"an estimate of credits: {error}") from error


def refusal(decision: Decision) -> InsufficientCredits:
    """What a decision against a call is raised as; without a word of whose it was."""
    available = None if decision.balance is None else decision.balance.available
    words = {
        "insufficient": f"the customer's credits do not cover this call: {available} are available, {decision.estimate}"
        " are asked for",
        "unknown": "Polar has no such customer, or no credits of theirs for this meter: make them with `otel-polar"
        " customers ensure` and a product with credits; when_unknown='allow' lets such calls through",
        "unreachable": "nobody can tell whether the customer's credits cover this call: Polar could not be asked, which"
        " is in the log; when_unreachable='allow' lets such calls through",
    }
    message = words[decision.verdict]
    return InsufficientCredits(message, reason=decision.verdict, available=available, estimate=decision.estimate)
