"""The ledger beside a provider's export, by day (UTC) and model.

An invoice is about calls that were made, so every call counts here that the ledger has, sent or not: one that is held
was made as well. Where both sides write the models of a day in the same way they are compared one by one, else by
family: all versions of a model together. A call around midnight may be of another day for the provider.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.rows import State
from otel_polar.reconciliation.usage import (
    CACHE_READ,
    CACHE_WRITE,
    CALLS,
    COST,
    COUNTS,
    INPUT,
    OUTPUT,
    Key,
    Usage,
    model_family,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from decimal import Decimal

    from otel_polar.reconciliation.ledger import LedgerRow

_US_PER_S: Final = 1_000_000
_HUNDRED: Final = 100
_TOKENS: Final = (INPUT, CACHE_READ, CACHE_WRITE, OUTPUT)


@dataclass(frozen=True, slots=True)
class Line:
    """A day and a model, or all versions of one: what the ledger has and what the provider tells.

    ``counts`` are those that both tell; ``differing`` those of them that are not the same.
    """

    day: date
    models: tuple[str, ...]
    here: Counter[str]
    there: Counter[str]
    counts: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def is_only_here(self) -> bool:
        """Whether the provider tells nothing of it."""
        return not any(self.there.values())

    @property
    def is_only_there(self) -> bool:
        """Whether the ledger has nothing of it."""
        return not any(self.here.values())


def usage_of(rows: Iterable[LedgerRow], provider: str, days: frozenset[date]) -> Usage:
    """What the ledger has of a provider on these days."""
    usage = Usage(told=set(COUNTS), days=set(days))
    unknown: Counter[str] = Counter()
    seen: set[str] = set()
    for row in rows:
        if row.state is State.DUPLICATE or row.external_id in seen:
            continue
        day = datetime.fromtimestamp(row.at_unix_us // _US_PER_S, UTC).date()
        if day not in days:
            continue
        seen.add(row.external_id)
        if row.provider is None or row.model is None:
            unknown["name no provider and model, and were not compared"] += 1
        elif row.provider.lower() == provider:
            if row.tokens[0] is None or row.tokens[-1] is None:
                unknown["have unknown tokens, and count as calls only"] += 1
            if row.cost_nanos is None:
                unknown["have no price, and count without a cost"] += 1
            counts = dict(zip(_TOKENS, (count or 0 for count in row.tokens), strict=True))
            usage.add((day, row.model), {CALLS: 1, **counts, COST: row.cost_nanos or 0})
    usage.notes += [f"{count:,} calls of the ledger {what}" for what, count in unknown.items()]
    return usage


def compare_usage(here: Usage, there: Usage, tolerance_percent: Decimal) -> list[Line]:
    """Each day and model of either side; two counts are the same within *tolerance_percent* of the larger one."""
    lines: list[Line] = []
    for (day, _), (ours, theirs) in sorted(_families(here, there).items()):
        told = here.told & there.told_on.get(day, there.told)
        counts = tuple(count for count in COUNTS if count in told)
        groups = [frozenset({model}) for model in sorted(ours)] if ours == theirs else [frozenset(ours | theirs)]
        for group in groups:
            one, other = _total(here, day, group), _total(there, day, group)
            differing = tuple(count for count in counts if not _is_close(one[count], other[count], tolerance_percent))
            lines.append(Line(day, tuple(sorted(group)), one, other, counts, differing))
    return lines


def _families(here: Usage, there: Usage) -> dict[Key, tuple[set[str], set[str]]]:
    """The models of either side by day and family."""
    found: defaultdict[Key, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for side, usage in enumerate((here, there)):
        for (day, model), counts in usage.sums.items():
            if any(counts.values()):
                found[day, model_family(model)][side].add(model)
    return found


def _total(usage: Usage, day: date, models: frozenset[str]) -> Counter[str]:
    total: Counter[str] = Counter()
    for model in models:
        total.update(usage.sums.get((day, model), Counter()))
    return total


def _is_close(one: int, other: int, tolerance_percent: Decimal) -> bool:
    return abs(one - other) * _HUNDRED <= tolerance_percent * max(abs(one), abs(other))
