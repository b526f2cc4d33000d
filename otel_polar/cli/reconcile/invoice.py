"""``otel-polar reconcile invoice``: the ledger against a provider's usage export."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path  # noqa: TC003 - typer reads the types of options
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from otel_polar.cli.output import Ending, end, failing, print_json, say, working
from otel_polar.cli.reconcile.sources import Ledgers
from otel_polar.cli.reconcile.tables import table_file
from otel_polar.cli.tables import show_table
from otel_polar.cli.times import read_time
from otel_polar.cli.words import counted, span_of_time, usd, usd_plain
from otel_polar.errors import ConfigError
from otel_polar.reconciliation.usage import CACHE_READ, CACHE_WRITE, CALLS, COST, COUNTS, INPUT, OUTPUT
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from otel_polar.reconciliation.invoices import Line
    from otel_polar.reconciliation.usage import Usage

_COLUMNS: Final = ("provider", "day", "models", "count", "here", "there", "difference", "only")
_WORDS: Final = {
    CALLS: "calls",
    INPUT: "input",
    CACHE_READ: "cache read",
    CACHE_WRITE: "cache write",
    OUTPUT: "output",
    COST: "cost",
}


def invoice(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            exists=True,
            dir_okay=False,
            help="Usage or cost exports of OpenAI or Anthropic.",
            show_default=False,
        ),
    ],
    *,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only days (UTC) from then on, such as `2026-11-01` or `7d` ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only days (UTC) before then.")] = None,
    tolerance: Annotated[
        str,
        typer.Option(metavar="PERCENT", help="Counts that differ by no more than this are the same, such as `0.5`."),
    ] = "0",
    ledgers: Annotated[
        list[Path] | None,
        typer.Option(
            "--ledger",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Also what another machine wrote with `otel-polar outbox export`. May be given more than once.",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="Write a row for each difference.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Compare the ledger with what a provider says was used, by model and day (UTC).

    FILE is what the provider exports: of OpenAI the answer of `/v1/organization/usage/completions` (grouped by model)
    or `/v1/organization/costs` (grouped by line_item), or the dashboard's CSV; of Anthropic the answer of
    `/v1/organizations/usage_report/messages` (grouped by model) or `cost_report` (grouped by description), or the
    console's CSV. All pages are needed. A column that is not known and may hold usage is refused.

    Every call in the ledger counts, also what is held or waits: the provider bills it as well. Tokens are whole
    numbers, and input includes what was read from and written to a cache; costs are in billionths of a dollar (nanos).
    A call around midnight may be of another day for the provider: see `--tolerance`.

    Ends with 0 if all is equal, 1 if there are differences, and 3 if something could not be compared.

    Example: `otel-polar reconcile invoice completions_usage_2026-11-01_2026-11-30.csv --tolerance 0.5`

    Example: `otel-polar reconcile invoice usage.json cost.json --ledger web-2.jsonl --csv november.csv`
    """
    from otel_polar.reconciliation.exports.reading import read_exports  # noqa: PLC0415 - not for --help

    percent = _percent(tolerance)
    now = time.time()
    told = (("--since", since), ("--until", until))
    first, last = (None if text is None else _day(read_time(option, text, now)) for option, text in told)
    with failing("reconcile invoice"):
        settings = Settings.load()
        exports = read_exports([(str(path), _read(path)) for path in files])
        found = {provider: _within(usage, first, last) for provider, usage in sorted(exports.usage.items())}
        sources = Ledgers(settings, ledgers or [])
        lines = {provider: _compare(sources, provider, usage, percent) for provider, usage in found.items()}
        differences = [(name, line) for name, own in lines.items() for line in own if line.differing]
        if csv is not None:
            with table_file(csv, _COLUMNS) as write:
                for name, line in differences:
                    for row in _rows(name, line):
                        write(row)
        count = sum(map(len, lines.values()))
        notes = [note for usage in found.values() for note in usage.notes]
        if as_json:
            print_json(
                {
                    "files": exports.forms,
                    "equal": not differences,
                    "complete": not sources.troubles,
                    "tolerance_percent": str(percent),
                    "compared": count,
                    "differences": [row for name, line in differences for row in _rows(name, line)],
                    "notes": notes,
                    "troubles": sources.troubles,
                }
            )
        else:
            for form in exports.forms:
                say(form)
            _show(differences)
            what = "Equal" if not differences else f"Not equal: {counted(len(differences), 'row')}"
            typer.echo(f"{what}; {counted(count, 'day and model', 'days and models')} compared")
    _say_notes(notes, found, settings, now)
    for trouble in sources.troubles:
        say(f"Not compared: {trouble}")
    if differences:
        end(Ending.WRONG)
    end(Ending.IMPOSSIBLE if sources.troubles else Ending.WELL)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8: export it as CSV or JSON") from error


