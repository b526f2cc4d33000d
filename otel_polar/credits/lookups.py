"""What Polar is asked, and how often: never more than a share of the organization's requests.

A look at a customer is two requests: the state, and the meter's quantity (see ``figures``). A token that may not read
meters leaves the second one out, which is said once. After a failure Polar is left alone for a while, by all threads.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from otel_polar.credits.figures import Reading
from otel_polar.credits.metering import MeterRule
from otel_polar.delivery.disk.in_use import using
from otel_polar.errors import ConfigError, PolarDeniedError, PolarError, PolarNotFoundError, PolarRateLimitedError
from otel_polar.polar_api import customers, meters
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.client import PolarApi

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from otel_polar.credits.store import Store
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

_T = TypeVar("_T")

FIRST_REST_S: Final = 2.0
MAX_REST_S: Final = 60.0
MISTAKE_S: Final = 60.0
"""So long a meter that is none is believed to be none."""

_UNBOUNDED: Final = 1e9
"""Requests a minute of a connection: the store counts them."""

# No Polar was there before, and a request may not be about more than ten years (polarsource/polar,
# server/polar/kit/time_queries.py).
_BEGINNING: Final = datetime(2023, 1, 1, tzinfo=UTC)
_MAX_YEARS: Final = 9


class BudgetSpentError(PolarError):
    """This minute's requests are used up, or too many wait for an answer."""


class _Counted(Budget):
    """That of the machine: what was not counted before a question is counted request by request."""

    def __init__(self, ask_for_one: Callable[[], object]) -> None:
        super().__init__(_UNBOUNDED)
        self._ask_for_one = ask_for_one
        self.paid = 0

    def wait_s(self, monotonic: float) -> float:
        if self.paid <= 0:
            self._ask_for_one()
            self.paid = 1
        return super().wait_s(monotonic)

    def spend(self, monotonic: float) -> None:
        self.paid -= 1
        super().spend(monotonic)


class Lookups:
    """Asks Polar, for all threads of one process; one at a time. Made anew in a forked child."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        notices: Notices,
        *,
        meter: str,
        requests_per_minute: float,
        timeout_s: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._notices = notices
        self._meter = meter
        self._per_minute = requests_per_minute
        self._timeout_s = timeout_s
        self._clock = clock
        self._monotonic = monotonic
        self.lock = threading.RLock()
        """Held while Polar is asked."""
        self._budget = _Counted(lambda: self._count(1))
        self._api: PolarApi | None = None
        self._rule: MeterRule | None = None
        self._is_quantity_readable = True
        self._mistake: tuple[ConfigError | None, float] = (None, 0.0)
        self._failure = ""
        self._rests_until = 0.0
        self._rest_s = FIRST_REST_S

    @property
    def rule(self) -> MeterRule | None:
        """What the meter counts, once Polar has said it."""
        return self._rule

    def find_meter(self) -> MeterRule:
        """The meter, by its id or its name; asked for once.

        Raises:
            ConfigError: if there is none, or it does not add up.
            PolarError: if Polar cannot be asked now.
        """
        with self.lock:
            if self._rule is None:
                self._rule = self._found_rule()
            return self._rule

    def _found_rule(self) -> MeterRule:
        mistake, until = self._mistake
        if mistake is not None and self._monotonic() < until:
            # Not from Polar at every call: when the budget is spent, a wrong name would look like a Polar that is away.
            raise ConfigError(str(mistake))
        try:
            return MeterRule(self._asked(1, self._found))
        except ConfigError as error:
            self._mistake = (error, self._monotonic() + MISTAKE_S)
            raise

    def ask(self, customer: str, rule: MeterRule) -> Reading:
        """How the customer with your id stands. Errors as for :meth:`find_meter`."""
        with self.lock:
            return self._asked(2 if self._is_quantity_readable else 1, lambda api: self._read(api, customer, rule))

    def close(self) -> None:
        """Close the connections."""
        with self.lock:
            if self._api is not None:
                self._api.close()
                self._api = None

    def _asked(self, requests: int, question: Callable[[PolarApi], _T]) -> _T:
        monotonic = self._monotonic()
        if monotonic < self._rests_until:
            # What was wrong is said again to whoever comes meanwhile.
            raise PolarError(self._failure)
        self._count(requests)
        self._budget.paid = requests
        if self._api is None:
            # It imports, and that takes longer than a fork waits for a request.
            with using():
                self._api = PolarApi(self._settings, budget=self._budget, timeout_s=self._timeout_s)
        try:
            answer = question(self._api)
        except BudgetSpentError:
            # A list has many pages, and some ids have to be searched for.
            raise
        except PolarRateLimitedError as error:
            self._store.pause(self._clock() + error.retry_after_s)
            raise
        except PolarError as error:
            self._failure = str(error)
            self._rests_until = self._monotonic() + self._rest_s
            self._rest_s = min(2 * self._rest_s, MAX_REST_S)
            raise
        self._rest_s = FIRST_REST_S
        return answer

    def _count(self, requests: int) -> None:
        if not self._store.may_ask(requests, per_minute=self._per_minute, now=self._clock()):
            raise BudgetSpentError(f"this minute's {self._per_minute:g} requests about credits are used up")

    def _found(self, api: PolarApi) -> meters.Meter:
        every = meters.list_meters(api)
        found = [meter for meter in every if meter.id == self._meter] or [
            meter for meter in every if meter.name == self._meter
        ]
        if len(found) == 1:
            return found[0]
        told = ", ".join(repr(meter.name) for meter in every[:20]) or "none at all: `otel-polar setup` makes them"
        how_many = "no meter is" if not found else f"{len(found)} meters are"
        raise ConfigError(f"{how_many} named {self._meter!r} on Polar; give a name or an id. There are {told}")

    def _read(self, api: PolarApi, customer: str, rule: MeterRule) -> Reading:
        asked_at = self._clock()
        try:
            state = customers.read_state_external(api, customer)
        except PolarNotFoundError:
            return Reading(asked_at)
        balance = state.meter(rule.id)
        if balance is None:
            return Reading(asked_at, polar_id=state.customer.id)
        # Behind the state: what is counted in between is in both, or in the second one.
        quantity = self._quantity(api, customer, rule)
        return Reading(
            asked_at,
            is_known=True,
            polar_id=state.customer.id,
            credited=_plain(balance.credited_units),
            consumed=_plain(balance.consumed_units),
            counted_at=None if balance.counted_at is None else balance.counted_at.timestamp(),
            quantity=quantity,
        )

    def _quantity(self, api: PolarApi, customer: str, rule: MeterRule) -> Decimal | None:
        if not self._is_quantity_readable:
            return None
        now = datetime.fromtimestamp(self._clock(), UTC)
        start = max(_BEGINNING, now.replace(year=now.year - _MAX_YEARS, month=1, day=1))
        start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            told = meters.quantities(
                api, rule.id, start, now + timedelta(days=1), "year", external_customer_id=customer
            )
        except PolarDeniedError as error:
            self._is_quantity_readable = False
            self._notices.error(
                "credits:quantity",
                "%s. Until then credits only know what this machine has sent since Polar's last count, which may be"
                " hours ago",
                error,
            )
            return None
        return _plain(told.total)


def _plain(units: Decimal) -> Decimal:
    """Without the nought behind the point with which JSON writes a float."""
    whole = units.to_integral_value()
    return whole if whole == units else units
