"""Benefits that a subscription grants: a credit of a meter is an event of Polar's own, dated when it was granted.

A credit that is taken back is the same event with negative units. A benefit of another type is granted and nothing
else happens.

Sources: polarsource/polar, server/polar/benefit/grant/service.py and server/polar/benefit/strategies/meter_credit.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Protocol

from otel_polar.sandbox.balances import METER_CREDITED
from otel_polar.sandbox.records import isoformat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.sandbox.catalog import Catalog, Item


class Journal(Protocol):
    """Where Polar's own events are written, and its clock."""

    def now_us(self) -> int:
        """Return the time in whole microseconds since 1970."""
        ...

    def insert_system_event(self, name: str, customer_id: str, metadata: Mapping[str, Any]) -> None:
        """Write an event about a customer."""
        ...


class Grants:
    """Gives the subscribers of a product its benefits, and takes them back."""

    def __init__(self, catalog: Catalog, journal: Journal) -> None:
        self._catalog = catalog
        self._journal = journal

    def give_all(self, subscription: Item, product: Item) -> Item:
        """Grant a new subscription every benefit of its product, and keep it."""
        grants = [self._give(subscription["customer_id"], benefit_id) for benefit_id in product["benefit_ids"]]
        return self._catalog.subscriptions.put({**subscription, "grants": grants})

    def follow_product(self, product: Item) -> None:
        """Give what a product grants now, and take back what it grants no more, at each of its subscriptions."""
        for subscription in self._catalog.subscriptions.all():
            if subscription["product_id"] == product["id"]:
                self._follow(subscription, product["benefit_ids"])

    def _follow(self, subscription: Item, wanted: list[str]) -> None:
        customer_id = subscription["customer_id"]
        kept = [grant for grant in subscription["grants"] if grant["benefit_id"] in wanted]
        for grant in subscription["grants"]:
            if grant not in kept:
                self._take_back(customer_id, grant)
        held = {grant["benefit_id"] for grant in kept}
        given = [self._give(customer_id, benefit_id) for benefit_id in wanted if benefit_id not in held]
        self._catalog.subscriptions.put({**subscription, "grants": kept + given})

    def _give(self, customer_id: str, benefit_id: str) -> Item:
        benefit = self._catalog.benefits.get(benefit_id)
        if benefit is None:
            raise LookupError(f"a product names the benefit {benefit_id}, which is not in the catalog")
        now_us = self._journal.now_us()
        grant = {
            "id": str(uuid.uuid4()),
            "granted_at_us": now_us,
            "benefit_id": benefit_id,
            "benefit_type": benefit["type"],
            "benefit_metadata": benefit["metadata"],
            "properties": {},
        }
        if benefit["type"] == "meter_credit":
            credit = benefit["properties"]
            self._journal.insert_system_event(METER_CREDITED, customer_id, credit)
            grant["properties"] = {
                "last_credited_meter_id": credit["meter_id"],
                "last_credited_units": credit["units"],
                "last_credited_at": isoformat(now_us),
                "rollover": credit["rollover"],
            }
        self._tell("benefit.granted", customer_id, grant)
        return grant

    def _take_back(self, customer_id: str, grant: Item) -> None:
        credit = grant["properties"]
        if "last_credited_units" in credit:
            taken = {
                "meter_id": credit["last_credited_meter_id"],
                "units": -credit["last_credited_units"],
                "rollover": credit["rollover"],
            }
            self._journal.insert_system_event(METER_CREDITED, customer_id, taken)
        self._tell("benefit.revoked", customer_id, grant)

    def _tell(self, name: str, customer_id: str, grant: Item) -> None:
        told = {
            "benefit_id": grant["benefit_id"],
            "benefit_grant_id": grant["id"],
            "benefit_type": grant["benefit_type"],
        }
        self._journal.insert_system_event(name, customer_id, told)
