"""What a newer price list changes, and whether it can be believed.

A list that was fetched is somebody's work of the last hours. A price that is a hundred times another is more often a
slip of the unit than a provider's decision: an entry that moved by more than a factor is held back until a person has
looked, and a list that has lost many entries, or moved many, is not taken at all.

What is compared is what calls would cost: every kind of token, in every tier of context, at every time from a month ago
on at which one of the two lists changes, in every service tier, and with the fee for a request. A name that finds
another entry than before is compared with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from genai_prices.types import ClauseEquals, ClauseOr, ModelPrice, StartDateConstraint, TimeOfDateConstraint

from otel_polar.billing.catalog.tables import rates_of
from otel_polar.billing.money import EXACT, plain
from otel_polar.billing.rates import BUCKETS, REQUEST, Rates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genai_prices.types import MatchLogic, ModelInfo, Provider

MAX_LOST_PERCENT: Final = 10
MAX_MOVED_PERCENT: Final = 10
_PAST: Final = timedelta(days=30)
"""Calls wait for a price so long: their prices must not have been rewritten either."""

_GENERAL: Final = BUCKETS[:2]
_MAX_DISCOUNT: Final = Decimal(50)
_MAX_FEE_USD: Final = Decimal("0.1")
"""A fee for a request above this is looked at by a person, even where there was none before."""


@dataclass(frozen=True, slots=True)
class Move:
    """A price that moved too far. ``entry`` is ``provider/model`` in the newer list; prices are US dollars."""

    entry: str
    what: str
    before: Decimal
    after: Decimal

    def __str__(self) -> str:
        return f"{self.entry} {self.what} from {plain(self.before)} to {plain(self.after)}"


class UnbelievableListError(ValueError):
    """A price list that is not to be used; the message says why."""


def moves(old: Sequence[Provider], new: Sequence[Provider], *, at: datetime, max_factor: Decimal) -> list[Move]:
    """The prices of both lists that differ by more than *max_factor*, from a month before that time on.

    Raises:
        UnbelievableListError: if too many entries of the old list are missing from the new one, or have moved, or if
            the new one has two entries of one name.
    """
    before, after = _entries(old), _entries(new)
    lost = sorted(before.keys() - after.keys())
    if 100 * len(lost) > MAX_LOST_PERCENT * len(before):
        raise UnbelievableListError(f"it lacks {len(lost)} of {len(before)} entries, such as {', '.join(lost[:3])}")
    # A set: most that has moved has done so at all times, and at every tier.
    found: set[Move] = set()
    for (provider, name), model in _names(old):
        instead = _find(new, provider, name)
        if instead is not None:
            found.update(_moves_of(provider, model, instead, at, max_factor))
    moved = {move.entry for move in found}
    if 100 * len(moved) > MAX_MOVED_PERCENT * len(before):
        raise UnbelievableListError(
            f"the prices of {len(moved)} of {len(before)} entries have moved by more than {plain(max_factor)} times",
        )
    return sorted(found, key=str)


def _entries(providers: Sequence[Provider]) -> dict[str, ModelInfo]:
    entries: dict[str, ModelInfo] = {}
    for provider in providers:
        for model in provider.models:
            if entries.setdefault(f"{provider.id}/{model.id}", model) is not model:
                raise UnbelievableListError(f"it has two entries {provider.id}/{model.id}")
    return entries


def _names(providers: Sequence[Provider]) -> Iterator[tuple[tuple[str, str], ModelInfo]]:
    """Every name that certainly finds an entry, and its id."""
    for provider in providers:
        for model in provider.models:
            for name in {model.id.lower(), *_whole_names(model.match)}:
                yield (provider.id, name), model


def _whole_names(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseEquals):
        yield clause.equals.lower()
    elif isinstance(clause, ClauseOr):
        for part in clause.or_:
            yield from _whole_names(part)


def _find(providers: Sequence[Provider], provider_id: str, name: str) -> ModelInfo | None:
    provider = next((provider for provider in providers if provider.id == provider_id), None)
    if provider is None:
        return None
    found = next((model for model in provider.models if model.is_match(name)), None)
    return found or next((model for model in provider.models if model.id.lower() == name), None)


def _moves_of(provider: str, old: ModelInfo, new: ModelInfo, at: datetime, max_factor: Decimal) -> Iterator[Move]:
    contexts: list[dict[str, str] | None] = [None]
    contexts += [variant.when for variant in (*(old.price_variants or ()), *(new.price_variants or ()))]
    for moment in _moments(old, new, at):
        for context in contexts:
            before = rates_of(old.get_prices(moment, context), provider, old.id)
            after = rates_of(new.get_prices(moment, context), provider, new.id)
            if isinstance(before, Rates) and isinstance(after, Rates):
                yield from _differences(f"{provider}/{new.id}", before, after, max_factor)


def _moments(old: ModelInfo, new: ModelInfo, at: datetime) -> Iterator[datetime]:
    """Times at which prices may be others than at the time before, from a month ago on."""
    days, hours = {at, at - _PAST}, {at.timetz()}
    for constraint in (*_constraints(old), *_constraints(new)):
        if isinstance(constraint, StartDateConstraint):
            days.add(datetime.combine(constraint.start_date, time(tzinfo=UTC)))
        elif isinstance(constraint, TimeOfDateConstraint):
            hours |= {constraint.start_time, constraint.end_time}
    for day in days:
        if day >= at - _PAST:
            for hour in hours:
                yield datetime.combine(day.date(), hour if hour.tzinfo is not None else hour.replace(tzinfo=UTC))


def _constraints(model: ModelInfo) -> list[Any]:
    standard = [] if isinstance(model.prices, ModelPrice) else [one.constraint for one in model.prices]
    return [*standard, *(variant.constraint for variant in model.price_variants or ())]


def _differences(entry: str, before: Rates, after: Rates, max_factor: Decimal) -> Iterator[Move]:
    for start in {above for above, _ in (*before.tiers, *after.tiers)}:
        where = f" above {start} input tokens" if start else ""
        old_prices, new_prices = before.prices_above(start), after.prices_above(start)
        told: set[tuple[Decimal, Decimal]] = set()
        for bucket, old, new in zip(BUCKETS, old_prices, new_prices, strict=True):
            if old is None or new is None or (old, new) in told:
                continue
            # A discount that the list had not: cached tokens cost a tenth of others, as a rule.
            is_new_discount = bucket not in _GENERAL and new < old and old in (old_prices[0], old_prices[1])
            if _is_far(old, new, _MAX_DISCOUNT if is_new_discount else max_factor):
                # Of buckets that share a price the first stands for all.
                told.add((old, new))
                yield Move(entry, f"{bucket}{where}", old, new)
    old_fee, new_fee = before.usd_per_request, after.usd_per_request
    if (old_fee and _is_far(old_fee, new_fee, max_factor)) or (not old_fee and new_fee > _MAX_FEE_USD):
        yield Move(entry, REQUEST, old_fee, new_fee)


def _is_far(old: Decimal, new: Decimal, max_factor: Decimal) -> bool:
    if old == new:
        return False
    return not old or not new or max(old, new) > EXACT.multiply(min(old, new), max_factor)
