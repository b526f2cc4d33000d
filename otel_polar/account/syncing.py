"""A customer on Polar for each user of a list. Interrupted and run again, it goes on: who is there is left alone.

Where the list is longer than Polar's own list of customers has pages, that is read first, a hundred customers at a
request; then only those who are missing cost one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_polar.account.customers import NO_EMAIL, OF_ANOTHER, Ensured, EnsuredCustomer, create, decide, ensure, find
from otel_polar.account.earlier import earlier_usage
from otel_polar.errors import PolarDeniedError, PolarRefusedError
from otel_polar.polar_api import customers, fields
from otel_polar.polar_api.customers import PolarCustomer
from otel_polar.polar_api.listing import PAGE_ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.account.earlier import EarlierUsage
    from otel_polar.account.user_list import User
    from otel_polar.polar_api.client import PolarApi


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of a user of the list: how there is a customer now, or why there is none."""

    user: User
    how: Ensured | None
    reason: str | None = None
    customer_id: str | None = None
    earlier: EarlierUsage | None = None


class Existing:
    """All customers that were there at the start, and those made since."""

    def __init__(self) -> None:
        self._by_id: dict[str, PolarCustomer] = {}
        self._by_email: dict[str, PolarCustomer] = {}

    def add(self, customer: PolarCustomer) -> None:
        """There is this one."""
        if customer.external_id is not None:
            self._by_id[customer.external_id] = customer
        if customer.email is not None:
            self._by_email[customer.email.lower()] = customer

    def find(self, external_id: str, email: str | None) -> tuple[PolarCustomer | None, PolarCustomer | None]:
        """Who is there by your id and, if nobody, by the email."""
        by_id = self._by_id.get(external_id)
        return by_id, None if by_id is not None or email is None else self._by_email.get(email.lower())


class Syncing:
    """Makes sure of one user after the other."""

    def __init__(self, api: PolarApi, *, is_dry_run: bool) -> None:
        self._api = api
        self._is_dry_run = is_dry_run
        self._existing: Existing | None = None
        self.cannot_see_usage: str | None = None
        """Why usage from before a customer is not looked for, if it is not."""

    def look_around(self, users: int, advance: Callable[[float], object] = lambda _: None) -> None:
        """Read Polar's list of customers, if that is worth it for so many *users*.

        Raises:
            PolarError: if Polar cannot be asked.
        """
        answer = self._api.get(customers.PATH, {"limit": 1})
        if fields.whole(answer, "pagination.total_count") > users * PAGE_ITEMS:
            return
        existing = Existing()
        for customer in customers.list_customers(self._api):
            existing.add(customer)
            advance(1)
        self._existing = existing

    def sync(self, user: User) -> Synced:
        """Make sure of one.

        Raises:
            PolarError: if Polar cannot be asked.
        """
        found = self._find(user)
        how = decide(*found)
        if found[0] is not None:
            return Synced(user, Ensured.THERE, customer_id=found[0].id)
        if user.email is None or how is None:
            return Synced(user, None, NO_EMAIL if user.email is None else OF_ANOTHER)
        if self._is_dry_run:
            self._remember(user, "")
            return Synced(user, how)
        return self._make(user, user.email, how)

    def _find(self, user: User) -> tuple[PolarCustomer | None, PolarCustomer | None]:
        if self._existing is None:
            return find(self._api, user.external_id, user.email)
        return self._existing.find(user.external_id, user.email)

    def _make(self, user: User, email: str, how: Ensured) -> Synced:
        try:
            made = self._created(user, email) if how is Ensured.CREATED else None
            made = made or ensure(self._api, user.external_id, email=email, name=user.name)
        except PolarRefusedError as error:
            return Synced(user, None, "; ".join(error.reasons) or str(error))
        self._remember(user, made.id)
        earlier = None if made.how is Ensured.THERE else self._earlier(user)
        return Synced(user, made.how, customer_id=made.id, earlier=earlier)

    def _created(self, user: User, email: str) -> EnsuredCustomer | None:
        try:
            return create(self._api, user.external_id, email=email, name=user.name)
        except PolarRefusedError:
            # Somebody was faster, or Polar dislikes it: the long way tells.
            return None

    def _remember(self, user: User, customer_id: str) -> None:
        if self._existing is not None:
            self._existing.add(PolarCustomer(customer_id, user.external_id, user.email, user.name))

    def _earlier(self, user: User) -> EarlierUsage | None:
        if self.cannot_see_usage is not None:
            return None
        try:
            return earlier_usage(self._api, user.external_id)
        except PolarDeniedError as error:
            self.cannot_see_usage = str(error)
            return None
