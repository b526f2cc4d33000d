"""Products: what a customer subscribes to, at prices that are fixed or count a meter's units, with their benefits.

A price of nothing is a fixed price of 0; ``free``, a type of its own in the past, is still read as that. At most one
price of a product is fixed. A metered price needs a product that recurs, and a meter that exists. The interval of a
product is never changed. Prices that are seat-based, unit-based, tiered or chosen by the customer are not known here.

Sources: polarsource/polar, server/polar/product/schemas.py, service.py and legacy_schemas.py.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, queries, scalars
from otel_polar.sandbox.bodies import integer_from, problem, read_body, read_changes, read_metadata, yes_or_no
from otel_polar.sandbox.scalars import RefusedError, refused
from otel_polar.sandbox.schema import REQUIRED, Member, list_of, one_of, read_object
from otel_polar.sandbox.selling_shapes import product_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from decimal import Decimal

    from starlette.requests import Request

    from otel_polar.sandbox.catalog import Item
    from otel_polar.sandbox.scalars import Problem
    from otel_polar.sandbox.store import SandboxStore

_SMALLEST_CHARGE_CENTS: Final = 50
_interval = one_of("day", "week", "month", "year")
_unit_amount = scalars.decimal(max_digits=17, decimal_places=12)
_SORTS: Final[Mapping[str, Callable[[Item], Any]]] = {
    "created_at": lambda product: product["created_at_us"],
    "name": lambda product: product["name"],
}


def _name(value: Any) -> str:
    return str(scalars.text_between(3, 64)(scalars.text(value).strip()))


def _description(value: Any) -> str | None:
    return None if value is None else str(scalars.text(value)) or None


def _price_amount(value: Any) -> int:
    amount: int = integer_from(0)(value)
    if 0 < amount < _SMALLEST_CHARGE_CENTS:
        raise refused("minimum_price", "Amount must be at least $0.50 or 0 for free pricing", value)
    return amount


def _above_zero(value: Any) -> str:
    amount: Decimal = _unit_amount(value)
    if amount <= 0:
        raise refused("greater_than", "Input should be greater than 0", value, gt=0)
    return format(amount, "f")


_SHARED: Final = {
    "price_currency": Member(scalars.currency, default="usd"),
    "tax_behavior": Member(scalars.optional(one_of("location", "inclusive", "exclusive")), default=None),
}
_PRICES: Final = {
    "fixed": {**_SHARED, "price_amount": Member(_price_amount)},
    "metered_unit": {
        **_SHARED,
        "meter_id": Member(scalars.uuid4),
        "unit_amount": Member(_above_zero),
        "cap_amount": Member(scalars.optional(integer_from(0)), default=None),
    },
}


def _read_price(value: Any) -> Item:
    if isinstance(value, dict) and value.get("amount_type") == "free":
        value = {**value, "amount_type": "fixed", "price_amount": 0}
    kind = read_object(value, {"amount_type": Member(scalars.text)})["amount_type"]
    if kind not in _PRICES:
        expected = ", ".join(repr(one) for one in _PRICES)
        message = f"Input tag '{kind}' found using 'amount_type' does not match any of the expected tags: {expected}"
        context = {"discriminator": "'amount_type'", "tag": kind, "expected_tags": expected}
        raise refused("union_tag_invalid", message, value, **context)
    try:
        return {"amount_type": kind, **read_object(value, _PRICES[kind])}
    except RefusedError as error:
        raise RefusedError(*(one.below(kind) for one in error.problems)) from None


def _read_kept_price(value: Any) -> Item:
    if isinstance(value, dict) and "id" in value:
        return {"id": scalars.uuid4(value["id"])}
    return _read_price(value)


def _some(rule: scalars.Rule) -> scalars.Rule:
    def read(value: Any) -> list[Item]:
        items: list[Item] = list_of(rule)(value)
        if not items:
            message = "List should have at least 1 item after validation, not 0"
            raise refused("too_short", message, value, field_type="List", min_length=1, actual_length=0)
        return items

    return read


_COMMON: Final = {
    "name": Member(_name),
    "description": Member(_description, default=None),
    "visibility": Member(one_of("draft", "private", "public"), default="public"),
    "metadata": Member(read_metadata, default={}),
}
_CREATE: Final = {
    **_COMMON,
    "prices": Member(_some(_read_price)),
    "recurring_interval": Member(scalars.optional(_interval), default=None),
    "recurring_interval_count": Member(scalars.optional(integer_from(1)), default=None),
}
_UPDATE: Final = {
    **_COMMON,
    "name": Member(scalars.optional(_name)),
    "visibility": Member(scalars.optional(_COMMON["visibility"].rule)),
    "prices": Member(scalars.optional(list_of(_read_kept_price))),
    "recurring_interval": Member(scalars.optional(_interval)),
    "recurring_interval_count": Member(scalars.optional(integer_from(1))),
    "is_archived": Member(scalars.optional(yes_or_no)),
}
_BENEFITS: Final = {"benefits": Member(list_of(scalars.uuid4), default=REQUIRED)}


@dataclass(frozen=True, slots=True)
class ProductsApi:
    """The endpoints around products."""

    store: SandboxStore

    async def create(self, request: Request) -> Response:
        """Create a product with its prices."""
        fields = read_body(await answers.read_json(request), _CREATE)
        if fields["recurring_interval"] is not None and fields["recurring_interval_count"] is None:
            fields["recurring_interval_count"] = 1
        if problems := list(self._price_problems(fields["prices"], fields["recurring_interval"])):
            return answers.semantic_error(problems)
        identity = {"id": str(uuid.uuid4()), "created_at_us": self.store.now_us(), "modified_at_us": None}
        product = {**identity, **fields, "is_archived": False, "benefit_ids": []}
        product["prices"] = [self._build_price(product, price) for price in fields["prices"]]
        return JSONResponse(self.shape(self.store.catalog.products.put(product)), 201)

    def _build_price(self, product: Item, terms: Item) -> Item:
        identity = {"id": str(uuid.uuid4()), "created_at_us": self.store.now_us(), "modified_at_us": None}
        return {**identity, **terms, "is_archived": False, "product_id": product["id"]}

    def _price_problems(self, prices: list[Item], interval: str | None) -> Iterator[Problem]:
        metered = set()
        for index, price in enumerate(prices):
            if "meter_id" not in price:
                continue
            place, meter_id = f"prices.{index}", price["meter_id"]
            if interval is None:
                yield _at(place, "Metered pricing is not supported on one-time products.", meter_id)
            elif self.store.find_meter(meter_id) is None:
                yield _at(f"{place}.meter_id", "Meter does not exist.", meter_id)
            elif meter_id in metered:
                yield _at(f"{place}.meter_id", "Meter is already used for another price.", meter_id)
            metered.add(meter_id)
        if not prices:
            yield problem("prices", "At least one price is required.", prices, "too_short")
        if sum(price["amount_type"] == "fixed" for price in prices) > 1:
            yield problem("prices", "Only one fixed price is allowed.", prices)

    async def update(self, request: Request) -> Response:
        """Change a product; prices that are not named any more are archived."""
        changes = read_changes(await answers.read_json(request), _UPDATE)
        product = self._find(request)
        if product is None:
            return answers.not_found()
        problems = list(_interval_problems(product, changes))
        prices = changes.pop("prices", None)
        if prices is not None:
            known = {price["id"]: price for price in product["prices"] if not price["is_archived"]}
            problems += [
                _at(f"prices.{index}", "Price does not exist.", price["id"])
                for index, price in enumerate(prices)
                if "amount_type" not in price and price["id"] not in known
            ]
            prices = [price if "amount_type" in price else known.get(price["id"], price) for price in prices]
            complete = [price for price in prices if "amount_type" in price]
            problems += self._price_problems(complete, product["recurring_interval"])
        if problems:
            return answers.semantic_error(problems)
        named = {name: value for name, value in changes.items() if value is not None or name == "description"}
        changed = {**product, **named, "modified_at_us": self.store.now_us()}
        if prices is not None:
            changed["prices"] = self._replace_prices(product, prices)
        return JSONResponse(self.shape(self.store.catalog.products.put(changed)))

    def _replace_prices(self, product: Item, prices: list[Item]) -> list[Item]:
        kept = {price["id"] for price in prices if "id" in price}
        before = [
            {**price, "is_archived": price["is_archived"] or price["id"] not in kept} for price in product["prices"]
        ]
        return before + [self._build_price(product, price) for price in prices if "id" not in price]

    async def update_benefits(self, request: Request) -> Response:
        """Set which benefits a product grants; those who subscribe to it already get or lose them too."""
        wanted = read_body(await answers.read_json(request), _BENEFITS)["benefits"]
        product = self._find(request)
        if product is None:
            return answers.not_found()
        for index, benefit_id in enumerate(wanted):
            if self.store.catalog.benefits.get(benefit_id) is None:
                return answers.semantic_error([_at(f"benefits.{index}", "Benefit does not exist.", benefit_id)])
        changed = self.store.catalog.products.put(
            {**product, "benefit_ids": wanted, "modified_at_us": self.store.now_us()}
        )
        self.store.grants.follow_product(changed)
        return JSONResponse(self.shape(changed))

    async def list_all(self, request: Request) -> Response:
        """Answer with the products, the newest first unless sorted otherwise."""
        query = request.query_params
        is_archived, is_recurring = (
            queries.read_switch(query, "is_archived"),
            queries.read_switch(query, "is_recurring"),
        )
        metadata, text = queries.read_metadata_query(query), query.get("query", "").lower()
        found = [
            product
            for product in self.store.catalog.products.all()
            if queries.is_wanted(query, "id", product["id"])
            and text in product["name"].lower()
            and is_archived in {None, product["is_archived"]}
            and is_recurring in {None, product["recurring_interval"] is not None}
            and ("benefit_id" not in query or set(query.getlist("benefit_id")) & set(product["benefit_ids"]))
            and queries.has_metadata(product["metadata"], metadata)
        ]
        queries.sort(request, found, _SORTS, "-created_at")
        return queries.page(request, found, self.shape)

    async def get(self, request: Request) -> Response:
        """Answer with one product."""
        product = self._find(request)
        return answers.not_found() if product is None else JSONResponse(self.shape(product))

    def _find(self, request: Request) -> Item | None:
        return self.store.catalog.products.get(request.path_params["id"])

    def shape(self, product: Item) -> dict[str, Any]:
        """Return a product with its benefits and the names of its prices' meters."""
        benefits = [self.store.catalog.benefits.get(benefit_id) for benefit_id in product["benefit_ids"]]
        meters = {meter.id: meter for meter in self.store.meters()}
        return product_shape(product, [benefit for benefit in benefits if benefit is not None], meters)


def _at(place: str, message: str, value: Any) -> Problem:
    found = problem(place, message, value)
    return scalars.Problem(
        found.type, message, value, tuple(int(one) if str(one).isdigit() else one for one in found.loc)
    )


def _interval_problems(product: Item, changes: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("recurring_interval", "recurring_interval_count"):
        if name in changes and changes[name] != product[name]:
            yield problem("recurring_interval", "Recurring interval cannot be changed.", changes[name])
            return
