"""``ensure_customers="hold"``: an event is only sent once Polar has the customer that it names by your id.

Polar takes events of customers it does not have, and never bills them once it has passed them over. Here their events
wait instead, in the state ``ready`` with a reason; Polar is asked again after a few seconds, then less and less often,
up to some minutes, or an hour where thousands are absent; they are sent when somebody has created the customer. Nothing
waits for them: events of customers that are known, and of those named by Polar's own id, go on. If Polar cannot be
asked, nobody is believed to exist.

Questions are of the same budget as events. Where many customers are unknown at once, such as at the first start with
this option, Polar's list of customers is read, a hundred at a request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.errors import (
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.disk.rows import Entry
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.sending.known_customers import KnownCustomers
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
NOT_ASKED_YET: Final = "Polar is still to be asked whether it has the customer"
NOT_ASKED: Final = "Polar cannot be asked whether it has the customer"
FIRST_WAIT_S: Final = 5.0
USUAL_MAX_WAIT_S: Final = 300.0
MAX_WAIT_S: Final = 3_600.0
ABSENT_SHARE: Final = 0.1
"""Of the budget: so much is asked about those who stay absent, unless each has waited for an hour."""

FIRST_SHARE: Final = 0.5
"""The same for those who have just been found to be absent."""

TROUBLE_WAIT_S: Final = 60.0
LIST_FROM: Final = 20
"""Unknown customers in a batch from which on the list is worth reading."""

MAX_PAGES: Final = 2_000
MAX_LIST_FAILURES: Final = 3
"""After that they are asked for one by one: a page may have something on it that nobody can read."""

TURN_S: Final = 1.0
"""Behind others, at least, goes who could not be asked for yet where many could not."""

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
        self._list_failures = 0
        self._troubling: dict[str, None] = {}
        self.close = asking.close

    def admitted(self, outbox: Outbox, entries: Sequence[Entry], *, now: float, monotonic: float) -> list[Entry]:
        """Those that may be sent. The others are postponed, or left as they are until Polar may be asked."""
        payers = [_payer(entry.body) for entry in entries]
        unknown = dict.fromkeys(payer for payer in payers if payer is not None and not self._known.has(payer, now))
        if unknown:
            self._ask(list(unknown), now=now, monotonic=monotonic)
            theirs: dict[str, list[int]] = {}
            for entry, payer in zip(entries, payers, strict=True):
                if payer in unknown and payer is not None and not self._known.has(payer, now):
                    theirs.setdefault(payer, []).append(entry.seq)
            left = [
                seqs
                for payer, seqs in theirs.items()
                if not self._postpone(outbox, payer, seqs, now=now, monotonic=monotonic)
            ]
            self._let_others_by(outbox, left, now=now)
        return [
            entry
            for entry, payer in zip(entries, payers, strict=True)
            if payer is None or payer not in unknown or self._known.has(payer, now)
        ]

    def _ask(self, customers: list[str], *, now: float, monotonic: float) -> None:
        due = [each for each in customers if each not in self._absent or self._absent[each].ask_at <= monotonic]
        if len([each for each in due if each not in self._absent]) > LIST_FROM and not self._was_listed:
            self._was_listed, self._next_page = True, 1
        # Behind the others goes who could not be asked for, which may be the fault of the id.
        due.sort(key=self._troubling.__contains__)
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
        try:
            found, last_page = self._asking.customers_on(page)
        except PolarUnreachableError:
            self._list_failures += 1
            if self._list_failures >= MAX_LIST_FAILURES:
                self._next_page = None
            raise
        self._known.add(found, now)
        self._next_page = page + 1 if page < last_page <= MAX_PAGES else None

    def _ask_for(self, customer: str, *, now: float, monotonic: float) -> None:
        if self._is_there(customer):
            self._known.add([customer], now)
            if self._absent.pop(customer, None) is not None and not self._absent:
                self._notices.over("absent", "Polar has the customers now that events waited for")
            return
        before = self._absent.pop(customer, None)
        wait_s = self._wait_s(FIRST_WAIT_S if before is None else 2 * before.wait_s)
        if len(self._absent) >= MAX_ABSENT:
            self._absent.clear()
        self._absent[customer] = _Absence(monotonic + wait_s, wait_s)

    def _is_there(self, customer: str) -> bool:
        try:
            is_there = self._asking.has_customer(customer)
        except PolarRefusedError:
            # Polar takes no such id, so nobody has it; the others are asked for all the same.
            is_there = False
        except PolarError:
            if len(self._troubling) < MAX_ABSENT:
                self._troubling[customer] = None
            raise
        self._troubling.pop(customer, None)
        return is_there

    def _wait_s(self, wait_s: float) -> float:
        asking_all_s = len(self._absent) * self._budget.spacing_s
        longest_s = min(MAX_WAIT_S, max(USUAL_MAX_WAIT_S, asking_all_s / ABSENT_SHARE))
        return min(longest_s, max(wait_s, asking_all_s / FIRST_SHARE))

    def _let_others_by(self, outbox: Outbox, left: Sequence[Sequence[int]], *, now: float) -> None:
        """Let events behind these come first, if there are so many that they would fill batch after batch."""
        if len(left) <= LIST_FROM:
            return
        # About when each can be asked for; the list answers for all at once.
        spacing_s = 0.0 if self._next_page is not None else self._budget.spacing_s
        for number, theirs in enumerate(left):
            outbox.postpone(theirs, due_at=now + min(MAX_WAIT_S, TURN_S + number * spacing_s), reason=NOT_ASKED_YET)

    def _postpone(self, outbox: Outbox, customer: str, theirs: Sequence[int], *, now: float, monotonic: float) -> bool:
        """Let them wait, if it is known for how long; whether it is."""
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
            return True
        if self._not_before > monotonic:
            outbox.postpone(theirs, due_at=now + self._not_before - monotonic, reason=NOT_ASKED)
            return True
        return False

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
        payer = event.get("external_customer_id") if isinstance(event, dict) else None
        # Half of a character cannot be asked for.
        return payer if isinstance(payer, str) and payer.encode() else None
    except (ValueError, TypeError, RecursionError):
        return None
