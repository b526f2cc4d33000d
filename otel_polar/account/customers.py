"""A customer on Polar with your id, once, whoever asks for it at the same time.

=========================================  ===========================================================================
On Polar there is                          what is done
=========================================  ===========================================================================
a customer with your id                    nothing
none, and nobody with this email           the customer is created
none, but somebody with this email and     that customer is given your id. It can never be changed again
without an id of yours
none, but somebody with this email and     refused: that is another one of your users, and pays for what they use
another id of yours
=========================================  ===========================================================================

Polar compares emails without case. It refuses whatever is taken, so two that do this at once cannot both have their
way: the one that is refused looks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from otel_polar.errors import PolarRefusedError, PolarUnreachableError
from otel_polar.polar_api import customers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.polar_api.client import PolarApi
    from otel_polar.polar_api.customers import PolarCustomer

TRIES: Final = 3
_CONFLICT: Final = 409
_TAKEN: Final = frozenset({"email", "external_id"})

OF_ANOTHER: Final = (
    "a customer with this email has another external id, and cannot be given a second one: they would pay for what"
    " somebody else uses. Give this user another email, or bill them by that other id"
)
NO_EMAIL: Final = "Polar has no customer with this external id, and creates none without an email"


class Ensured(StrEnum):
    """How it came that there is a customer with your id."""

    THERE = "there already"
    LINKED = "linked"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class EnsuredCustomer:
    """A customer who has your id for sure. ``email`` is the one on Polar, which may be another than yours."""

    id: str
    external_id: str
    email: str | None
    how: Ensured


def decide(by_id: PolarCustomer | None, by_email: PolarCustomer | None) -> Ensured | None:
    """What is to be done where these were found by your id and by the email; ``None`` if it is refused."""
    if by_id is not None:
        return Ensured.THERE
    if by_email is None:
        return Ensured.CREATED
    return Ensured.LINKED if by_email.external_id is None else None


def find(api: PolarApi, external_id: str, email: str | None) -> tuple[PolarCustomer | None, PolarCustomer | None]:
    """Who is on Polar by your id and, if nobody, by the email.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    by_id = customers.find_by_external_id(api, external_id)
    if by_id is not None or email is None:
        return by_id, None
    by_email = customers.find_by_email(api, email)
    if by_email is not None and by_email.external_id == external_id:
        # Somebody was faster, between the two questions.
        return by_email, None
    return None, by_email


def ensure(
    api: PolarApi,
    external_id: str,
    *,
    email: str | None,
    name: str | None = None,
    metadata: Mapping[str, str | int | float | bool] | None = None,
) -> EnsuredCustomer:
    """Make sure that there is a customer with your id. Name and metadata are those of one that is created.

    Raises:
        PolarRefusedError: if the email is another user's, or there is none and it is needed, or Polar takes neither.
        PolarError: if Polar cannot be asked. Doing it again is safe.
    """
    refusal: PolarRefusedError | None = None
    for _ in range(TRIES):
        by_id, by_email = find(api, external_id, email)
        how = decide(by_id, by_email)
        if by_id is not None:
            return _ensured(by_id, external_id, Ensured.THERE)
        if email is None:
            raise PolarRefusedError(NO_EMAIL, status=_CONFLICT, fields=("email",), reasons=(NO_EMAIL,))
        if how is None:
            raise PolarRefusedError(OF_ANOTHER, status=_CONFLICT, fields=("email",), reasons=(OF_ANOTHER,))
        if refusal is not None and by_email is None:
            # Nobody has them: Polar does not like what they are.
            raise refusal
        try:
            if by_email is None:
                return create(api, external_id, email=email, name=name, metadata=metadata)
            return _ensured(customers.set_external_id(api, by_email.id, external_id), external_id, Ensured.LINKED)
        except PolarRefusedError as error:
            if not _TAKEN.intersection(error.fields):
                raise
            # Taken by somebody who was faster, or not to Polar's liking: looking again tells.
            refusal = error
    raise refusal or AssertionError("the last try returns or is refused")


def create(
    api: PolarApi,
    external_id: str,
    *,
    email: str,
    name: str | None = None,
    metadata: Mapping[str, str | int | float | bool] | None = None,
) -> EnsuredCustomer:
    """Create the customer; where the answer was lost, look whether it is there.

    Raises:
        PolarRefusedError: if the id or the email is taken.
        PolarError: if it cannot be created.
    """
    try:
        made = customers.create(api, external_id, email=email, name=name, metadata=metadata)
    except PolarUnreachableError as error:
        found = customers.find_by_external_id(api, external_id) if error.may_have_happened else None
        if found is None:
            raise
        made = found
    return _ensured(made, external_id, Ensured.CREATED)


def _ensured(customer: PolarCustomer, external_id: str, how: Ensured) -> EnsuredCustomer:
    if customer.external_id != external_id:
        raise PolarUnreachableError("Polar has made a customer with another external id than it was asked to")
    return EnsuredCustomer(customer.id, external_id, customer.email, how)
