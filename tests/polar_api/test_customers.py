"""Specifies how customers are found, made and read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from otel_polar.errors import PolarNotFoundError, PolarRefusedError
from otel_polar.polar_api import customers, organization, products
from otel_polar.polar_api.client import PolarApi
from otel_polar.polar_api.meters import Counting, Unit, create_meter
from tests.account.conftest import api
from tests.delivery.support import settings
from tests.servers.canned import Answer, CannedServer

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer

__all__ = ["api"]

ODD_IDS = ("user_42", "a/b", "a/state", "..", "a b", "ü?#%2F", "100%_sure", "back\\slash", "a&b=c")
TOTAL = Counting.of(
    {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]},
    {"func": "sum", "property": "total_tokens"},
)


def test_an_id_of_any_characters_finds_its_own_customer_and_no_other(api: PolarApi) -> None:
    """An id is yours: in an address, a slash in it would name something else."""
    for number, external_id in enumerate((*ODD_IDS, "a")):
        customers.create(api, external_id, email=f"{number}@example.com")

    found = [customers.find_by_external_id(api, external_id) for external_id in ODD_IDS]
    states = [customers.read_state_external(api, external_id) for external_id in ODD_IDS]

    assert tuple(each.external_id for each in found if each) == ODD_IDS
    assert tuple(state.customer.external_id for state in states) == ODD_IDS


@pytest.mark.parametrize("external_id", ["nobody", "a/state", "."])
def test_who_is_not_there_is_not_found(api: PolarApi, external_id: str) -> None:
    """``a/state`` must not be the state of ``a``."""
    customers.create(api, "a", email="a@example.com")

    assert customers.find_by_external_id(api, external_id) is None
    with pytest.raises(PolarNotFoundError):
        customers.read_state_external(api, external_id)


def test_an_email_is_found_in_any_case(api: PolarApi) -> None:
    """Polar holds them to be one, and refuses the second."""
    made = customers.create(api, "u", email="Alice@example.com")

    assert customers.find_by_email(api, "aLICE@example.com") == made
    assert customers.find_by_email(api, "bob@example.com") is None


def test_what_is_taken_is_refused_by_its_field(api: PolarApi) -> None:
    """Whoever asks looks at the field to know what to do."""
    customers.create(api, "u", email="a@example.com")

    with pytest.raises(PolarRefusedError) as refused:
        customers.create(api, "u", email="A@example.com")

    assert set(refused.value.fields) == {"email", "external_id"}


def test_an_external_id_is_set_once(api: PolarApi) -> None:
    """It can never be changed again."""
    made = api.post("/v1/customers/", {"email": "a@example.com"})

    assert customers.set_external_id(api, made["id"], "u").external_id == "u"
    with pytest.raises(PolarRefusedError):
        customers.set_external_id(api, made["id"], "v")


def test_pages_of_the_list_are_the_oldest_first(api: PolarApi) -> None:
    """Those who come meanwhile move nobody to another page."""
    for number in range(3):
        customers.create(api, f"u{number}", email=f"{number}@example.com")

    found, last_page = customers.read_page(api, 1)

    assert [each.external_id for each in found] == ["u0", "u1", "u2"]
    assert list(customers.list_customers(api)) == found
    assert last_page == 1


def test_the_state_has_the_balance_of_each_meter(api: PolarApi) -> None:
    """Credits are given in units of a meter, and used by events."""
    meter = create_meter(api, name="Tokens", counting=TOTAL, unit=Unit("token"))
    customers.create(api, "u", email="a@example.com")
    event = {"name": "llm_usage", "external_customer_id": "u", "metadata": {"total_tokens": 17}}
    api.post("/v1/events/ingest", {"events": [event]})

    state = customers.read_state_external(api, "u")

    found = state.meter(meter.id)
    assert found is not None
    assert (found.consumed_units, found.credited_units, found.balance) == (Decimal(17), Decimal(0), Decimal(-17))
    assert found.counted_at is not None
    assert state.meter("another") is None


def test_words_that_polar_adds_later_are_read() -> None:
    """Its own SDK refuses the whole answer for one of them."""
    state = {
        "id": "c",
        "external_id": "u",
        "email": None,
        "name": None,
        "unheard_of": 1,
        "active_meters": [{"meter_id": "m", "consumed_units": 1.5, "credited_units": 2, "balance": 0.5}],
        "active_subscriptions": [{"id": "s", "product_id": "p", "status": "dozing", "meters": [{"meter_id": "m"}]}],
        "granted_benefits": [{"benefit_id": "b", "benefit_type": "teleport"}],
    }
    answer = Answer(200, json.dumps(state))
    with CannedServer(answer) as polar, PolarApi(settings(base_url=polar.url)) as api:
        read = customers.read_state_external(api, "u")

    assert read.subscriptions == (customers.ActiveSubscription("s", "p", "dozing", ("m",)),)
    assert read.benefits == (customers.GrantedBenefit("b", "teleport"),)
    assert read.meters[0].balance == Decimal("0.5")


def test_the_organization_is_that_of_the_token(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """A person sees which one is about to be changed."""
    (found,) = organization.read_organizations(api)

    assert all((found.id, found.name, found.slug))
    assert polar_sandbox.events() == []


def test_a_product_is_paid_by_the_unit_and_grants_credits(api: PolarApi) -> None:
    """Amounts are cents of twelve places: a billionth of a dollar is 0.0000001 of one."""
    meter = create_meter(api, name="Tokens", counting=TOTAL, unit=Unit("token"))
    made = products.create_metered_product(
        *(api,), name="Usage", interval="month", meter_id=meter.id, cents_per_unit=Decimal("0.00000013"), currency="usd"
    )
    benefit = products.create_meter_credit(api, description="Free", meter_id=meter.id, units=7, has_rollover=True)
    granting = products.set_benefits(api, made.id, [benefit.id])

    assert made.metered == (products.MeteredPrice(meter.id, Decimal("0.00000013"), "usd"),)
    assert (made.interval, made.other_prices) == ("month", ())
    assert granting.benefit_ids == (benefit.id,)
    assert (products.list_products(api), products.list_meter_credits(api)) == ([granting], [benefit])
