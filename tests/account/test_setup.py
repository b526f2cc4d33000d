"""Specifies that what is wanted is made on Polar once, and that nothing that is there is changed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from otel_polar.account.plan import Action
from otel_polar.account.setup import carry_out, make_plan
from otel_polar.account.wanted import DEFAULT_KINDS, Wanted, WantedCredits, WantedProduct, wanted_meter
from otel_polar.errors import PolarError, PolarUnreachableError
from otel_polar.polar_api.meters import Unit, create_meter, list_meters
from otel_polar.polar_api.products import list_meter_credits, list_products

if TYPE_CHECKING:
    from otel_polar.polar_api.client import PolarApi
    from otel_polar.sandbox import SandboxServer

METERS = Wanted(tuple(wanted_meter(kind, event_name="llm_usage") for kind in DEFAULT_KINDS))
COST, TOKENS = METERS.meter("cost"), METERS.meter("total_tokens")
ALL = replace(
    METERS,
    product=WantedProduct("Pay as you go", COST, Decimal("0.00000013")),
    credits=WantedCredits("A million tokens", TOKENS, 1_000_000),
)


def actions(api: PolarApi, wanted: Wanted) -> list[Action]:
    return [item.action for item in make_plan(api, wanted).items]


def changes(polar: SandboxServer) -> int:
    return sum(request.method in {"POST", "PATCH", "DELETE"} for request in polar.requests)


def test_a_plan_changes_nothing(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is shown before anybody is asked."""
    assert actions(api, ALL) == [Action.CREATE] * 7 + [Action.ATTACH]
    assert changes(polar_sandbox) == 0


def test_all_of_it_is_made_and_a_second_time_nothing(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is run with every deployment."""
    made = carry_out(api, ALL)
    changed = changes(polar_sandbox)
    again = carry_out(api, ALL)

    assert [item.action for item in made.items] == [Action.CREATED] * 7 + [Action.ATTACHED]
    assert [item.action for item in again.items] == [Action.THERE] * 8
    assert changes(polar_sandbox) == changed == 8
    assert [item.id for item in again.items] == [item.id for item in made.items]
    (product,), (benefit,) = list_products(api), list_meter_credits(api)
    assert product.metered[0].cents_per_unit == Decimal("0.00000013")
    assert product.benefit_ids == (benefit.id,)


@pytest.mark.parametrize("path", ["/v1/meters/", "/v1/products/", "/v1/benefits/"])
@pytest.mark.parametrize("after_commit", [False, True])
def test_interrupted_in_the_middle_and_run_again_nothing_is_there_twice(
    api: PolarApi, polar_sandbox: SandboxServer, path: str, *, after_commit: bool
) -> None:
    """Polar may have made what it did not answer for, and keeps no two apart."""
    polar_sandbox.hang_up_on(path, method="POST", after_commit=after_commit)
    if after_commit:
        carry_out(api, ALL)
    else:
        with pytest.raises(PolarUnreachableError):
            carry_out(api, ALL)
        carry_out(api, ALL)

    assert sorted(meter.name for meter in list_meters(api)) == sorted(meter.name for meter in METERS.meters)
    assert (len(list_products(api)), len(list_meter_credits(api))) == (1, 1)


def test_a_meter_of_another_name_that_counts_the_same_is_the_one(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """Somebody has renamed it; a second one would count everything twice."""
    there = create_meter(api, name="AI spend", counting=COST.counting, unit=Unit())

    (item,) = carry_out(api, Wanted((COST,))).items

    assert (item.action, item.id) == (Action.THERE, there.id)
    assert "called 'AI spend'" in item.says
    assert "shown in scalars, not in USD" in item.says
    assert changes(polar_sandbox) == 1


def test_a_meter_of_that_name_that_counts_something_else_stops_everything(
    api: PolarApi, polar_sandbox: SandboxServer
) -> None:
    """Its filter is frozen once something was billed by it, and half of a setup is none."""
    create_meter(api, name="llm cost", counting=TOKENS.counting, unit=Unit())

    plan = carry_out(api, replace(METERS, meters=(COST, METERS.meter("calls"))))

    assert [item.action for item in plan.items] == [Action.REFUSED, Action.CREATE]
    assert "it counts the sum of total_tokens" in plan.refused[0].says
    assert changes(polar_sandbox) == 1


def test_an_archived_meter_is_not_there(api: PolarApi) -> None:
    """It counts nothing any more."""
    (made,) = carry_out(api, Wanted((COST,))).items
    api.patch(f"/v1/meters/{made.id}", {"is_archived": True})

    assert actions(api, Wanted((COST,))) == [Action.CREATE]


@pytest.mark.parametrize(
    ("product", "why"),
    [
        (WantedProduct("Pay as you go", COST, Decimal("0.00000014")), "it costs 0.00000013 cents"),
        (WantedProduct("Pay as you go", COST, Decimal("0.00000013"), interval="year"), "billed by the month"),
        (WantedProduct("Pay as you go", TOKENS, Decimal("0.00000013")), "on another meter"),
        (WantedProduct("Pay as you go", COST, Decimal("0.00000013"), currency="eur"), r"cents \(usd\)"),
    ],
)
def test_a_product_that_costs_something_else_is_refused(api: PolarApi, product: WantedProduct, why: str) -> None:
    """People have agreed to its price."""
    carry_out(api, ALL)

    plan = make_plan(api, replace(ALL, product=product))

    assert [item.kind for item in plan.refused] == ["product"]
    assert plan.refused[0].says
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(plan.refused[0].says)


def test_credits_are_known_by_what_they_credit(api: PolarApi) -> None:
    """Under another description they are there; for other units under the same one they are refused."""
    carry_out(api, ALL)

    renamed = make_plan(api, replace(ALL, credits=WantedCredits("Another name", TOKENS, 1_000_000)))
    changed = make_plan(api, replace(ALL, credits=WantedCredits("A million tokens", TOKENS, 2_000_000)))

    assert [item.action for item in renamed.items[-2:]] == [Action.THERE, Action.THERE]
    assert "called 'A million tokens'" in renamed.items[-2].says
    assert [item.kind for item in changed.refused] == ["credits"]


def test_credits_for_a_product_that_is_sold_already_are_said_to_reach_its_customers(api: PolarApi) -> None:
    """They are granted to everybody who has it."""
    carry_out(api, replace(ALL, credits=None))

    grant = make_plan(api, ALL).items[-1]

    assert (grant.action, grant.says) == (Action.ATTACH, "also granted to those who have the product already")


def test_what_polar_does_not_show_as_it_was_asked_for_is_not_made_again(
    api: PolarApi, polar_sandbox: SandboxServer
) -> None:
    """A second one would be made with every run."""
    nothing = b'{"items": [], "pagination": {"max_page": 0}}'
    polar_sandbox.answer_on("/v1/meters/", 200, nothing, times=None, method="GET")

    with pytest.raises(PolarError, match="does not show it"):
        carry_out(api, Wanted((COST,)))

    assert changes(polar_sandbox) == 1
