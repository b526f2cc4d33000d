"""What a comparison of the ledger with Polar found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from otel_polar.reconciliation.meeting import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from otel_polar.reconciliation.meeting import Finding, Meeting

_DIFFERENCES = (
    Verdict.MISSING_THERE,
    Verdict.MISSING_HERE,
    Verdict.DOUBLED_THERE,
    Verdict.DIFFERING,
    Verdict.UNEXPECTED_THERE,
)


class MeterVerdict(StrEnum):
    """What is to be said of a meter's quantity."""

    EQUAL = "equal"
    EXPLAINED = "explained"
    """It is not the ledger's, and is what the events on Polar add up to: the events say why."""

    UNEXPLAINED = "unexplained"
    """It is not what the listed events add up to."""

    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class MeterLine:
    """A meter: what our events add up to, what the listed ones do, and what Polar says; ``why`` it is not compared."""

    id: str
    name: str
    verdict: MeterVerdict
    here: Decimal | None = None
    listed: Decimal | None = None
    there: Decimal | None = None
    why: str | None = None


@dataclass(slots=True)
class Amounts:
    """Events of one side, and their money in billionths of a dollar."""

    events: int = 0
    cost_nanos: int = 0
    charge_nanos: int = 0

    def add(self, other: Amounts) -> None:
        """Add up."""
        self.events += other.events
        self.cost_nanos += other.cost_nanos
        self.charge_nanos += other.charge_nanos


@dataclass(slots=True)
class CustomerLine:
    """A customer, by your id where it is known; ``None`` for events that name nobody.

    ``here`` are events that Polar has by our word; ``counts`` are events by verdict, and pairs count once.
    ``waiting`` are calls that have not been sent, by their state.
    """

    customer: str | None
    here: Amounts = field(default_factory=Amounts)
    there: Amounts = field(default_factory=Amounts)
    counts: Counter[Verdict] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)

    @property
    def is_equal(self) -> bool:
        """Whether there is no difference."""
        return not any(self.counts[verdict] for verdict in _DIFFERENCES)


@dataclass(slots=True)
class Report:
    """What was found.

    ``meeting`` has the events, until it is closed; ``troubles`` is what could not be compared; ``trial_events`` is how
    many test events of ``otel-polar doctor`` are on Polar, which are left out.
    """

    meeting: Meeting
    only_ours: bool
    customers: list[CustomerLine] = field(default_factory=list)
    meters: list[MeterLine] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    trial_events: int = 0
    requests: int = 0

    @property
    def total(self) -> CustomerLine:
        """All customers together."""
        total = CustomerLine(None)
        for line in self.customers:
            total.here.add(line.here)
            total.there.add(line.there)
            total.counts.update(line.counts)
            total.waiting.update(line.waiting)
        return total

    @property
    def differences(self) -> dict[Verdict, int]:
        """How many of each kind count as a difference; foreign ones do not if only ours are asked for."""
        counts = self.total.counts
        kinds = [kind for kind in _DIFFERENCES if not (self.only_ours and kind is Verdict.MISSING_HERE)]
        return {kind: counts[kind] for kind in kinds if counts[kind]}

    @property
    def differing_meters(self) -> list[MeterLine]:
        """Those whose quantity nothing else explains."""
        return [line for line in self.meters if line.verdict is MeterVerdict.UNEXPLAINED]

    @property
    def is_equal(self) -> bool:
        """Whether everything that was compared is equal. Something may not have been: see ``troubles``."""
        return not self.differences and not self.differing_meters

    def findings(self) -> Iterator[Finding]:
        """Each difference, by time."""
        for finding in self.meeting.findings():
            if not (self.only_ours and finding.verdict is Verdict.MISSING_HERE):
                yield finding
