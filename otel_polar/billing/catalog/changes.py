"""What a newer price list changes, and whether it can be believed.

A list that was fetched is somebody's work of the last hours. A price that is a hundred times another is more often a
slip of the unit than a provider's decision: an entry that moved by more than a factor is held back until a person has
looked, and a list that has lost many entries, or moved many, is not taken at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from genai_prices.types import TieredPrices

from otel_polar.billing.money import EXACT, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice, Provider

MAX_LOST_PERCENT: Final = 10
MAX_MOVED_PERCENT: Final = 10
_PAST: Final = timedelta(days=30)
"""Calls wait for a price so long: their prices must not have been rewritten either."""


@dataclass(frozen=True, slots=True)
class Move:
    """A price that moved too far. ``entry`` is ``provider/model``; prices are US dollars as the list has them."""

    entry: str
    key: str
    before: Decimal | None
    after: Decimal | None

    def __str__(self) -> str:
        before, after = ("none" if price is None else plain(price) for price in (self.before, self.after))
        return f"{self.entry} {self.key} from {before} to {after}"


class UnbelievableListError(ValueError):
    """A price list that is not to be used; the message says why."""


def moves(old: Sequence[Provider], new: Sequence[Provider], *, at: datetime, max_factor: Decimal) -> list[Move]:
    """The prices of both lists that differ by more than *max_factor*, at that time or a month before it.

    Raises:
        UnbelievableListError: if too many entries of the old list are missing from the new one, or have moved.
    """
    before, after = dict(_entries(old)), dict(_entries(new))
    lost = sorted(before.keys() - after.keys())
    if 100 * len(lost) > MAX_LOST_PERCENT * len(before):
        raise UnbelievableListError(f"it lacks {len(lost)} of {len(before)} entries, such as {', '.join(lost[:3])}")
    # A set: most that has moved has done so at both times, and at every tier.
    found: set[Move] = set()
    for entry in before.keys() & after.keys():
        for moment in (at, at - _PAST):
            found.update(_moves_of(entry, before[entry], after[entry], moment, max_factor))
    moved = {move.entry for move in found}
    if 100 * len(moved) > MAX_MOVED_PERCENT * len(before):
        raise UnbelievableListError(
            f"the prices of {len(moved)} of {len(before)} entries have moved by more than {plain(max_factor)} times",
        )
    return sorted(found, key=str)


def _entries(providers: Sequence[Provider]) -> Iterator[tuple[str, ModelInfo]]:
    return ((f"{provider.id}/{model.id}", model) for provider in providers for model in provider.models)


def _moves_of(entry: str, old: ModelInfo, new: ModelInfo, at: datetime, max_factor: Decimal) -> Iterator[Move]:
    yield from _differences(entry, old.get_prices(at), new.get_prices(at), max_factor)
    for variant in old.price_variants or ():
        yield from _differences(entry, old.get_prices(at, variant.when), new.get_prices(at, variant.when), max_factor)


def _differences(entry: str, one: ModelPrice, other: ModelPrice, max_factor: Decimal) -> Iterator[Move]:
    before, after = _amounts(one), _amounts(other)
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        # A price that is new is nobody's bill yet; one that is gone leaves the call unpriced or at a more general one.
        if old is None or (old == new) or (new is None and "tier" in key):
            continue
        if new is None or not old or not new or max(old, new) > EXACT.multiply(min(old, new), max_factor):
            yield Move(entry, key, old, new)


def _amounts(prices: ModelPrice) -> dict[str, Decimal]:
    """Every amount of a table, by its key, with that of each tier."""
    amounts: dict[str, Decimal] = {}
    for key, price in vars(prices).items():
        if isinstance(price, TieredPrices):
            amounts[key] = price.base
            amounts |= {f"{key} tier above {tier.start}": tier.price for tier in price.tiers}
        elif price is not None:
            amounts[key] = price
    return amounts
