"""Making what is wanted on Polar, one thing at a time; interrupted and run again, it makes nothing twice.

What is there is read again before each change, so that whatever was made meanwhile, by an earlier run, by another one,
or by a request whose answer was lost, is found. Nothing at all is made while anything wanted is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from otel_polar.account.plan import Account, Action, Item, Plan, plan_of
from otel_polar.errors import PolarError, PolarUnreachableError
from otel_polar.polar_api import meters, products

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.account.wanted import Wanted
    from otel_polar.polar_api.client import PolarApi

_Thing = TypeVar("_Thing")
_DONE = {Action.CREATE: Action.CREATED, Action.ATTACH: Action.ATTACHED}


def make_plan(api: PolarApi, wanted: Wanted) -> Plan:
    """What there is to do; nothing is changed.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    return plan_of(_read_account(api, wanted), wanted)


def carry_out(api: PolarApi, wanted: Wanted, *, done: Callable[[Item], object] = lambda _: None) -> Plan:
    """Make what is missing, and tell *done* of each thing that was made. The plan as it was carried out.

    Raises:
        PolarError: if something cannot be made; what was made before it stays, and running it again goes on from there.
    """
    changed: dict[tuple[str, str], Action] = {}
    while True:
        account = _read_account(api, wanted)
        plan = plan_of(account, wanted)
        if plan.refused or not plan.to_do:
            items = (replace(item, action=changed.get((item.kind, item.name), item.action)) for item in plan.items)
            return Plan(tuple(items))
        item = plan.to_do[0]
        key = (item.kind, item.name)
        if key in changed:
            # Once more would be twice.
            raise PolarError(
                f"the {item.kind} {item.name!r} was made, but Polar does not show it as it was asked for: look at it on"
                " Polar before you run this again"
            )
        _change(api, account, wanted, item)
        changed[key] = _DONE[item.action]
        done(replace(item, action=changed[key]))


def _read_account(api: PolarApi, wanted: Wanted) -> Account:
    return Account(
        meters=tuple(meters.list_meters(api)),
        products=()
        if wanted.product is None
        else tuple(each for each in products.list_products(api) if not each.is_archived),
        credits=() if wanted.credits is None else tuple(products.list_meter_credits(api)),
    )


def _change(api: PolarApi, account: Account, wanted: Wanted, item: Item) -> None:
    try:
        _make(api, account, wanted, item)
    except PolarUnreachableError as error:
        found = next(each for each in make_plan(api, wanted).items if (each.kind, each.name) == (item.kind, item.name))
        if not error.may_have_happened or found.action is not Action.THERE:
            raise


def _make(api: PolarApi, account: Account, wanted: Wanted, item: Item) -> None:
    if item.kind == "meter":
        meter = next(each for each in wanted.meters if each.name == item.name)
        meters.create_meter(api, name=meter.name, counting=meter.counting, unit=meter.unit)
    elif item.kind == "product":
        _make_product(api, account, wanted)
    elif item.kind == "credits":
        _make_credits(api, account, wanted)
    else:
        _attach(api, account, wanted)


def _make_product(api: PolarApi, account: Account, wanted: Wanted) -> None:
    product = _there(wanted.product)
    products.create_metered_product(
        api,
        name=product.name,
        interval=product.interval,
        meter_id=_there(account.same_meter(product.meter)).id,
        cents_per_unit=product.cents_per_unit,
        currency=product.currency,
    )


def _make_credits(api: PolarApi, account: Account, wanted: Wanted) -> None:
    credits_ = _there(wanted.credits)
    products.create_meter_credit(
        api,
        description=credits_.description,
        meter_id=_there(account.same_meter(credits_.meter)).id,
        units=credits_.units,
        has_rollover=credits_.has_rollover,
    )


def _attach(api: PolarApi, account: Account, wanted: Wanted) -> None:
    name = _there(wanted.product).name
    product = next(each for each in account.products if each.name == name)
    benefit = _there(account.same_credits(_there(wanted.credits)))
    products.set_benefits(api, product.id, [*product.benefit_ids, benefit.id])


def _there(found: _Thing | None) -> _Thing:
    if found is None:
        raise AssertionError("what a thing needs comes before it in the plan")
    return found
