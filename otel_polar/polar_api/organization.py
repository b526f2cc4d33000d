"""The organizations an access token is for: an organization access token is for one of them.

Source: polarsource/polar, server/polar/organization/endpoints.py (scope ``organizations:read``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_polar.polar_api import fields, listing

if TYPE_CHECKING:
    from otel_polar.polar_api.client import PolarApi


@dataclass(frozen=True, slots=True)
class Organization:
    """Whom the customers, meters and events belong to. ``slug`` is its name in addresses."""

    id: str
    name: str
    slug: str


def read_organizations(api: PolarApi) -> list[Organization]:
    """Every organization that the access token may see.

    Raises:
        PolarError: if they cannot be read; :class:`~otel_polar.errors.PolarDeniedError` without the scope.
    """
    return [
        Organization(id=fields.text(item, "id"), name=fields.text(item, "name"), slug=fields.text(item, "slug"))
        for item in listing.iterate(api, "/v1/organizations/")
    ]
