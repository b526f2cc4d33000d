"""``otel-polar reconcile``: the ledger against Polar."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - typer reads the types of options
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from otel_polar.cli.output import Ending, end, failing, print_json, say, working
from otel_polar.cli.reconcile.invoice import invoice
from otel_polar.cli.reconcile.period import read_period
from otel_polar.cli.reconcile.shown import COLUMNS, conclusion, json_of, row_of, show
from otel_polar.cli.reconcile.sources import Ledgers
from otel_polar.cli.reconcile.tables import table_file
from otel_polar.cli.words import counted, span_of_time
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from otel_polar.reconciliation.against import Asked, Watch
    from otel_polar.reconciliation.meeting import Meeting
    from otel_polar.reconciliation.report import Report

reconcile_app = typer.Typer(name="reconcile", invoke_without_command=True)
reconcile_app.command("invoice")(invoice)

_MS: Final = 1_000
_SHARE: Final = 5
"""Of the organization's requests a minute: the rest is for those who send."""
_LOCAL_REQUESTS_PER_MINUTE: Final = 60_000.0
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_EVENTS_PER_REQUEST: Final = 96


@reconcile_app.callback()
def reconcile(
    context: typer.Context,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Events from then on: `2026-11-21`, `2026-11-21T10:00` (UTC, or with an offset), or `36h`, `7d` ago."
            " Default: the first full day that the ledger remembers.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Events before then. Default, and at most: 10 minutes ago."),
    ] = None,
    customer: Annotated[str | None, typer.Option(metavar="ID", help="Only this customer: your id, or Polar's.")] = None,
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
    only_ours: Annotated[
        bool, typer.Option("--only-ours", help="Events on Polar that are in no ledger here are no difference.")
    ] = False,
    no_meters: Annotated[bool, typer.Option("--no-meters", help="Do not compare the quantities of meters.")] = False,
    requests_per_minute: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            metavar="N",
            help="Requests to Polar, which counts them for the whole organization. Default: a fifth of its budget.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of a table that are shown.")] = 20,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="Write a row for each difference.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Compare the local ledger with Polar, event by event, customer by customer, and meter by meter.

    Every event that the ledger has as sent must be on Polar, once and as it was sent, and nothing else. Calls that wait
    here (not decided, held, not sent) are no difference; they are counted. Events of the last 10 minutes are not
    compared: Polar lists them late. The application may run meanwhile, and nothing is changed. The token needs the
    scopes events:read and meters:read.

    On several machines each has a ledger of its own: export the others', or use `--only-ours`.

    Ends with 0 if all is equal, 1 if there are differences, and 3 if something could not be compared. JSON has the
    first 1,000 differences, a CSV file all of them. Money is in billionths of a dollar (nanos).

    Example: `otel-polar reconcile --since 7d`

    Example: `otel-polar reconcile --since 2026-11-01 --until 2026-12-01 --csv november.csv`

    Example: `otel-polar reconcile --customer user_42 --json | jq .counts`

    Example: `ssh web-2 otel-polar outbox export > web-2.jsonl && otel-polar reconcile --ledger web-2.jsonl`
    """
    if context.invoked_subcommand is not None:
        return
    if customer == "":
        # A variable that is not set; it must not be taken for everybody, or for nobody.
        raise typer.BadParameter("--customer is empty")
    from otel_polar.reconciliation.against import Asked  # noqa: PLC0415 - a third of a second, and not for --help
    from otel_polar.reconciliation.meeting import Meeting  # noqa: PLC0415 - as above

    now = time.time()
    with failing("reconcile"):
        settings = Settings.load()
        begin, finish = read_period(since, until, now=now, retention_s=settings.retention_s, say=say)
        asked = Asked(
            since_unix_ms=begin,
            until_unix_ms=finish,
            customer=customer,
            only_ours=only_ours,
            meters=not no_meters,
        )
        rate = requests_per_minute or _share_of_budget(settings)
        with Meeting() as meeting:
            report = _compare(
                settings, Ledgers(settings, ledgers or []), meeting, asked, now=now, requests_per_minute=rate
            )
            if csv is not None:
                with table_file(csv, COLUMNS) as write:
                    for finding in report.findings():
                        write(row_of(finding))
            if as_json:
                print_json(json_of(report, begin / _MS, finish / _MS))
            else:
                show(report, begin / _MS, finish / _MS, limit=limit, say=say)
                typer.echo(conclusion(report))
    for trouble in report.troubles:
        say(f"Not compared: {trouble}")
    if not report.is_equal:
        end(Ending.WRONG)
    end(Ending.IMPOSSIBLE if report.troubles else Ending.WELL)


def _compare(
    settings: Settings, ledgers: Ledgers, meeting: Meeting, asked: Asked, *, now: float, requests_per_minute: float
) -> Report:
    from otel_polar.polar_api.budget import Budget  # noqa: PLC0415 - as above
    from otel_polar.polar_api.client import PolarApi  # noqa: PLC0415 - as above
    from otel_polar.reconciliation.against import Watch, compare  # noqa: PLC0415 - as above

    with (
        PolarApi(settings, budget=Budget(requests_per_minute), is_patient=True) as api,
        working("Reading the ledger", unit="events") as advance,
    ):

        def announce(events: int) -> None:
            minutes = events / _EVENTS_PER_REQUEST / requests_per_minute
            about = f"Reading {counted(events, 'event')} from Polar, about {span_of_time(minutes * 60)}"
            advance(0, description=about)

        watch: Watch = Watch(announce=announce, advance=advance)
        report = compare(api, meeting, lambda: ledgers.rows(asked.since_unix_ms / _MS), asked, now=now, watch=watch)
    report.troubles += ledgers.troubles
    return report


def _share_of_budget(settings: Settings) -> float:
    """A local Polar has no limit."""
    if urlsplit(settings.base_url or "").hostname in _LOCAL:
        return _LOCAL_REQUESTS_PER_MINUTE
    return settings.budget_per_minute / _SHARE
