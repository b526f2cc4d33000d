"""Polar's meters beside what the events add up to: ours by the ledger, and all that Polar lists.

A quantity is computed at once from all that Polar has, also from events that it does not list (yet). So it may be what
any of these add up to, and each says something else::

    ours                                           the meter counts what the ledger has
    ours, and what is on its way                   the same
    all that Polar lists                           the differences between the events are those of the meter
    all that Polar lists, and ours it does not     Polar has taken what it does not list: parents never came
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from otel_polar.polar_api.meters import list_meters, quantities
from otel_polar.reconciliation.counting import NotComparableError, Rule, Tally, is_same_quantity
from otel_polar.reconciliation.meeting import Place
from otel_polar.reconciliation.report import MeterLine, MeterVerdict

if TYPE_CHECKING:
    from otel_polar.polar_api.client import PolarApi
    from otel_polar.polar_api.meters import Meter
    from otel_polar.reconciliation.fact import Fact
    from otel_polar.reconciliation.meeting import Meeting
    from otel_polar.reconciliation.whose import Whose

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OURS: Final = frozenset({Place.OURS_LISTED, Place.OURS_SENT})
_OURS_SOON: Final = _OURS | {Place.OURS_COMING}
_LISTED: Final = frozenset({Place.LISTED})
_TAKEN: Final = _LISTED | {Place.OURS_SENT}
_TAKEN_SOON: Final = _TAKEN | {Place.OURS_COMING}
_COMING: Final = frozenset({Place.OURS_COMING})
_GROUPS: Final = (_OURS, _OURS_SOON, _LISTED, _TAKEN, _TAKEN_SOON, _COMING)


@dataclass(slots=True)
class _Counted:
    """A meter and what the groups of events add up to; ``why`` that cannot be told."""

    meter: Meter
    rule: Rule | None
    tallies: dict[frozenset[Place], Tally]
    why: str | None = None

    def add(self, place: Place, fact: Fact) -> None:
        if self.rule is None or self.why is not None:
            return
        try:
            if self.rule.counts(fact):
                value = self.rule.value(fact)
                for group, tally in self.tallies.items():
                    if place in group:
                        tally.add(value)
        except NotComparableError as error:
            self.why = str(error)


def compare_meters(
    api: PolarApi, meeting: Meeting, since_unix_ms: int, until_unix_ms: int, whose: Whose
) -> list[MeterLine]:
    """Every active meter, by name; one that cannot be compared says why.

    Raises:
        PolarError: if Polar cannot be asked.
    """
    counted = [_begin(meter) for meter in list_meters(api)]
    for place, fact in meeting.facts():
        for each in counted:
            each.add(place, fact)
    # Both ends belong to the period here, and microseconds count.
    start = _EPOCH + timedelta(milliseconds=since_unix_ms)
    end = _EPOCH + timedelta(milliseconds=until_unix_ms, microseconds=-1)
    return [_line(api, each, start, end, whose) for each in counted]


def _begin(meter: Meter) -> _Counted:
    try:
        rule = Rule(meter.counting)
    except NotComparableError as error:
        return _Counted(meter, None, {}, str(error))
    return _Counted(meter, rule, {group: Tally(rule.function) for group in _GROUPS})


def _line(api: PolarApi, counted: _Counted, start: datetime, end: datetime, whose: Whose) -> MeterLine:
    meter, why = counted.meter, counted.why
    if why is None and whose.names and whose.external_id is None:
        why = "Polar tells a customer's quantity by your id, and this customer has none"
    if why is not None:
        return MeterLine(meter.id, meter.name, MeterVerdict.NOT_COMPARED, why=why)
    there = quantities(api, meter.id, start, end, "month", external_customer_id=whose.external_id).total
    amounts = {group: tally.quantity for group, tally in counted.tallies.items()}

    def is_any(*groups: frozenset[Place]) -> bool:
        return any(is_same_quantity(there, amounts[group]) for group in groups)

    verdict, why = MeterVerdict.UNEXPLAINED, None
    if is_any(_OURS, _OURS_SOON):
        verdict = MeterVerdict.EQUAL
    elif is_any(_LISTED, _TAKEN, _TAKEN_SOON):
        verdict = MeterVerdict.EXPLAINED
        if not is_any(_LISTED):
            why = "Polar has taken events that it does not list: of a parent that never came, or some minutes old"
    elif events := counted.tallies[_COMING].events:
        verdict, why = MeterVerdict.NOT_COMPARED, f"{events} of its events are on their way just now"
    return MeterLine(meter.id, meter.name, verdict, amounts[_OURS], amounts[_LISTED], there, why)
