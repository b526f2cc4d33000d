"""``CreditGuard``: asked before a call whether its customer's credits cover it.

::

    with guard.require("user_42", guard.estimate_cost("openai/gpt-4o-mini", 800, 500)):
        client.chat.completions.create(...)

What a customer may use is ``available`` of their balance (see ``figures``): what Polar knows, less what it has not
counted yet, less what waits in the outboxes of this machine, less what is reserved for calls that are being made by any
process of this machine. Parallel calls are decided one after the other, in one file (see ``store``), so they cannot all
pass on the same credit.

Several machines each have reservations of their own: calls that are made at the same moment on two of them may pass on
the same credit, until one machine's usage has come to Polar, some seconds later, and the other one has asked again,
after ``max_age_s`` at most. Whoever cannot afford that sends each customer to one machine, or keeps a reserve.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from otel_polar.billing.customer import InvalidIdError, check_id
from otel_polar.credits.decisions import Decision, Reservation, read_units, refusal
from otel_polar.credits.engine import Engine
from otel_polar.credits.estimate import Prices
from otel_polar.credits.figures import ZERO, Balance, balance_of
from otel_polar.credits.later import reserve_later
from otel_polar.credits.store import CLOCK_STEP_S
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.forks import Holding, ask_before_fork
from otel_polar.delivery.notices import Notices, describe
from otel_polar.errors import ConfigError, OutboxError, PolarError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from decimal import Decimal

    from otel_polar.credits.decisions import Amount, Verdict
    from otel_polar.credits.store import Account

    Mode: TypeAlias = Literal["enforce", "shadow"]
    Told: TypeAlias = Literal["allow", "refuse"]

SHARE: Final = 0.1
"""Of the organization's requests: the events have the rest."""

_WHOSE: Final = re.compile(r"/v1/customers/[^ ]+")
"""An address with somebody's id in it, which is for no log."""

_UNREACHABLE: Final = "credits:polar"
_STORE: Final = "credits:store"
_FAULT: Final = "credits:fault"
_CALLBACK: Final = "credits:callback"
_SHADOW: Final = "credits:shadow"
_NEVER: Final = datetime.fromtimestamp(0, UTC)
_NOTHING: Final = Balance(ZERO, ZERO, ZERO, ZERO, ZERO, _NEVER, is_stale=True, is_known=False)
_CHOICES: Final = {
    "mode": ("enforce", "shadow"),
    "when_unreachable": ("allow", "refuse"),
    "when_unknown": ("allow", "refuse"),
}


