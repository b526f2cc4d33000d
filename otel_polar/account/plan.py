"""What of the wanted there is on Polar already, what is to be made, and what cannot be. Pure: it asks nobody.

A meter is known by what it counts, whatever it is called: somebody may have renamed it. A product is known by its name,
which is what people buy; credits by their meter, units and rollover. The same name for something else is refused and
never changed: a meter's filter is frozen once something was billed by it, and a product's price is what people agreed
to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from otel_polar.account.wanted import in_words

if TYPE_CHECKING:
    from otel_polar.account.wanted import Wanted, WantedCredits, WantedMeter, WantedProduct
    from otel_polar.polar_api.meters import Meter, Unit
    from otel_polar.polar_api.products import MeterCredit, Product


class Action(StrEnum):
    """What is to be done about one of the wanted things, or was."""

    CREATE = "create"
    ATTACH = "attach"
    """The credits are to be granted with the product."""

    THERE = "there already"
    REFUSED = "refused"
    CREATED = "created"
    ATTACHED = "attached"

    @property
    def is_to_do(self) -> bool:
        """Whether Polar would be changed."""
        return self in {Action.CREATE, Action.ATTACH}


@dataclass(frozen=True, slots=True)
class Item:
    """One of the wanted things. ``id`` is Polar's, as far as it is there; ``says`` what a person should know."""

    kind: str
    name: str
    action: Action
    id: str | None = None
    says: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What there is on Polar. Archived meters and products count and sell nothing: they are not among these."""

    meters: tuple[Meter, ...]
    products: tuple[Product, ...] = ()
    credits: tuple[MeterCredit, ...] = ()

    def same_meter(self, wanted: WantedMeter) -> Meter | None:
        """A meter that counts the same; the one of that name if there are several."""
        same = [meter for meter in self.meters if meter.counting == wanted.counting]
        return next((meter for meter in same if meter.name == wanted.name), same[0] if same else None)

    def same_credits(self, wanted: WantedCredits) -> MeterCredit | None:
        """A benefit that credits the same."""
        meter = self.same_meter(wanted.meter)
        return next((each for each in self.credits if meter is not None and _is_same(each, wanted, meter)), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """All wanted things, in the order in which they have to be made."""

    items: tuple[Item, ...]

    @property
    def to_do(self) -> list[Item]:
        """What would be changed on Polar."""
        return [item for item in self.items if item.action.is_to_do]

    @property
    def refused(self) -> list[Item]:
        """What stands in the way."""
        return [item for item in self.items if item.action is Action.REFUSED]


def plan_of(account: Account, wanted: Wanted) -> Plan:
    """What is to be done so that all that is wanted is there."""
    items = [_meter(account, meter) for meter in wanted.meters]
    if wanted.product is not None:
        items.append(_product(account, wanted.product))
    if wanted.credits is not None:
        items.append(_credits(account, wanted.credits))
        if wanted.product is not None:
            items.append(_attachment(account, wanted.product, wanted.credits))
    return Plan(tuple(items))


def _meter(account: Account, wanted: WantedMeter) -> Item:
    same = account.same_meter(wanted)
    if same is not None:
        said = [] if same.name == wanted.name else [f"called {same.name!r}"]
        if same.unit != wanted.unit:
            said.append(f"shown in {_unit(same.unit)}, not in {_unit(wanted.unit)}: change that on Polar if you like")
        return Item("meter", wanted.name, Action.THERE, same.id, "; ".join(said))
    named = next((meter for meter in account.meters if meter.name.casefold() == wanted.name.casefold()), None)
    if named is None:
        return Item("meter", wanted.name, Action.CREATE, says=f"{in_words(wanted.counting)}; in {_unit(wanted.unit)}")
    return Item(
        *("meter", wanted.name, Action.REFUSED, named.id),
        f"it counts {in_words(named.counting)}; wanted is {in_words(wanted.counting)}. Give yours another name",
    )


def _product(account: Account, wanted: WantedProduct) -> Item:
    meter = account.same_meter(wanted.meter)
    price = f"{wanted.cents_per_unit:f} cents ({wanted.currency}) a unit of {wanted.meter.name!r}, a {wanted.interval}"
    there = next((each for each in account.products if each.name == wanted.name), None)
    if there is None:
        return Item("product", wanted.name, Action.CREATE, says=price)
    differing = _differing(there, wanted, meter)
    if differing:
        said = f"{'; '.join(differing)}; wanted is {price}. Give yours another name, or change it on Polar"
        return Item("product", wanted.name, Action.REFUSED, there.id, said)
    return Item("product", wanted.name, Action.THERE, there.id)


def _differing(there: Product, wanted: WantedProduct, meter: Meter | None) -> list[str]:
    differing = [f"it has a price of the kind {kind}" for kind in there.other_prices]
    if there.interval != wanted.interval:
        differing.append(f"it is billed by the {there.interval}" if there.interval else "it is sold once")
    if len(there.metered) != 1:
        return [*differing, f"it has {len(there.metered)} metered prices"]
    (price,) = there.metered
    if meter is None or price.meter_id != meter.id:
        differing.append(f"its price is on another meter ({price.meter_id})")
    if (price.cents_per_unit, price.currency) != (wanted.cents_per_unit, wanted.currency):
        differing.append(f"it costs {price.cents_per_unit:f} cents ({price.currency}) a unit")
    if price.cap_cents is not None:
        differing.append(f"it costs at most {price.cap_cents} cents")
    return differing


def _credits(account: Account, wanted: WantedCredits) -> Item:
    same = account.same_credits(wanted)
    units = f"{wanted.units:,} units of {wanted.meter.name!r}, {_rollover(wanted.has_rollover)}"
    if same is not None:
        said = "" if same.description == wanted.description else f"called {same.description!r}"
        return Item("credits", wanted.description, Action.THERE, same.id, said)
    named = next((each for each in account.credits if each.description == wanted.description), None)
    if named is None:
        return Item("credits", wanted.description, Action.CREATE, says=units)
    there = f"{named.units:,} units of the meter {named.meter_id}, {_rollover(named.has_rollover)}"
    said = f"it is {there}; wanted is {units}"
    return Item("credits", wanted.description, Action.REFUSED, named.id, f"{said}. Give yours another description")


def _attachment(account: Account, product: WantedProduct, credits_: WantedCredits) -> Item:
    there = next((each for each in account.products if each.name == product.name), None)
    benefit = account.same_credits(credits_)
    name = f"{credits_.description} with {product.name}"
    if there is not None and benefit is not None and benefit.id in there.benefit_ids:
        return Item("grant", name, Action.THERE, there.id)
    # Who has bought the product already is granted it, too.
    said = "" if there is None else "also granted to those who have the product already"
    return Item("grant", name, Action.ATTACH, None if there is None else there.id, said)


def _is_same(there: MeterCredit, wanted: WantedCredits, meter: Meter) -> bool:
    return (there.meter_id, there.units, there.has_rollover) == (meter.id, wanted.units, wanted.has_rollover)


def _rollover(has_rollover: object) -> str:
    return "kept if unused" if has_rollover else "lost if unused"


def _unit(unit: Unit) -> str:
    if unit.kind != "custom":
        return f"{unit.kind}s"
    return f"{unit.label}" if unit.multiplier in {None, 1} else f"{unit.label} ({unit.multiplier:,} units each)"
