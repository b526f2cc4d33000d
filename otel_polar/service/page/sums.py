"""Sums of money by hour and by day for each customer, or each model: plain additions, in whole billionths of a dollar.

Hours and days (UTC) are summed up separately, so that what is older than a day takes little room and nothing has to be
taken apart again. Names come from spans and may be any number: those beyond the first few thousand are summed up
together, and that is said.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOURS_SHOWN: Final = 24
DAYS_SHOWN: Final = 30
HOURS_A_DAY: Final = 24
MAX_NAMES: Final = 5_000
SERIES_SHOWN: Final = 8

Name: TypeAlias = "tuple[str, str]"
"""What kind of name, and the name."""

FOLDED: Final[Name] = ("others", "")
"""All names that came when there were too many already."""


@dataclass(slots=True)
class Sum:
    """Of some events; ``unpriced`` of them say nothing of their cost."""

    nanos: int = 0
    events: int = 0
    unpriced: int = 0

    def add(self, nanos: int | None) -> None:
        """Count one event."""
        self.events += 1
        if nanos is None:
            self.unpriced += 1
        else:
            self.nanos += nanos

    def include(self, other: Sum) -> None:
        """Add another sum to this one."""
        self.nanos += other.nanos
        self.events += other.events
        self.unpriced += other.unpriced


Buckets: TypeAlias = "defaultdict[int, dict[Name, Sum]]"


@dataclass(frozen=True, slots=True)
class Window:
    """What is kept at one moment: hours and days since 1970, the last ones being those that have begun."""

    hour: int
    days_kept: int = DAYS_SHOWN

    @classmethod
    def at(cls, now: float, retention_s: float) -> Window:
        """At *now* (Unix seconds): no more whole days than the ledger keeps."""
        return cls(int(now // 3_600), max(1, min(DAYS_SHOWN, int(retention_s // 86_400))))

    @property
    def hours(self) -> range:
        """The last 24."""
        return range(self.hour - HOURS_SHOWN + 1, self.hour + 1)

    @property
    def days(self) -> range:
        """Today and the days before, in UTC."""
        day = self.hour // HOURS_A_DAY
        return range(day - self.days_kept + 1, day + 1)

    @property
    def first_kept(self) -> tuple[int, int]:
        """The first hour and the first day that are kept: one more than is shown, if the clock is put back a little."""
        return self.hours.start - 1, self.days.start - 1


@dataclass(slots=True)
class Dimension:
    """The sums by one kind of name."""

    hours: Buckets = field(default_factory=lambda: defaultdict(dict))
    days: Buckets = field(default_factory=lambda: defaultdict(dict))
    names: set[Name] = field(default_factory=set)
    is_folded: bool = False

    def add(self, hour: int, name: Name, nanos: int | None, window: Window) -> None:
        """Count one event, unless it is older than what is kept. An hour that is kept is in a day that is."""
        day = hour // HOURS_A_DAY
        first_hour, first_day = window.first_kept
        if day < first_day:
            return
        name = self._known(name)
        _sum_of(self.days[day], name).add(nanos)
        if hour >= first_hour:
            _sum_of(self.hours[hour], name).add(nanos)

    def forget(self, window: Window) -> None:
        """Drop what is older than what is kept."""
        first_hour, first_day = window.first_kept
        forgotten = [(self.hours, hour) for hour in self.hours if hour < first_hour]
        forgotten += [(self.days, day) for day in self.days if day < first_day]
        for buckets, number in forgotten:
            del buckets[number]
        # A name that was summed up with others must not come back as if nothing had been before.
        if forgotten and not self.is_folded:
            self.names = {name for buckets in (self.hours, self.days) for each in buckets.values() for name in each}

    def _known(self, name: Name) -> Name:
        if name in self.names:
            return name
        if len(self.names) >= MAX_NAMES:
            self.is_folded = True
            return FOLDED
        self.names.add(name)
        return name


def _sum_of(sums: dict[Name, Sum], name: Name) -> Sum:
    found = sums.get(name)
    if found is None:
        found = sums[name] = Sum()
    return found


@dataclass(frozen=True, slots=True)
class Series:
    """One name over time: ``nanos`` has a sum for every hour or day. ``name`` is ``None`` for all others together."""

    name: Name | None
    nanos: Sequence[int]
    total: Sum


@dataclass(frozen=True, slots=True)
class Chart:
    """The names with the highest sums, and the others. ``others`` is how many those are, at least."""

    series: Sequence[Series]
    total: Sum
    others: int


def build_chart(buckets: Sequence[Buckets], numbers: range) -> Chart:
    """Add up the hours or days of these *numbers*, from several ledgers."""
    totals: defaultdict[Name, Sum] = defaultdict(Sum)
    for number in numbers:
        for name, each in _at(buckets, number):
            totals[name].include(each)
    folded = totals.pop(FOLDED, None)
    ranked = sorted(totals, key=lambda name: (-totals[name].nanos, -totals[name].events, name))
    top = ranked[:SERIES_SHOWN]
    lines = {name: [0] * len(numbers) for name in top}
    rest = [0] * len(numbers)
    for index, number in enumerate(numbers):
        for name, each in _at(buckets, number):
            lines.get(name, rest)[index] += each.nanos
    series = [Series(name, lines[name], totals[name]) for name in top]
    others = _added([*(totals[name] for name in ranked[SERIES_SHOWN:]), *([] if folded is None else [folded])])
    if others.events:
        series.append(Series(None, rest, others))
    return Chart(series, _added([each.total for each in series]), len(ranked) - len(top))


def _at(buckets: Sequence[Buckets], number: int) -> Iterable[tuple[Name, Sum]]:
    return [item for each in buckets if number in each for item in each[number].items()]


def _added(sums: Iterable[Sum]) -> Sum:
    total = Sum()
    for each in sums:
        total.include(each)
    return total
