"""What ``otel-polar replay`` says at its end, for people and for programs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from otel_polar.cli.output import Ending, say
from otel_polar.cli.printable import printable
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import agreed, counted, moment, usd, usd_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.service.stored.outcome import FileRead
    from otel_polar.service.stored.preview import Sum


@dataclass(slots=True)
class ReplayReport:
    """What was found, and what became of it. Spans are counted where nothing else is said."""

    is_dry_run: bool
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Files of folders that are not read, each with the reason."""
    files: list[FileRead] = field(default_factory=list)
    outside: int = 0
    old: int = 0
    retention_days: float = 0.0
    not_billed: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    known_here: int = 0
    known_elsewhere: int = 0
    known_to_polar: int = 0
    """Events that Polar had already, also of what had waited from earlier."""
    dropped: int = 0
    failed: int = 0
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    """Calls, by state and reason."""
    sent: int = 0
    """Calls of this run."""
    waiting: int = 0
    """Calls, of whichever run."""
    sums: dict[tuple[str, str], Sum] = field(default_factory=dict)
    """By customer and model, of a dry run."""
    unreadable_outboxes: list[str] = field(default_factory=list)
    is_interrupted: bool = False


def ending_of(report: ReplayReport) -> Ending:
    """How the command ends."""
    if report.is_interrupted:
        return Ending.INTERRUPTED
    is_wrong = (
        report.left_out
        or report.held
        or report.waiting
        or report.failed
        or any(file.damaged or file.left or file.unreadable_spans for file in report.files)
    )
    return Ending.WRONG if is_wrong else Ending.WELL


def as_object(report: ReplayReport) -> dict[str, Any]:
    """All of it, for JSON."""
    found: dict[str, Any] = {
        "dry_run": report.is_dry_run,
        "interrupted": report.is_interrupted,
        "files": [_file_as_object(file) for file in report.files],
        "left_out": [{"name": name, "reason": reason} for name, reason in report.left_out],
        "spans": sum(file.spans for file in report.files),
        "spans_of_calls": sum(file.calls for file in report.files),
        "unreadable_spans": sum(file.unreadable_spans for file in report.files),
        "outside_filters": report.outside,
        "older_than_retention": report.old,
        "not_billed": report.not_billed,
        "other_spans_of_a_call": report.duplicates,
        "known_here": report.known_here,
        "known_elsewhere": report.known_elsewhere,
        "dropped": report.dropped,
        "failed": report.failed,
        "held": [{"state": state, "reason": why, "calls": count} for (state, why), count in report.held.items()],
    }
    if report.is_dry_run:
        found["billable"] = [_sum_as_object(customer, model, line) for (customer, model), line in _sorted(report)]
    else:
        found |= {"sent": report.sent, "known_to_polar": report.known_to_polar, "waiting": report.waiting}
    return found


def show(report: ReplayReport, *, to_stderr: bool = False) -> None:
    """All of it, for people."""
    if to_stderr:
        with redirect_stdout(sys.stderr):
            show(report)
        return
    if report.is_dry_run:
        _show_sums(report)
    for line in _lines(report):
        typer.echo(printable(line))
    for line in _troubles(report):
        say(printable(line))


def _lines(report: ReplayReport) -> Iterator[str]:
    spans = sum(file.spans for file in report.files)
    yield f"{counted(spans, 'span')} in {counted(len(report.files), 'file')}"
    for file in report.files:
        if file.replayed_at is not None:
            yield f"{file.name}: replayed already, at {moment(file.replayed_at)}; --again reads it again"
        elif file.resumed_at:
            yield f"{file.name}: went on at byte {file.resumed_at:,}"
    if report.is_dry_run:
        calls = sum(line.calls for line in report.sums.values())
        nanos = sum(line.cost_nanos for line in report.sums.values())
        yield f"{counted(calls, 'call')} to be billed, cost {usd(nanos)}"
    else:
        already = f" (Polar had {counted(report.known_to_polar, 'event')} already)" if report.known_to_polar else ""
        yield f"{counted(report.sent, 'call')} sent{already}"
    known = report.known_here + report.known_elsewhere
    if known:
        yield f"{counted(known, 'span')} of calls that were billed or looked at before"
    if report.duplicates:
        yield f"{counted(report.duplicates, 'other span')} of the same calls"
    for reason, count in sorted(report.not_billed.items(), key=lambda each: -each[1]):
        yield f"{counted(count, 'span')} not billed: {reason}"
    if report.dropped:
        yield f"{counted(report.dropped, 'span')} dropped: nobody to bill (OTEL_POLAR_ON_UNATTRIBUTED)"
    if report.outside:
        yield f"{counted(report.outside, 'span')} about models outside --since, --until or --service"


