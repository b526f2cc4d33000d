"""Usage that Polar has of a customer from before there was one.

Every quarter of an hour Polar bills what has come in, and what belongs to nobody then is passed over for good: creating
the customer later changes nothing about it. Source: polarsource/polar, server/polar/meter/service.py, create_billing
_entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from otel_polar.polar_api import fields
from otel_polar.polar_api.listing import PAGE_ITEMS

if TYPE_CHECKING:
    from typing import Any

    from otel_polar.polar_api.client import PolarApi

MAX_PAGES: Final = 10
NOT_BILLED: Final = (
    "Polar never bills what it has passed over, every 15 minutes, before there was a customer with a subscription"
)
_CENTS_PER_USD: Final = 100


@dataclass(frozen=True, slots=True)
class EarlierUsage:
    """How many events, and what they cost you, in dollars; *is_all_counted* unless there are too many to add up."""

    events: int
    cost_usd: Decimal
    is_all_counted: bool


def earlier_usage(api: PolarApi, external_id: str) -> EarlierUsage | None:
    """The events that Polar has with this external id of a customer; ``None`` if there are none.

    Polar lists an event some seconds after it came in. Asked right after the customer was created, it is what was
    there before.

    Raises:
        PolarError: if Polar cannot be asked; :class:`~otel_polar.errors.PolarDeniedError` without ``events:read``.
    """
    cost_usd, page, last_page, total = Decimal(0), 1, 1, 0
    while page <= min(last_page, MAX_PAGES):
        answer = api.get(
            "/v1/events/", {"external_customer_id": external_id, "source": "user", "page": page, "limit": PAGE_ITEMS}
        )
        cost_usd += sum((_cost_usd(event) for event in fields.mappings(answer, "items")), Decimal(0))
        last_page, total = fields.whole(answer, "pagination.max_page"), fields.whole(answer, "pagination.total_count")
        page += 1
    return EarlierUsage(total, cost_usd, is_all_counted=last_page <= MAX_PAGES) if total else None


def _cost_usd(event: dict[str, Any]) -> Decimal:
    # An event may be anybody's, and have none.
    if fields.optional(event, "metadata._cost.amount") is None:
        return Decimal(0)
    return fields.exact(event, "metadata._cost.amount") / _CENTS_PER_USD
