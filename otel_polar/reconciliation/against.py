"""The ledger against Polar: both sides of a period brought together, customers and meters summed up.

The ledger is read first. What is sent while Polar is read is then there and not expected, never missing; and what was
sent in the minutes before is not expected yet, for Polar lists it late.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.disk.rows import State
from otel_polar.errors import PolarDeniedError
from otel_polar.polar_api.event_windows import read_events
from otel_polar.polar_api.events import LISTED_LATE_S
from otel_polar.reconciliation.fact import Fact
from otel_polar.reconciliation.meeting import Ours, Standing, Theirs, Verdict
from otel_polar.reconciliation.metering import compare_meters
from otel_polar.reconciliation.report import Amounts, CustomerLine, MeterVerdict, Report
from otel_polar.reconciliation.whose import find_customer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_polar.polar_api.client import PolarApi
    from otel_polar.polar_api.events import PolarEvent
    from otel_polar.reconciliation.ledger import LedgerRow
    from otel_polar.reconciliation.meeting import Meeting

_US_PER_MS: Final = 1_000
_PORTION: Final = 500
_SIDE_OF_PAIRS: Final = frozenset({Verdict.MISSING_HERE, Verdict.DOUBLED_THERE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be compared: events from one millisecond since 1970 until before another, of *customer* or of all.

    ``only_ours``: events that are in no ledger here are no difference. ``meters``: compare their quantities, too.
    """

    since_unix_ms: int
    until_unix_ms: int
    customer: str | None = None
    only_ours: bool = False
    meters: bool = True

    def has(self, at_unix_us: int) -> bool:
        """Whether an event of that time is asked for."""
        return self.since_unix_ms <= at_unix_us // _US_PER_MS < self.until_unix_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is told how far it is: how many events Polar lists, then how many more of them were read."""

    announce: Callable[[int], object] = lambda _: None
    advance: Callable[[int], object] = lambda _: None


def compare(
    api: PolarApi, meeting: Meeting, rows: Callable[[], Iterable[LedgerRow]], asked: Asked, *, now: float, watch: Watch
) -> Report:
    """Compare what the ledgers have with what Polar has.

    Args:
        api: a patient one.
        meeting: a new one; it has to stay open as long as the report is read.
        rows: reads all ledgers, perhaps twice; what cannot be read of them is the caller's to say.
        asked: what is to be compared.
        now: when the ledgers began to be read, in Unix seconds.
        watch: is told how far it is.

    Raises:
        PolarError: if Polar cannot be asked.
        OtelPolarError: if a ledger cannot be read.
    """
    report = Report(meeting, asked.only_ours)
    customer = find_customer(api, asked.customer)
    if customer.id is not None or customer.external_id is not None:
        meeting.know(customer.id, customer.external_id)
    waiting = _take_ours(report, rows(), asked, customer.names, now)
    for whose in customer.questions:
        for events in read_events(api, asked.since_unix_ms, asked.until_unix_ms, whose, announce=watch.announce):
            for event in events:
                meeting.know(event.customer_id, event.external_customer_id)
            meeting.put_there(map(_theirs, events))
            watch.advance(len(events))
    meeting.pair()
    if meeting.has_strangers and any(state != State.READY for _, state in waiting):
        # What was held, or only recorded, may have become an event meanwhile, and be on Polar.
        _take_ours(Report(meeting, asked.only_ours), rows(), asked, customer.names, now)
        meeting.pair()
    report.customers = _customers(meeting, waiting)
    report.trial_events = sum(
        sums.events for (_, verdict), sums in meeting.sums("there").items() if verdict is Verdict.TRIAL
    )
    report.troubles += customer.troubles
    if asked.meters:
        try:
            report.meters = compare_meters(api, meeting, asked.since_unix_ms, asked.until_unix_ms, customer)
        except PolarDeniedError as error:
            report.troubles.append(f"no meter was compared: {error}")
    report.troubles += [
        f"the meter {line.name}: {line.why}" for line in report.meters if line.verdict is MeterVerdict.NOT_COMPARED
    ]
    if asked.customer is not None and not report.customers:
        report.troubles.append(
            "neither the ledger nor Polar has an event of this customer in this period: nothing was compared"
        )
    report.requests = api.requests
    return report


def _take_ours(
    report: Report, rows: Iterable[LedgerRow], asked: Asked, names: frozenset[str], now: float
) -> Counter[tuple[str | None, str]]:
    """Put the ledgers' events; what has none yet is counted by customer and state."""
    waiting: Counter[tuple[str | None, str]] = Counter()
    unreadable = 0
    portion: list[Ours] = []
    for row in rows:
        if not asked.has(row.at_unix_us) or (names and names.isdisjoint(row.customers)):
            continue
        standing = _standing(row, now)
        if row.state in {State.RECORDED, State.READY} or row.state.is_held:
            waiting[next(iter(row.customers), None), row.state.value] += 1
        if standing is None:
            continue
        if (fact := row.fact) is None:
            unreadable += standing is not Standing.REJECTED
            continue
        parent_id = (row.event or {}).get("parent_id")
        portion.append(Ours(row.external_id, standing, fact, parent_id, row.file))
        if len(portion) >= _PORTION:
            report.meeting.put_here(portion)
            portion.clear()
    report.meeting.put_here(portion)
    if unreadable:
        report.troubles.append(f"{unreadable} events of the ledger cannot be read: they were not compared")
    return waiting


def _standing(row: LedgerRow, now: float) -> Standing | None:
    """What is to be expected of a call on Polar; ``None``: nothing, for there is no event of it."""
    if row.state is State.SENT:
        is_listed = row.settled_at is None or row.settled_at < now - LISTED_LATE_S
        return Standing.SENT if is_listed else Standing.JUST_SENT
    if row.state is State.READY:
        return Standing.WAITING
    return Standing.REJECTED if row.state is State.REJECTED else None


def _theirs(event: PolarEvent) -> Theirs:
    return Theirs(event.id, Fact(event.at_unix_us, event.name, event.customer, event.metadata))


def _customers(meeting: Meeting, waiting: Counter[tuple[str | None, str]]) -> list[CustomerLine]:
    lines: dict[str | None, CustomerLine] = {}

    def line_of(customer: str | None) -> CustomerLine:
        return lines.setdefault(customer, CustomerLine(customer))

    for (customer, verdict), sums in meeting.sums("here").items():
        line = line_of(customer)
        line.counts[verdict] += sums.events
        if verdict not in {Verdict.NOT_EXPECTED, Verdict.UNEXPECTED_THERE}:
            line.here.add(Amounts(*sums))
    for (customer, verdict), sums in meeting.sums("there").items():
        if verdict is Verdict.TRIAL:
            continue
        line = line_of(customer)
        line.there.add(Amounts(*sums))
        if verdict in _SIDE_OF_PAIRS:
            line.counts[verdict] += sums.events
    for (customer, state), count in waiting.items():
        line_of(meeting.customer(customer)).waiting[state] += count
    return sorted(lines.values(), key=lambda line: line.customer or "")
