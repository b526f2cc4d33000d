"""Polar's customers, as the delivery asks for them: by your id, or page by page. For the delivery thread only: slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.sending.admission import Admission
from otel_polar.delivery.sending.known_customers import KnownCustomers
from otel_polar.polar_api import customers
from otel_polar.polar_api.client import PolarApi

if TYPE_CHECKING:
    from otel_polar.delivery.disk.files import OutboxDirectory
    from otel_polar.delivery.notices import Notices
    from otel_polar.polar_api.budget import Budget
    from otel_polar.settings import Settings


class CustomerQuestions:
    """Questions to Polar, within the delivery's budget. Every method raises :class:`~otel_polar.errors.PolarError`."""

    def __init__(self, settings: Settings, budget: Budget) -> None:
        self._api = PolarApi(settings, budget=budget)
        self.close = self._api.close
        """Close the connections."""

    def has_customer(self, external_id: str) -> bool:
        """Whether there is a customer with this id."""
        return customers.find_by_external_id(self._api, external_id) is not None

    def customers_on(self, page: int) -> tuple[list[str], int]:
        """The external ids on a page of the list of customers, oldest first, and the number of the last page."""
        found, last_page = customers.read_page(self._api, page)
        return [each.external_id for each in found if each.external_id is not None], last_page


def admission_of(
    settings: Settings, directory: OutboxDirectory | None, *, budget: Budget, notices: Notices
) -> Admission | None:
    """What lets events go by these settings; ``None`` if all of them may."""
    if settings.ensure_customers == "off":
        return None
    known = KnownCustomers(None if directory is None else directory.path)
    return Admission(CustomerQuestions(settings, budget), known, budget=budget, notices=notices)
