"""``otel-polar outbox list``: the calls that lie on disk, in a table."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Annotated

import typer

from otel_polar.cli.outbox.options import (
    AsJson,
    CustomerOption,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    States,
    UntilOption,
    open_view,
    read_wanted,
)
from otel_polar.cli.outbox.shown import COLUMNS, NUMBERS, json_of, row_of, troubles_of
from otel_polar.cli.output import Ending, end, failing, print_json, say, working
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import agreed, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.cli.output import Advance
    from otel_polar.delivery.looking.finding import Wanted
    from otel_polar.delivery.looking.seen import SeenCall
    from otel_polar.delivery.looking.view import OutboxView


def list_calls(
    external_ids: ExternalIds = None,
    *,
    states: States = None,
    customer: CustomerOption = None,
    model: ModelOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, metavar="CALLS", help="So many of them.")] = 50,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest instead of the newest.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the calls in the outbox, the newest first, whether an application is running or not.

    It shows where each call stands, who pays, what was used, what it cost, and why it is held. Nothing is changed, and
    nobody is held up. With `--json` there is one object a line. Ends with 1 if a file could not be read, and 3 if there
    is no outbox.

    Example: `otel-polar outbox list --state held`

    Example: `otel-polar outbox list --customer user_42 --since 24h --json`
    """
    wanted = read_wanted(
        states=states,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
        external_ids=external_ids,
    )
    with failing("outbox list"):
        view = open_view()
        found = _Found()
        with working("Reading the outbox", unit="calls") as advance:
            choose = heapq.nsmallest if oldest else heapq.nlargest
            shown = choose(limit, found.all(view, wanted, advance), key=lambda seen: seen.recorded_at)
    if as_json:
        for seen in shown:
            print_json(json_of(seen))
    elif shown:
        show_table("", COLUMNS, map(row_of, shown), numbers=NUMBERS)
    else:
        typer.echo("No calls." if wanted == read_wanted() else "No such calls.")
    if (more := found.count - len(shown)) > 0:
        which = "newer" if oldest else "older"
        say(f"{counted(more, f'{which} call')} {agreed(more, 'is', 'are')} not shown (--limit {limit})")
    for trouble in troubles_of(view):
        say(trouble)
    end(Ending.WRONG if view.troubles else Ending.WELL)


class _Found:
    def __init__(self) -> None:
        self.count = 0

    def all(self, view: OutboxView, wanted: Wanted, advance: Advance) -> Iterator[SeenCall]:
        for seen in view.calls(wanted):
            self.count += 1
            advance(1)
            yield seen