def _troubles(report: ReplayReport) -> Iterator[str]:
    for (state, reason), count in report.held.items():
        yield f"{counted(count, 'call')} {state}: {reason}"
    if report.held and not report.is_dry_run:
        yield "What is held waits for you: otel-polar outbox list"
    for file in report.files:
        yield from _troubles_of(file)
    for name, reason in report.left_out:
        yield f"{name}: left out; {reason}"
    for name in report.unreadable_outboxes:
        yield f"{name} cannot be looked at: what is known there only, Polar has to know again"
    if report.failed:
        yield f"{counted(report.failed, 'span')} could not be looked at, which is a fault of otel-polar"
    yield from _warnings(report)


def _troubles_of(file: FileRead) -> Iterator[str]:
    for place, reason in file.places:
        yield f"{file.name}, {place}: damaged, {reason}"
    if file.damaged > len(file.places):
        yield f"{file.name}: {counted(file.damaged - len(file.places), 'more damaged place')}"
    if file.left is not None:
        yield f"{file.name}, {file.left.place}: left for the next time, {file.left.reason}"
    if file.unreadable_spans:
        yield f"{file.name}: {counted(file.unreadable_spans, 'span')} without ids or times, not billed"
    if file.other_signals:
        yield f"{file.name}: {counted(file.other_signals, 'message')} with logs or metrics"


def _warnings(report: ReplayReport) -> Iterator[str]:
    if report.old:
        yield (
            f"{counted(report.old, 'span')} about models {agreed(report.old, 'is', 'are')} older than"
            f" {report.retention_days:g} days: the ledger no longer knows whether they were billed, only Polar does, by"
            " their ids"
        )
    if report.is_dry_run and report.sums:
        yield "Polar counts them in the billing period in which it receives them, whatever their time"
    if report.waiting:
        yield (
            f"{counted(report.waiting, 'call')} {agreed(report.waiting, 'waits', 'wait')} on disk for Polar: the same"
            " command again, or the next process with this outbox directory, sends them"
        )
    if report.is_interrupted:
        yield "Interrupted: the same command goes on where it stopped, and bills nothing twice"


def _show_sums(report: ReplayReport) -> None:
    has_charge = any(line.charge_nanos for line in report.sums.values())
    numbers = ["Calls", "Input tokens", "Output tokens", "Cost", *(["Charge"] if has_charge else [])]
    rows = [
        [
            customer,
            model,
            f"{line.calls:,}",
            f"{line.input_tokens:,}",
            f"{line.output_tokens:,}",
            usd(line.cost_nanos),
            *([usd(line.charge_nanos)] if has_charge else []),
        ]
        for (customer, model), line in _sorted(report)
    ]
    if rows:
        show_table("To be billed", ["Customer", "Model", *numbers], rows, numbers=numbers)


def _sorted(report: ReplayReport) -> list[tuple[tuple[str, str], Sum]]:
    return sorted(report.sums.items())


def _sum_as_object(customer: str, model: str, line: Sum) -> dict[str, Any]:
    return {
        "customer": customer,
        "model": model,
        "calls": line.calls,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "cost_nanos": line.cost_nanos,
        "cost_usd": usd_plain(line.cost_nanos),
        "charge_nanos": line.charge_nanos,
        "calls_without_cost": line.without_cost,
    }


def _file_as_object(file: FileRead) -> dict[str, Any]:
    return {
        "name": file.name,
        "spans": file.spans,
        "spans_of_calls": file.calls,
        "unreadable_spans": file.unreadable_spans,
        "messages_of_other_signals": file.other_signals,
        "damaged": file.damaged,
        "damage": [{"place": place, "reason": reason} for place, reason in file.places],
        "left": None if file.left is None else {"place": file.left.place, "reason": file.left.reason},
        "resumed_at_bytes": file.resumed_at,
        "replayed_at": None if file.replayed_at is None else moment(file.replayed_at),
    }
