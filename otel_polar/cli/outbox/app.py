"""The commands of ``otel-polar outbox``."""

from __future__ import annotations

import typer

from otel_polar.cli.outbox.assign import assign
from otel_polar.cli.outbox.discard import discard
from otel_polar.cli.outbox.export import export
from otel_polar.cli.outbox.listing import list_calls
from otel_polar.cli.outbox.release import release
from otel_polar.cli.outbox.reprice import reprice
from otel_polar.cli.outbox.retry import retry
from otel_polar.cli.outbox.send import send
from otel_polar.cli.outbox.show import show

outbox_app = typer.Typer(name="outbox", help="What waits on disk for Polar.", no_args_is_help=True)
outbox_app.command("list")(list_calls)
outbox_app.command()(show)
outbox_app.command()(export)
outbox_app.command()(assign)
outbox_app.command()(reprice)
outbox_app.command()(release)
outbox_app.command()(retry)
outbox_app.command()(discard)
outbox_app.command()(send)


@outbox_app.callback()
def options() -> None:
    """Look after the calls that wait on disk, in the directory of the access token that is set."""
