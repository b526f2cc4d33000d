"""``ensure_customers="hold"``: an event is only sent once Polar has the customer that it names by your id.

Polar takes events of customers it does not have, and never bills them once it has passed them over. Here their events
wait instead, in the state ``ready`` with a reason; Polar is asked again after a few seconds, then less and less often,
up to an hour, and they are sent when somebody has created the customer. Nothing waits for them: events of customers
that are known, and of those named by Polar's own id, go on. If Polar cannot be asked, nobody is believed to exist.

Questions are of the same budget as events. Where many customers are unknown at once, such as at the first start with
this option, Polar's list of customers is read, a hundred at a request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.errors import PolarDeniedError, PolarError, PolarRateLimitedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from otel_polar.delivery.known_customers import KnownCustomers
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.outbox import Outbox
    from otel_polar.delivery.rows import Entry
    from otel_polar.polar_api.budget import Budget

    class Asking(Protocol):
        """Asks Polar; every method raises :class:`~otel_polar.errors.PolarError`."""

        def has_customer(self, external_id: str, /) -> bool:
            """Whether there is a customer with this id."""

        def customers_on(self, page: int, /) -> tuple[list[str], int]:
            """The external ids on a page of the list of customers, and the number of the last page."""

        def close(self) -> None:
            """Close the connections."""


NO_CUSTOMER: Final = "no such customer on Polar yet"
NOT_ASKED: Final = "Polar cannot be asked whether it has the customer"
FIRST_WAIT_S: Final = 5.0
MAX_WAIT_S: Final = 3_600.0
TROUBLE_WAIT_S: Final = 60.0
LIST_FROM: Final = 20
"""Unknown customers in a batch from which on the list is worth reading."""

MAX_PAGES: Final = 2_000
MAX_ABSENT: Final = 50_000
"""Absent customers whose intervals are remembered; the others are asked for when their events are due."""


class _Absence(NamedTuple):
    """When a customer that was not there is asked for again, on the clock that never jumps, and the wait before it."""

    ask_at: float
    wait_s: float


class Admission:
    """For the sender of one process."""

    def __init__(self, asking: Asking, known: KnownCustomers, *, budget: Budget, notices: Notices) -> None:
        self._asking = asking
        self._known = known
        self._budget = budget
        self._notices = notices
        self._absent: dict[str, _Absence] = {}
        self._not_before = 0.0
        self._next_page: int | None = None
        self._was_listed = False
        self.close = asking.close

    def admitted(self, outbox: Outbox, entries: Sequence[Entry], *, now: float, monotonic: float) -> list[Entry]:
        """Those that may be sent. The others are postponed, or left as they are until Polar may be asked."""
        payers = [_payer(entry.body) for entry in entries]
        unknown = dict.fromkeys(payer for payer in payers if payer is not None and not self._known.has(payer, now))
        if unknown:
            self._ask(list(unknown), now=now, monotonic=monotonic)
            for payer in unknown:
                theirs = [entry.seq for entry, payer_ in zip(entries, payers, strict=True) if payer_ == payer]
                self._postpone(outbox, payer, theirs, now=now, monotonic=monotonic)
        return [
            entry
            for entry, payer in zip(entries, payers, strict=True)
            if payer is None or payer not in unknown or self._known.has(payer, now)
        ]

    def _ask(self, customers: list[str], *, now: float, monotonic: float) -> None:
        due = [each for each in customers if each not in self._absent or self._absent[each].ask_at <= monotonic]
        if len([each for each in due if each not in self._absent]) > LIST_FROM and not self._was_listed:
            self._was_listed, self._next_page = True, 1
        try:
            while self._next_page is not None and self._may_ask(monotonic):
                self._read_page(self._next_page, now)
            for customer in due if self._next_page is None else ():
                if self._known.has(customer, now):
                    continue
                if not self._may_ask(monotonic):
                    return
                self._ask_for(customer, now=now, monotonic=monotonic)
        except PolarError as error:
            self._trouble(error, monotonic)
        else:
            self._notices.over("asking", "Polar can be asked again whether it has a customer")

    def _may_ask(self, monotonic: float) -> bool:
        return monotonic >= self._not_before and self._budget.wait_s(monotonic) <= 0

    def _read_page(self, page: int, now: float) -> None:
        found, last_page = self._asking.customers_on(page)
        self._known.add(found, now)
        self._next_page = page + 1 if page < last_page <= MAX_PAGES else None

    def _ask_for(self, customer: str, *, now: float, monotonic: float) -> None:
        if self._asking.has_customer(customer):
            self._known.add([customer], now)
            if self._absent.pop(customer, None) is not None and not self._absent:
                self._notices.over("absent", "Polar has the customers now that events waited for")
            return
        before = self._absent.pop(customer, None)
        wait_s = FIRST_WAIT_S if before is None else min(MAX_WAIT_S, 2 * before.wait_s)
        if len(self._absent) >= MAX_ABSENT:
            self._absent.clear()
        self._absent[customer] = _Absence(monotonic + wait_s, wait_s)

    def _postpone(self, outbox: Outbox, customer: str, theirs: Sequence[int], *, now: float, monotonic: float) -> None:
        if self._known.has(customer, now):
            return
        absence = self._absent.get(customer)
        if absence is not None and absence.ask_at > monotonic:
            outbox.postpone(theirs, due_at=now + absence.ask_at - monotonic, reason=NO_CUSTOMER)
            self._notices.error(
                "absent",
                "Polar has no customer with the external id of %d events, and perhaps of others: they wait"
                " (ensure_customers). Create it, with otel_polar.ensure_customer or otel-polar customers ensure, and"
                " they are sent",
                len(theirs),
            )
        elif self._not_before > monotonic:
            outbox.postpone(theirs, due_at=now + self._not_before - monotonic, reason=NOT_ASKED)

    def _trouble(self, error: PolarError, monotonic: float) -> None:
        # Its words may hold the customer's id.
        wait_s = error.retry_after_s if isinstance(error, PolarRateLimitedError) else TROUBLE_WAIT_S
        self._not_before = monotonic + min(wait_s, MAX_WAIT_S)
        if isinstance(error, PolarDeniedError):
            self._notices.error(
                "asking",
                "Polar refuses to say whether it has a customer (%d%s): events of customers that are not known yet"
                " wait until the access token has the scope customers:read, or ensure_customers is off",
                error.status,
                "" if error.scope is None else f", the token lacks {error.scope}",
            )
        else:
            self._notices.warn(
                "asking",
                "Polar cannot be asked whether it has a customer (%s): events of customers that are not known yet wait",
                type(error).__name__,
            )


def _payer(body: str) -> str | None:
    """Whose event it is, by your id; ``None`` where it names Polar's own, or is damaged, which sending finds out."""
    try:
        event = json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return None
    payer = event.get("external_customer_id") if isinstance(event, dict) else None
    return payer if isinstance(payer, str) else None
