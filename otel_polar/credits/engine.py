"""What a guard asks: the shared file, Polar, and the outboxes of this machine, in an order in which nothing is missed.

Polar is asked first, and the outboxes are looked at after that: what was sent in between is counted twice until the
next look, a second later, and not left out.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_polar.credits.figures import NOTHING, balance_of
from otel_polar.credits.keeper import Keeper
from otel_polar.credits.lookups import BudgetSpentError, Lookups
from otel_polar.credits.outboxes import Outboxes
from otel_polar.credits.payer import payer_of
from otel_polar.credits.process import own_process
from otel_polar.credits.store import CLOCK_STEP_S, Store
from otel_polar.errors import ConfigError, OutboxError, PolarError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal
    from pathlib import Path

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.pricing import Price, Unpriced
    from otel_polar.credits.figures import OwnUsage, Reading
    from otel_polar.credits.metering import MeterRule
    from otel_polar.credits.store import Account
    from otel_polar.delivery.forks import Lock
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

MAX_LOOK_AGE_S: Final = 5.0
"""An older look is not relied on: the call looks itself."""

SEEN_FOR_S: Final = 60.0
"""Whoever has not looked for so long looks before anything else, so a released reservation is not needed any more."""

MAX_FORK_DELAY_S: Final = 0.2
MAX_LOOK_S: Final = 2.0


class Engine:
    """For all threads of one process. Methods raise ``OutboxError``, ``PolarError`` and ``ConfigError``."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        *,
        meter: str,
        notices: Notices,
        price: Callable[[ModelCall], Price | Unpriced],
        max_age_s: float,
        reservation_s: float,
        grace_s: float,
        requests_per_minute: float,
        timeout_s: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_age_s = max_age_s
        self._settings = settings
        self._directory = directory
        self._meter = meter
        self._notices = notices
        self._price = price
        self._reservation_s = reservation_s
        self._grace_s = grace_s
        self._per_minute = requests_per_minute
        self._timeout_s = timeout_s
        self._clock = clock
        self._monotonic = monotonic
        self._store = Store(directory, reservation_s=reservation_s)
        self._lookups = Lookups(
            settings,
            self._store,
            notices,
            meter=meter,
            requests_per_minute=requests_per_minute,
            timeout_s=timeout_s,
            clock=clock,
            monotonic=monotonic,
        )
        self._outboxes: Outboxes | None = None
        self._looked_at = -MAX_LOOK_AGE_S
        self._keeper = self._make_keeper()

    def anew(self, price: Callable[[ModelCall], Price | Unpriced]) -> Engine:
        """Another one, for a forked child."""
        return Engine(
            self._settings,
            self._directory,
            meter=self._meter,
            notices=self._notices,
            price=price,
            max_age_s=self.max_age_s,
            reservation_s=self._reservation_s,
            grace_s=self._grace_s,
            requests_per_minute=self._per_minute,
            timeout_s=self._timeout_s,
            clock=self._clock,
            monotonic=self._monotonic,
        )

    def account(self, customer: str, now: float) -> Account:
        """What is known of the customer, with the outboxes as they are now."""
        self._look_if_older(0.0)
        return self._store.account(customer, self._key, now=now, seen_until=self._seen_until())

    def reserve(self, customer: str, amount: Decimal, *, max_age_s: float) -> tuple[Account, int | None]:
        """Reserve *amount*, if a balance no older than *max_age_s* covers it; what there was, and the number."""
        self._look_if_older(MAX_LOOK_AGE_S)
        self._keeper.used()
        account, number = self._reserve(customer, amount, max_age_s)
        if number is None and account.reserved:
            # Of calls that have ended, what they used may be in the outbox by now.
            self._look_if_older(0.0)
            account, number = self._reserve(customer, amount, max_age_s)
        return account, number

    def _reserve(self, customer: str, amount: Decimal, max_age_s: float) -> tuple[Account, int | None]:
        now = self._clock()

        def is_covered(account: Account) -> bool:
            reading = account.reading
            if reading is None or not reading.is_known or not _is_within(reading, now, max_age_s):
                return False
            own = self.own_usage(customer, reading)
            return balance_of(reading, own, account.reserved, is_stale=False).available >= amount

        account, number = self._store.reserve(
            customer,
            self._key,
            amount,
            is_covered=is_covered,
            process=own_process(),
            now=now,
            seen_until=self._seen_until(),
        )
        if number is not None and account.reading is not None and now - account.reading.asked_at > self.max_age_s / 2:
            self._keeper.want(customer)
        return account, number

    def reserve_anyway(self, customer: str, amount: Decimal) -> int | None:
        """Reserve what is not covered, so that others see it; ``None`` if even that cannot be done."""
        try:
            _, number = self._store.reserve(
                customer,
                self._key,
                amount,
                is_covered=lambda _: True,
                process=own_process(),
                now=self._clock(),
                seen_until=self._seen_until(),
            )
        except OutboxError:
            return None
        return number

    def release(self, number: int, actual: Decimal | None) -> None:
        """The call of that reservation has ended."""
        self._store.release(number, actual=actual, now=self._clock())

    def refresh(self, customer: str, seen: Reading | None) -> None:
        """Ask Polar, unless somebody has, since *seen* was said."""
        if not self._lookups.lock.acquire(timeout=2 * self._timeout_s):
            raise BudgetSpentError("Polar is being asked about many customers at once: too many wait for it")
        try:
            now = self._clock()
            rule = self._rule()
            known = self._store.account(customer, rule.id, now=now, seen_until=now).reading
            if known is not None and (seen is None or known.asked_at > seen.asked_at) and self.is_fresh(known, now):
                return
            self._store.keep(customer, rule.id, self._lookups.ask(customer, rule))
        finally:
            self._lookups.lock.release()
        # What Polar has said goes with a look after it.
        self._look_if_older(0.0)

    def own_usage(self, customer: str, reading: Reading) -> OwnUsage:
        """What the outboxes know of the customer, to go with what Polar said."""
        if self._outboxes is None:
            return NOTHING
        payers = [payer_of(external_id=customer)]
        if reading.polar_id is not None:
            payers.append(payer_of(polar_id=reading.polar_id))
        return self._outboxes.of(payers, asked_at=reading.asked_at, counted_at=reading.counted_at)

    def is_fresh(self, reading: Reading, now: float) -> bool:
        """Whether it is no older than ``max_age_s``."""
        return _is_within(reading, now, self.max_age_s)

    def may_be_outdated(self, reading: Reading | None, now: float) -> bool:
        """Whether it is worth asking again before a call is refused: credits may have been bought meanwhile."""
        return reading is None or not _is_within(reading, now, self.max_age_s / 3)

    def sums_charges(self) -> bool:
        """Whether the meter sums what is charged, and not what it cost."""
        try:
            summed = self._rule().summed
        except (PolarError, OutboxError):
            # The larger one, as far as anybody knows.
            return self._settings.markup is not None
        if summed not in {"cost_nanos", "charge_nanos"}:
            raise ConfigError(
                f"meter {self._meter!r} {'counts events' if summed is None else f'sums {summed!r}'}: an estimate of"
                " costs is for one that sums 'cost_nanos' or 'charge_nanos'"
            )
        return summed == "charge_nanos"

    def locks(self) -> Iterator[tuple[Lock, float | None]]:
        """Every lock, in the order in which they are taken, and for how long one is waited for."""
        yield self._lookups.lock, MAX_FORK_DELAY_S
        if self._outboxes is not None:
            yield self._outboxes.lock, MAX_LOOK_S
        yield self._store.lock, None

    def close(self) -> None:
        """End the thread and close what is open."""
        self._keeper.close()
        self._lookups.close()
        self._store.close()
        self._keeper = self._make_keeper()

    def _make_keeper(self) -> Keeper:
        return Keeper(look=self._look_quietly, refresh=self._refresh_quietly, tidy_up=self._tidy_up)

    @property
    def _key(self) -> str:
        """By what processes share what they know: some may have named the meter, others given its id."""
        rule = self._lookups.rule
        return self._meter if rule is None else rule.id

    def _rule(self) -> MeterRule:
        rule = self._lookups.rule
        if rule is None:
            rule = self._lookups.find_meter()
            # What was reserved while Polar could not be asked which meter it is.
            self._store.rename(self._meter, rule.id)
        if self._outboxes is None:
            self._outboxes = Outboxes(self._directory, rule, settings=self._settings, price=self._price)
        return rule

    def _seen_until(self) -> float:
        return (0.0 if self._outboxes is None else self._outboxes.looked_at) - self._grace_s

    def _look_if_older(self, age_s: float) -> None:
        self._rule()
        if self._monotonic() - self._looked_at <= age_s or self._outboxes is None:
            return
        with self._outboxes.lock:
            # Another thread may have done it meanwhile.
            if self._monotonic() - self._looked_at > age_s:
                self._look(self._outboxes)

    def _look(self, outboxes: Outboxes) -> None:
        begun_at = self._monotonic()
        outboxes.look(self._clock())
        self._looked_at = begun_at
        if outboxes.trouble is not None:
            self._notices.error(
                "credits:outboxes", "%s. What waits in it is missing in what customers have left", outboxes.trouble
            )
        else:
            self._notices.over("credits:outboxes", "credits know all that waits in the outboxes again")

    def _look_quietly(self) -> None:
        outboxes = self._outboxes
        if outboxes is not None:
            with outboxes.lock, suppress(Exception):
                # Whoever is asked for credit looks again, and says it.
                self._look(outboxes)

    def _refresh_quietly(self, customer: str) -> None:
        # Whoever needs it asks again, and says what is wrong.
        with suppress(Exception):
            now = self._clock()
            seen = self._store.account(customer, self._key, now=now, seen_until=now).reading
            if seen is None or not _is_within(seen, now, self.max_age_s / 2):
                self.refresh(customer, seen)

    def _tidy_up(self) -> None:
        # The next call says what is wrong.
        with suppress(OutboxError):
            self._store.tidy_up(now=self._clock(), seen_for_s=SEEN_FOR_S + self._grace_s)


def _is_within(reading: Reading, now: float, age_s: float) -> bool:
    return -CLOCK_STEP_S <= now - reading.asked_at <= age_s
