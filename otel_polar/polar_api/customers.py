"""Polar's customers: who they are, by your id, by their email or by Polar's id; and what they have used and are left.

Polar compares emails without case, and external ids with it. An external id is set once and for all; it becomes free
again when its customer is deleted.

Sources: polarsource/polar, server/polar/customer/{endpoints,service,repository}.py and schemas/state.py. Scopes:
``customers:read`` or ``customers:write`` to read, ``customers:write`` to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from otel_polar.errors import PolarNotFoundError
from otel_polar.polar_api import fields, listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

    from otel_polar.polar_api.client import PolarApi

PATH: Final = "/v1/customers/"
_NO_SEGMENTS: Final = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class PolarCustomer:
    """A customer on Polar. ``email`` is ``None`` for a team, and for one that is not complete yet."""

    id: str
    external_id: str | None
    email: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class MeterBalance:
    """How a customer stands with a meter, in its units: cost in billionths of a dollar, for one over ``cost_nanos``.

    ``balance`` is what is left of the credits, and negative once they are used up. Polar counts some seconds behind the
    last event of a customer who rests, and hours behind for one who never does.
    """

    meter_id: str
    consumed_units: Decimal
    credited_units: Decimal
    balance: Decimal
    counted_at: datetime | None = None
    """When Polar last counted: what it had before that is in these numbers. ``None`` if it does not say."""


@dataclass(frozen=True, slots=True)
class ActiveSubscription:
    """A subscription that counts as active. ``status`` is Polar's word, and may be a new one."""

    id: str
    product_id: str
    status: str
    meter_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GrantedBenefit:
    """A benefit that the customer has. ``type`` is Polar's word, and may be a new one."""

    benefit_id: str
    type: str


@dataclass(frozen=True, slots=True)
class CustomerState:
    """A customer with what is active now."""

    customer: PolarCustomer
    meters: tuple[MeterBalance, ...]
    subscriptions: tuple[ActiveSubscription, ...]
    benefits: tuple[GrantedBenefit, ...]

    def meter(self, meter_id: str) -> MeterBalance | None:
        """How it stands with this meter; ``None`` if neither an event nor a credit has reached it."""
        return next((each for each in self.meters if each.meter_id == meter_id), None)


def find_by_external_id(api: PolarApi, external_id: str) -> PolarCustomer | None:
    """The customer with your id; ``None`` if there is none.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    if _is_path_segment(external_id):
        try:
            found = _read_customer(api.get(f"{PATH}external/{quote(external_id, safe='')}"))
        except PolarNotFoundError:
            return None
        return found if found.external_id == external_id else None
    # Polar's search takes the beginning of an external id; there a backslash would stand for itself only if doubled.
    query = external_id.replace("\\", "\\\\")
    return next((each for each in _search(api, {"query": query}) if each.external_id == external_id), None)


def find_by_email(api: PolarApi, email: str) -> PolarCustomer | None:
    """The customer with this email, in whatever case; ``None`` if there is none. Errors as above."""
    wanted = email.lower()
    return next((each for each in _search(api, {"email": email}) if (each.email or "").lower() == wanted), None)


def list_customers(api: PolarApi) -> Iterator[PolarCustomer]:
    """Every customer, the oldest first, so that those who come meanwhile move nobody. Errors as above."""
    return _search(api, {"sorting": "created_at"})


def read_page(api: PolarApi, page: int) -> tuple[list[PolarCustomer], int]:
    """A page of 100 of the same list, from 1 on, and the number of the last one. Errors as above."""
    answer = api.get(PATH, {"sorting": "created_at", "page": page, "limit": listing.PAGE_ITEMS})
    found = [_read_customer(item) for item in fields.mappings(answer, "items")]
    return found, fields.whole(answer, "pagination.max_page")


def create(
    api: PolarApi,
    external_id: str,
    *,
    email: str,
    name: str | None = None,
    metadata: Mapping[str, str | int | float | bool] | None = None,
) -> PolarCustomer:
    """Create a customer.

    Raises:
        PolarRefusedError: if the email or the external id is taken, or is none; ``fields`` names which.
        PolarError: if it cannot be created; after :class:`~otel_polar.errors.PolarUnreachableError` it may have been.
    """
    body: dict[str, Any] = {"external_id": external_id, "email": email}
    if name is not None:
        body["name"] = name
    if metadata:
        body["metadata"] = dict(metadata)
    return _read_customer(api.post(PATH, body))


def set_external_id(api: PolarApi, customer_id: str, external_id: str) -> PolarCustomer:
    """Give a customer (by Polar's id) that has none an external id. It can never be changed again. Errors as above."""
    return _read_customer(api.patch(f"{PATH}{quote(customer_id, safe='')}", {"external_id": external_id}))


def read_state_external(api: PolarApi, external_id: str) -> CustomerState:
    """How the customer with your id stands.

    Raises:
        PolarNotFoundError: if there is no such customer.
        PolarError: if Polar cannot be asked.
    """
    if _is_path_segment(external_id):
        state = _read_state(api.get(f"{PATH}external/{quote(external_id, safe='')}/state"))
        if state.customer.external_id == external_id:
            return state
        found = None
    else:
        found = find_by_external_id(api, external_id)
    if found is None:
        raise PolarNotFoundError("Polar has no customer with this external id")
    return read_state(api, found.id)


def read_state(api: PolarApi, customer_id: str) -> CustomerState:
    """How the customer with Polar's id stands. Errors as above."""
    return _read_state(api.get(f"{PATH}{quote(customer_id, safe='')}/state"))


def _search(api: PolarApi, parameters: Mapping[str, str]) -> Iterator[PolarCustomer]:
    return map(_read_customer, listing.iterate(api, PATH, parameters))


def _is_path_segment(external_id: str) -> bool:
    # A slash in a path is one for Polar, too, however it is written: `a/state` would be the state of `a`.
    return "/" not in external_id and external_id not in _NO_SEGMENTS


def _read_customer(item: Any) -> PolarCustomer:
    return PolarCustomer(
        id=fields.text(item, "id"),
        external_id=fields.text_or_none(item, "external_id"),
        email=fields.text_or_none(item, "email"),
        name=fields.text_or_none(item, "name"),
    )


def _last_counted(meter: Any) -> datetime | None:
    path = next((name for name in ("modified_at", "created_at") if fields.optional(meter, name) is not None), None)
    return None if path is None else fields.time_of(meter, path)


def _read_state(item: Any) -> CustomerState:
    return CustomerState(
        customer=_read_customer(item),
        meters=tuple(
            MeterBalance(
                meter_id=fields.text(meter, "meter_id"),
                consumed_units=fields.exact(meter, "consumed_units"),
                credited_units=fields.exact(meter, "credited_units"),
                balance=fields.exact(meter, "balance"),
                counted_at=_last_counted(meter),
            )
            for meter in fields.mappings(item, "active_meters")
        ),
        subscriptions=tuple(
            ActiveSubscription(
                id=fields.text(each, "id"),
                product_id=fields.text(each, "product_id"),
                status=fields.text(each, "status"),
                meter_ids=tuple(fields.text(meter, "meter_id") for meter in fields.mappings(each, "meters")),
            )
            for each in fields.mappings(item, "active_subscriptions")
        ),
        benefits=tuple(
            GrantedBenefit(benefit_id=fields.text(each, "benefit_id"), type=fields.text(each, "benefit_type"))
            for each in fields.mappings(item, "granted_benefits")
        ),
    )
