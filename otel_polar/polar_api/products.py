"""Polar's products with metered prices, and its benefits that credit units of a meter.

Amounts are decimal text in cents a unit, at most 12 places, as Polar keeps them: a billionth of a dollar is 1e-7 cents.
The version 2026-10 of the API has no free price: a product that costs nothing by itself has a fixed one of 0.

Sources: polarsource/polar, server/polar/product/schemas.py and server/polar/benefit/strategies/meter_credit. Scopes:
``products:write``, ``benefits:write``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from otel_polar.polar_api import fields, listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from otel_polar.polar_api.client import PolarApi

PRODUCTS: Final = "/v1/products/"
BENEFITS: Final = "/v1/benefits/"
MAX_UNITS: Final = 2**31 - 1
"""A credit is an Int32 on Polar."""

MAX_PLACES: Final = 12
"""Of an amount in cents a unit."""

_METERED_UNIT: Final = "metered_unit"
_METER_CREDIT: Final = "meter_credit"


@dataclass(frozen=True, slots=True)
class MeteredPrice:
    """What a unit of a meter costs, in cents. ``cap_cents`` is the most of a period, if there is one."""

    meter_id: str
    cents_per_unit: Decimal
    currency: str
    cap_cents: int | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A product on Polar. ``other_prices`` are the kinds of those that are not a metered unit's."""

    id: str
    name: str
    interval: str | None
    is_archived: bool
    metered: tuple[MeteredPrice, ...]
    other_prices: tuple[str, ...]
    benefit_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeterCredit:
    """A benefit that credits units of a meter, each period anew. ``has_rollover``: what is left is kept."""

    id: str
    description: str
    meter_id: str
    units: int
    has_rollover: bool


def list_products(api: PolarApi) -> list[Product]:
    """Every product, by name; archived ones, too.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    return [_read_product(item) for item in listing.iterate(api, PRODUCTS, {"sorting": "name"})]


def create_metered_product(
    api: PolarApi, *, name: str, interval: str, meter_id: str, cents_per_unit: Decimal, currency: str
) -> Product:
    """Create a product that costs so many cents for each unit of a meter, and nothing else.

    Raises:
        PolarError: if it cannot be created; after :class:`~otel_polar.errors.PolarUnreachableError` it may have been.
    """
    price = {
        "amount_type": _METERED_UNIT,
        "meter_id": meter_id,
        "unit_amount": f"{cents_per_unit:f}",
        "price_currency": currency,
    }
    return _read_product(api.post(PRODUCTS, {"name": name, "recurring_interval": interval, "prices": [price]}))


def set_benefits(api: PolarApi, product_id: str, benefit_ids: Sequence[str]) -> Product:
    """Give a product these benefits, and no others. Errors as above."""
    path = f"{PRODUCTS}{quote(product_id, safe='')}/benefits"
    return _read_product(api.post(path, {"benefits": list(benefit_ids)}))


def list_meter_credits(api: PolarApi) -> list[MeterCredit]:
    """Every benefit that credits units of a meter. Errors as above."""
    items = listing.iterate(api, BENEFITS, {"type": _METER_CREDIT})
    return [_read_credit(item) for item in items if item.get("type") == _METER_CREDIT and not item.get("is_deleted")]


def create_meter_credit(
    api: PolarApi, *, description: str, meter_id: str, units: int, has_rollover: bool
) -> MeterCredit:
    """Create a benefit that credits *units*, 1 to :data:`MAX_UNITS`. Errors as above."""
    properties = {"meter_id": meter_id, "units": units, "rollover": has_rollover}
    return _read_credit(
        api.post(BENEFITS, {"type": _METER_CREDIT, "description": description, "properties": properties})
    )


def _read_product(item: Any) -> Product:
    prices = [each for each in fields.mappings(item, "prices") if not each.get("is_archived")]
    metered = [each for each in prices if each.get("amount_type") == _METERED_UNIT]
    return Product(
        id=fields.text(item, "id"),
        name=fields.text(item, "name"),
        interval=fields.text_or_none(item, "recurring_interval"),
        is_archived=fields.flag(item, "is_archived"),
        metered=tuple(map(_read_price, metered)),
        other_prices=tuple(fields.text(each, "amount_type") for each in prices if each not in metered),
        benefit_ids=tuple(fields.text(each, "id") for each in fields.mappings(item, "benefits")),
    )


def _read_price(price: Any) -> MeteredPrice:
    cap = fields.optional(price, "cap_amount")
    return MeteredPrice(
        meter_id=fields.text(price, "meter_id"),
        cents_per_unit=fields.exact(price, "unit_amount"),
        currency=fields.text(price, "price_currency"),
        cap_cents=None if cap is None else fields.whole(price, "cap_amount"),
    )


def _read_credit(item: Any) -> MeterCredit:
    return MeterCredit(
        id=fields.text(item, "id"),
        description=fields.text(item, "description"),
        meter_id=fields.text(item, "properties.meter_id"),
        units=fields.whole(item, "properties.units"),
        has_rollover=fields.flag(item, "properties.rollover"),
    )
