"""What a comparison with Polar found, as tables and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from otel_polar.cli.reconcile.kinds import MEANINGS, word
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import agreed, counted, moment, usd, usd_plain
from otel_polar.reconciliation.fact import differing_fields
from otel_polar.reconciliation.meeting import Verdict
from otel_polar.reconciliation.report import MeterVerdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from otel_polar.reconciliation.meeting import Finding
    from otel_polar.reconciliation.report import Amounts, CustomerLine, MeterLine, Report

COLUMNS: Final = (
    *("kind", "timestamp", "customer", "event_name", "model", "fields", "here", "there", "cost_nanos_here"),
    *("cost_nanos_there", "external_id", "polar_event_id", "trace_id", "span_id", "parent_id", "ledger_file"),
)
"""Of :func:`row_of`; the columns of a CSV file."""

MAX_JSON_DIFFERENCES: Final = 1_000
_US_PER_S: Final = 1_000_000
_NOBODY: Final = "-"
_BESIDE: Final = frozenset({Verdict.NOT_EXPECTED, Verdict.TRIAL})


def row_of(finding: Finding) -> dict[str, object]:
    """A difference as one row."""
    ours, theirs = finding.ours, finding.theirs
    fact = finding.fact
    is_pair = ours is not None and theirs is not None
    changes = differing_fields(ours.fact, theirs.fact) if ours is not None and theirs is not None else ()
    return {
        "kind": word(finding.verdict),
        "timestamp": iso(fact.at_unix_us / _US_PER_S),
        "customer": fact.customer,
        "event_name": fact.name,
        "model": _text(fact.metadata.get("model")),
        "fields": "; ".join(change.name for change in changes) if is_pair else "",
        "here": "; ".join(map(str, (change.here for change in changes))),
        "there": "; ".join(map(str, (change.there for change in changes))),
        "cost_nanos_here": None if ours is None else ours.fact.cost_nanos,
        "cost_nanos_there": None if theirs is None else theirs.fact.cost_nanos,
        "external_id": None if ours is None else ours.external_id,
        "polar_event_id": None if theirs is None else theirs.id,
        "trace_id": _text(fact.metadata.get("trace_id")),
        "span_id": _text(fact.metadata.get("span_id")),
        "parent_id": None if ours is None else ours.parent_id,
        "ledger_file": None if ours is None else ours.file,
    }


def json_of(report: Report, since_unix_s: float, until_unix_s: float) -> dict[str, Any]:
    """Everything, with the first differences; a CSV file has all of them."""
    total = report.total
    count = sum(report.differences.values())
    return {
        "since": iso(since_unix_s),
        "until": iso(until_unix_s),
        "equal": report.is_equal,
        "complete": not report.troubles,
        "troubles": report.troubles,
        "counts": {word(verdict): total.counts[verdict] for verdict in Verdict if verdict not in _BESIDE},
        "only_ours": report.only_ours,
        "trial_events": report.trial_events,
        "waiting": dict(total.waiting),
        "here": _amounts(total.here),
        "there": _amounts(total.there),
        "customers": [_customer(line) for line in report.customers],
        "meters": [_meter(line) for line in report.meters],
        "differences": [row_of(finding) for finding in islice(report.findings(), MAX_JSON_DIFFERENCES)],
        "differences_left_out": max(0, count - MAX_JSON_DIFFERENCES),
        "requests": report.requests,
    }


def show(report: Report, since_unix_s: float, until_unix_s: float, *, limit: int, say: Callable[[str], object]) -> None:
    """Tables of what is not equal, what it means, and a last line that says it all."""
    period = f"{moment(since_unix_s)} to {moment(until_unix_s)}"
    differences = report.differences
    if differences:
        show_table(
            f"Differences, {period}",
            ("kind", "time", "customer", "event", "differs (here | Polar)", "external id", "Polar's id"),
            [_cells(row_of(finding)) for finding in islice(report.findings(), limit)],
        )
        if (left := sum(differences.values()) - limit) > 0:
            say(f"{counted(left, 'more difference')}: --limit shows more, --csv FILE has all of them")
        lines = [line for line in report.customers if not line.is_equal]
        show_table(
            "Customers with differences",
            ("customer", "events here", "on Polar", "cost here", "on Polar"),
            [_customer_cells(line) for line in lines[:limit]],
            numbers=("events here", "on Polar", "cost here"),
        )
    if report.meters:
        show_table(
            f"Meters, {period}",
            ("meter", "here", "on Polar", "listed events", "verdict"),
            [_meter_cells(line) for line in report.meters],
            numbers=("here", "on Polar", "listed events"),
        )
    for verdict in differences:
        say(f"{verdict.value.capitalize()}: {MEANINGS[verdict]}")
    for line in report.differing_meters:
        say(
            f"Meter {line.name}: its quantity is neither what the ledger nor what the listed events add up to. Polar"
            " counts what it does not list: events whose parent never came, or of other senders that are on their way."
        )


def conclusion(report: Report) -> str:
    """One sentence with the numbers."""
    total = report.total
    there = counted(total.there.events, "event")
    foreign = total.counts[Verdict.MISSING_HERE] if report.only_ours else 0
    waiting = sum(total.waiting.values())
    beside = [
        *([f"{counted(foreign, 'event')} of other senders left aside"] if foreign else []),
        *([f"{counted(report.trial_events, 'test event')} of doctor left aside"] if report.trial_events else []),
        *(
            [f"{counted(waiting, 'call')} {agreed(waiting, 'waits', 'wait')} here: `otel-polar outbox list`"]
            if waiting
            else []
        ),
    ]
    ending = f" ({'; '.join(beside)})" if beside else ""
    compared = [line for line in report.meters if line.verdict is not MeterVerdict.NOT_COMPARED]
    meters = f"{counted(len(compared), 'meter')} of {len(report.meters)}"
    if report.is_equal:
        same = "Equal as far as it was compared" if report.troubles else "Equal"
        return f"{same}: {there} on Polar, {usd(total.there.cost_nanos)} of cost, {meters}{ending}"
    kinds = [f"{count:,} {verdict.value}" for verdict, count in report.differences.items()]
    kinds += [counted(len(report.differing_meters), "meter")] if report.differing_meters else []
    return (
        f"Not equal: {', '.join(kinds)}; {total.counts[Verdict.EQUAL]:,} of {there} on Polar are equal. Cost here"
        f" {usd(total.here.cost_nanos)}, on Polar {usd(total.there.cost_nanos)}{ending}"
    )


def iso(unix_s: float) -> str:
    """A time for programs."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cells(row: dict[str, object]) -> tuple[str, ...]:
    changes = zip(*(str(row[key]).split("; ") for key in ("fields", "here", "there")), strict=False)
    what = ", ".join(f"{name}: {here} | {there}" for name, here, there in changes if name)
    if not what:
        costs = [row[key] for key in ("cost_nanos_here", "cost_nanos_there") if isinstance(row[key], int)]
        what = f"cost {usd(costs[0])}" if costs and isinstance(costs[0], int) else ""
    return (
        str(row["kind"]).replace("_", " "),
        str(row["timestamp"]),
        str(row["customer"] or _NOBODY),
        " ".join(str(row[key]) for key in ("event_name", "model") if row[key]),
        what,
        str(row["external_id"] or _NOBODY),
        str(row["polar_event_id"] or _NOBODY),
    )