class CreditGuard:
    """For any thread and any process of a machine. Nothing but ``InsufficientCredits`` and ``ConfigError`` is raised.

    Args:
        meter: the meter's name or id on Polar. It has to sum or count; its units are those of every amount here.
        mode: ``enforce`` raises; ``shadow`` only reports what it would have refused.
        when_unreachable: what becomes of a call when nobody can tell: Polar cannot be asked, this minute's requests
            are used up, or the file cannot be used, and no balance is known that is younger than ``max_stale_s``.
        when_unknown: what becomes of a call of a customer whom Polar does not know, or who has nothing to do with the
            meter: no credits, no usage.
        max_age_s: for so long a balance holds, in seconds, corrected by what this machine knows.
        max_stale_s: for so long it is used when Polar cannot be asked for another one.
        reservation_s: for so long a reservation counts, if the call does not end before. It ends with its process, too.
        grace_s: for so long a reservation counts after its end. Spans that travel by a Collector need some seconds.
        requests_per_minute: of this machine, to Polar; a tenth of the organization's if left out. A look at a customer
            takes two.
        timeout_s: for one request, in seconds.
        on_decision: is told of every decision; what it raises is said once, and has no effect.
        settings: the application's; from the environment if left out.

    Raises:
        ConfigError: if something cannot be used.
    """

    def __init__(
        self,
        meter: str,
        *,
        mode: Mode = "enforce",
        when_unreachable: Told = "allow",
        when_unknown: Told = "refuse",
        max_age_s: float = 30.0,
        max_stale_s: float = 300.0,
        reservation_s: float = 900.0,
        grace_s: float = 0.0,
        requests_per_minute: float | None = None,
        timeout_s: float = 3.0,
        on_decision: Callable[[Decision], object] | None = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        told = {"mode": mode, "when_unreachable": when_unreachable, "when_unknown": when_unknown}
        for name, value in told.items():
            if value not in _CHOICES[name]:
                raise ConfigError(f"{name} is {value!r}: it must be one of {', '.join(_CHOICES[name])}")
        if not isinstance(meter, str) or not meter.strip():
            raise ConfigError(f"meter is {meter!r}: it must be the name or the id of a meter on Polar")
        self.settings = Settings.load() if settings is None else settings
        if not self.settings.access_token:
            raise ConfigError("access_token (POLAR_ACCESS_TOKEN) is not set: Polar tells nobody's credits without one")
        self.notices = Notices()
        directory = OutboxDirectory.of(self.settings, self.notices)
        if directory is None:
            raise ConfigError("no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set")
        self._is_shadow = mode == "shadow"
        self._told: dict[str, bool] = {
            "unreachable": when_unreachable == "allow",
            "unknown": when_unknown == "allow",
            "insufficient": False,
        }
        self._max_stale_s = max(max_stale_s, max_age_s)
        self._on_decision = on_decision
        self._clock = clock
        self.counts: Counter[str] = Counter()
        """What was decided, by verdict; ``let through`` of these, though not covered."""
        budget = self.settings.budget_per_minute * SHARE if requests_per_minute is None else requests_per_minute
        self._prices = Prices(self.settings)
        self._engine = Engine(
            self.settings,
            directory.path,
            meter=meter,
            notices=self.notices,
            price=self._prices.price,
            max_age_s=max_age_s,
            reservation_s=reservation_s,
            grace_s=grace_s,
            requests_per_minute=budget,
            timeout_s=timeout_s,
            clock=clock,
        )
        self._held_over_forks = Holding()
        ask_before_fork(self, owns_files=False)

    def balance(self, customer: str) -> Balance:
        """How the customer with your id stands; never raises but ``ConfigError``, if it or the meter is none.

        Where nothing is known it is 0, ``is_known`` is false and ``as_of`` is 1970.
        """
        engine, now = self._engine, self._clock()
        customer = _checked(customer)
        try:
            account = engine.account(customer, now)
            if account.reading is None or not engine.is_fresh(account.reading, now):
                self._refreshed(customer, account)
                account = engine.account(customer, self._clock())
            return self._balance(account, customer) or _NOTHING
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the application
            self._say(error)
            return _NOTHING

    def require(self, customer: str, estimate: Amount) -> Reservation:
        """Reserve *estimate* of the customer's credits, until the end of the ``with`` block.

        Args:
            customer: your id of the customer, as ``bill_to`` has it.
            estimate: what the call will use at most, in the meter's units: tokens, or billionths of a dollar.

        Raises:
            InsufficientCredits: if it is not covered, and the guard enforces that.
            ConfigError: if the customer or the estimate is none, or there is no such meter.
        """
        decision, number = self._decided(_checked(customer), read_units(estimate))
        self.counts[decision.verdict] += 1
        if decision.verdict != "covered":
            self.counts["let through"] += decision.is_allowed
            if self._is_shadow:
                self.notices.warn(
                    f"{_SHADOW}:{decision.verdict}",
                    "a call would have been refused for its customer's credits (%s), and so will others be: shadow"
                    " mode lets them through",
                    decision.verdict,
                )
        self._tell(decision)
        if not decision.is_allowed:
            raise refusal(decision)
        return Reservation(decision, None if number is None else lambda actual: self._release(number, actual))

    reserve = require
    """The same, for who releases it by hand."""

    def arequire(self, customer: str, estimate: Amount) -> AbstractAsyncContextManager[Reservation]:
        """The same for asynchronous code: ``async with guard.arequire(...)``. The loop never waits for a lookup."""
        return reserve_later(lambda: self.require(customer, estimate))

    def estimate_cost(
        self, model: str, input_tokens: int, max_output_tokens: int, *, provider: str | None = None, cached: int = 0
    ) -> int:
        """What a call costs at most, by the settings' prices, in billionths of a dollar, rounded up.

        With a markup it is what is charged, which ``charge_nanos`` has. Arguments and errors: see ``Prices.nanos``.
        """
        cost = self._prices.nanos(model, input_tokens, max_output_tokens, provider=provider, cached=cached)
        return self._prices.charged_nanos(cost) if self._engine.sums_charges() else cost

    def close(self) -> None:
        """End the thread and close the file; what is asked later opens them again."""
        self._engine.close()

    def _decided(self, customer: str, amount: Decimal) -> tuple[Decision, int | None]:
        engine = self._engine
        balance: Balance | None = None
        number: int | None = None
        verdict: Verdict = "unreachable"
        try:
            account, number = engine.reserve(customer, amount, max_age_s=engine.max_age_s)
            if number is None and engine.may_be_outdated(account.reading, self._clock()):
                self._refreshed(customer, account)
                account, number = engine.reserve(customer, amount, max_age_s=self._max_stale_s)
            verdict = self._verdict(account, number)
            balance = self._balance(account, customer)
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the application
            self._say(error)
        is_allowed = verdict == "covered" or self._is_shadow or self._told[verdict]
        if number is None and is_allowed:
            number = engine.reserve_anyway(customer, amount)
        return Decision(customer, amount, verdict, is_allowed, balance), number

    def _verdict(self, account: Account, number: int | None) -> Verdict:
        if number is not None:
            return "covered"
        reading = account.reading
        if reading is None or not -CLOCK_STEP_S <= self._clock() - reading.asked_at <= self._max_stale_s:
            return "unreachable"
        return "insufficient" if reading.is_known else "unknown"

    def _refreshed(self, customer: str, account: Account) -> None:
        """Ask Polar, if it can be; else what is known has to do."""
        try:
            self._engine.refresh(customer, account.reading)
        except PolarError as error:
            self._say(error)
        else:
            self.notices.over(_UNREACHABLE, "credits can be looked up again")
            self.notices.over(_STORE, "the file of credits can be used again")

    def _say(self, error: Exception) -> None:
        calls = "let through" if self._told["unreachable"] or self._is_shadow else "refused"
        kind = _STORE if isinstance(error, OutboxError) else _UNREACHABLE if isinstance(error, PolarError) else _FAULT
        words = (
            f"credits have a fault: {describe(error)}" if kind == _FAULT else _WHOSE.sub("/v1/customers/…", str(error))
        )
        self.notices.error(kind, "%s. Calls whose customer's credits are not known meanwhile are %s", words, calls)

    def _balance(self, account: Account, customer: str) -> Balance | None:
        if account.reading is None:
            return None
        is_stale = not self._engine.is_fresh(account.reading, self._clock())
        own = self._engine.own_usage(customer, account.reading)
        return balance_of(account.reading, own, account.reserved, is_stale=is_stale)

    def _tell(self, decision: Decision) -> None:
        if self._on_decision is None:
            return
        try:
            self._on_decision(decision)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            self.notices.error(_CALLBACK, "on_decision raised %s, which has no effect", describe(error))

    def _release(self, number: int, actual: Decimal | None) -> None:
        try:
            self._engine.release(number, actual)
        except Exception as error:  # noqa: BLE001 - it expires by itself, and the call has been made
            self._say(error)

    def before_fork(self) -> None:
        """Hold every lock, so that a child does not inherit one in the middle of something."""
        self._held_over_forks.begin(self._engine.locks)

    def after_fork_in_parent(self) -> None:
        """Give the locks back."""
        self._held_over_forks.end()

    def after_fork_in_child(self) -> None:
        """Begin anew, with the parent's file and connections left alone."""
        _inherited.append((self._engine, self._held_over_forks))
        self._held_over_forks = Holding()
        self.counts.clear()
        self.notices.after_fork()
        self._prices = self._prices.anew()
        self._engine = self._engine.anew(self._prices.price)


_inherited: Final[list[object]] = []
"""Kept for ever: collecting it would act on the parent's file."""


def _checked(customer: object) -> str:
    # As bill_to does: no call is billed to another one, and a question that Polar cannot understand is like no answer,
    # after which nobody is asked about for a while.
    try:
        return check_id(customer)
    except InvalidIdError as error:
        raise ConfigError(f"a customer is an id that bill_to takes: {error}") from None