def _compare(sources: Ledgers, provider: str, usage: Usage, percent: Decimal) -> list[Line]:
    from otel_polar.reconciliation.invoices import compare_usage, usage_of  # noqa: PLC0415 - as above

    with working(f"Reading the ledger for {provider}", unit="calls") as advance:

        def rows() -> Iterator[Any]:
            for row in sources.rows(_seconds(min(usage.days))):
                advance(1)
                yield row

        here = usage_of(rows(), provider, frozenset(usage.days))
    usage.notes += here.notes
    return compare_usage(here, usage, percent)


def _within(usage: Usage, first: date | None, last: date | None) -> Usage:
    usage.days = {day for day in usage.days if (first is None or day >= first) and (last is None or day < last)}
    usage.sums = {key: counts for key, counts in usage.sums.items() if key[0] in usage.days}
    if not usage.days:
        raise ConfigError("the export has no day of the period that is asked for: nothing can be compared")
    return usage


def _rows(provider: str, line: Line) -> Iterator[dict[str, object]]:
    only = "ledger" if line.is_only_here else "provider" if line.is_only_there else None
    for count in line.differing:
        here, there = line.here[count], line.there[count]
        yield {
            "provider": provider,
            "day": line.day.isoformat(),
            "models": " + ".join(line.models),
            "count": count,
            "here": here,
            "there": there,
            "difference": there - here,
            "only": only,
            **({"difference_usd": usd_plain(there - here)} if count == COST else {}),
        }


def _show(differences: Sequence[tuple[str, Line]]) -> None:
    if not differences:
        return
    counts = [count for count in COUNTS if any(count in line.counts for _, line in differences)]
    show_table(
        "Differences (ledger | provider)",
        ("provider", "day", "model", *(_WORDS[count] for count in counts), "only in"),
        [
            (
                name,
                line.day.isoformat(),
                " + ".join(line.models),
                *(_cell(line, count) for count in counts),
                "the ledger" if line.is_only_here else "the export" if line.is_only_there else "",
            )
            for name, line in differences
        ],
    )
    say(
        "Only in the export: calls that nobody recorded here (another application with that key, an instrumentation"
        " that is not on, a ledger of another machine: give it with --ledger). Only in the ledger: calls by another"
        " key or organization. `otel-polar outbox list --model NAME` shows them."
    )


def _cell(line: Line, count: str) -> str:
    here, there = ((usd if count == COST else "{:,}".format)(side[count]) for side in (line.here, line.there))
    return f"{here} | {there}" if count in line.differing else here


def _say_notes(notes: Sequence[str], found: dict[str, Usage], settings: Settings, now: float) -> None:
    for note in notes:
        say(f"Note: {note}")
    remembered = now - settings.retention_s
    if any(_seconds(day) < remembered for usage in found.values() for day in usage.days):
        say(
            f"Note: the ledger forgets what was sent after {span_of_time(settings.retention_s)}"
            " (OTEL_POLAR_RETENTION_DAYS), and the export has older days"
        )


def _percent(text: str) -> Decimal:
    try:
        percent = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        percent = Decimal(-1)
    if not percent.is_finite() or not 0 <= percent < 100:  # noqa: PLR2004 - a hundred per cent would be all
        raise typer.BadParameter(f"--tolerance {text!r} is no percentage from 0 to 100")
    return percent


def _day(unix_s: float) -> date:
    return datetime.fromtimestamp(unix_s, UTC).date()


def _seconds(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
