"""Whether there is somebody on Polar who pays for the usage of one of your users."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from otel_polar.billing.money import plain
from otel_polar.checkup.finding import Finding, note, problem, unknown, warning, well
from otel_polar.errors import PolarDeniedError, PolarError, PolarNotFoundError
from otel_polar.polar_api.customers import read_state_external
from otel_polar.polar_api.products import list_products

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_polar.polar_api.client import PolarApi
    from otel_polar.polar_api.customers import CustomerState
    from otel_polar.polar_api.meters import Meter


def customer_findings(api: PolarApi, user: str, *, counting: Sequence[Meter] | None, sent: int) -> Iterator[Finding]:
    """Whether the customer with that external id exists, and pays for what our meters count.

    Args:
        api: Polar.
        user: your id of the customer.
        counting: the meters that count our events; ``None`` if they could not be read.
        sent: how many calls of theirs the outbox knows to have been sent.
    """
    try:
        state = read_state_external(api, user)
    except PolarNotFoundError:
        already = f" {sent} of their calls have been sent already, and are lost to billing." if sent else ""
        yield problem(
            "customers.exists",
            f"Polar has no customer with the external id {user!r}",
            why="Polar takes the usage of unknown ids and never bills it, not even once the customer is there."
            + already,
            do=(f"otel-polar customers ensure {quote(user)} --email ...",),
        )
        return
    except PolarDeniedError as error:
        yield unknown("customers.exists", str(error), why="Whether the customer exists is not known.")
        return
    except PolarError as error:
        yield unknown("customers.exists", str(error))
        return
    yield well("customers.exists", f"Polar has a customer with the external id {user!r}")
    if counting is None:
        yield note("customers.pays", "what they pay for is not known: the token lacks the scope meters:read")
    elif counting:
        yield from _pays(api, state, counting)


def _pays(api: PolarApi, state: CustomerState, counting: Sequence[Meter]) -> Iterator[Finding]:
    ours = {meter.id: meter.name for meter in counting}
    try:
        paid = [meter_id for meter_id in _paid_meters(api, state) if meter_id in ours]
    except PolarError as error:
        yield note("customers.pays", f"what they pay for is not known: {error}")
        return
    if paid:
        names = ", ".join(repr(ours[meter_id]) for meter_id in dict.fromkeys(paid))
        yield well("customers.pays", f"their subscription has a price on the meter {names}")
    else:
        what = "no active subscription" if not state.subscriptions else "no subscription with a price on our meters"
        yield warning(
            "customers.pays",
            f"the customer has {what}",
            why="Polar passes over the usage of who has none, and does not bill it later.",
            do=("# in Polar: a product with a metered price, and a subscription of the customer to it",),
        )
    why = "Polar counts some seconds to hours behind."
    for balance in state.meters:
        if balance.meter_id in ours:
            used, credited = plain(balance.consumed_units), plain(balance.credited_units)
            yield note(
                "customers.balance",
                f"{ours[balance.meter_id]!r}: {used} used, {credited} credited, {plain(balance.balance)} left",
                why=why,
            )
            # It is true of each, and said once.
            why = ""


def _paid_meters(api: PolarApi, state: CustomerState) -> Iterator[str]:
    """The meters on which the customer's subscriptions have a price; a product is only asked for where none tells."""
    told = [meter_id for each in state.subscriptions for meter_id in each.meter_ids]
    yield from told
    if state.subscriptions and not told:
        products = {each.product_id for each in state.subscriptions}
        for product in list_products(api):
            if product.id in products:
                yield from (price.meter_id for price in product.metered)