def _customer_cells(line: CustomerLine) -> tuple[str, ...]:
    return (
        line.customer or _NOBODY,
        f"{line.here.events:,}",
        f"{line.there.events:,}",
        usd(line.here.cost_nanos),
        usd(line.there.cost_nanos),
    )


def _meter_cells(line: MeterLine) -> tuple[str, ...]:
    verdict = line.verdict.value
    if line.verdict is MeterVerdict.EXPLAINED and line.why is None:
        verdict = "differs as the events do"
    return (
        line.name,
        *(_NOBODY if amount is None else _plain(amount) for amount in (line.here, line.there, line.listed)),
        verdict if line.why is None else f"{verdict}: {line.why}",
    )


def _customer(line: CustomerLine) -> dict[str, Any]:
    return {
        "customer": line.customer,
        "equal": line.is_equal,
        "here": _amounts(line.here),
        "there": _amounts(line.there),
        "counts": {word(verdict): count for verdict, count in line.counts.items() if count},
        "waiting": dict(line.waiting),
    }


def _meter(line: MeterLine) -> dict[str, Any]:
    return {
        "meter_id": line.id,
        "name": line.name,
        "verdict": line.verdict.value.replace(" ", "_"),
        "here": None if line.here is None else str(line.here),
        "there": None if line.there is None else str(line.there),
        "listed": None if line.listed is None else str(line.listed),
        "why": line.why,
    }


def _amounts(amounts: Amounts) -> dict[str, Any]:
    return {
        "events": amounts.events,
        "cost_nanos": amounts.cost_nanos,
        "cost_usd": usd_plain(amounts.cost_nanos),
        "charge_nanos": amounts.charge_nanos,
        "charge_usd": usd_plain(amounts.charge_nanos),
    }


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():,f}"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
