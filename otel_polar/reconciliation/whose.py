"""Whose events are asked for: a customer by either id, and how both sides name that customer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from uuid import UUID

from otel_polar.errors import PolarDeniedError, PolarNotFoundError, PolarRefusedError
from otel_polar.polar_api import fields
from otel_polar.reconciliation.fact import polar_id

_STEPS: Final = frozenset({"", ".", ".."})

if TYPE_CHECKING:
    from otel_polar.polar_api.client import PolarApi


@dataclass(frozen=True, slots=True)
class Whose:
    """Everybody, or one customer.

    Args:
        id: Polar's id.
        external_id: your id.
        names: every id by which an event may name the customer; empty if everybody is meant.
        questions: what Polar is asked, one after the other.
        troubles: what could not be found out.
    """

    id: str | None = None
    external_id: str | None = None
    names: frozenset[str] = frozenset()
    questions: tuple[dict[str, str], ...] = ({},)
    troubles: list[str] = field(default_factory=list)


def find_customer(api: PolarApi, customer: str | None) -> Whose:
    """Who is meant by *customer*, which is your id or Polar's; everybody, if it is ``None``.

    An event may name a customer whom Polar does not have: that is found by your id.

    Raises:
        PolarError: if Polar cannot be asked, but for a token that may not read customers: that is a trouble.
    """
    if customer is None:
        return Whose()
    is_uuid = _is_uuid(customer)
    if "/" in customer or customer in _STEPS:
        # Neither can be a part of an address, however it is written.
        trouble = "events that name this customer by Polar's id were not compared: your id cannot stand in an address"
        return Whose(None, customer, frozenset({customer}), ({"external_customer_id": customer},), [trouble])
    try:
        found = _found(api, f"/v1/customers/external/{quote(customer, safe='')}")
        if found is None and is_uuid:
            found = _found(api, f"/v1/customers/{polar_id(customer)}")
    except PolarDeniedError as error:
        trouble = f"events that name this customer by another id were not compared: {error}"
        return Whose(None, None if is_uuid else customer, _names(customer), _questions(customer), [trouble])
    if found is None:
        # Also one whom Polar has deleted: the events stay.
        return Whose(None, customer, _names(customer), _questions(customer))
    own, external = fields.text(found, "id"), fields.text_or_none(found, "external_id")
    question = {"customer_id": own} if external is None else {"external_customer_id": external}
    return Whose(own, external, frozenset(filter(None, (own, external))), (question,))


def _found(api: PolarApi, path: str) -> Any:
    try:
        return api.get(path)
    except (PolarNotFoundError, PolarRefusedError):
        # Refused: Polar reads an id of its own there, and it is none.
        return None


def _names(customer: str) -> frozenset[str]:
    return frozenset({customer, polar_id(customer)})


def _questions(customer: str) -> tuple[dict[str, str], ...]:
    """By either kind of id, where it may be either."""
    by_id = ({"customer_id": polar_id(customer)},) if _is_uuid(customer) else ()
    return ({"external_customer_id": customer}, *by_id)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
