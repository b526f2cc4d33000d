"""The command and what belongs to all of it.

The codes with which a command ends are those of :class:`otel_polar.cli.output.Ending`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from otel_polar._version import __version__
from otel_polar.cli.customers import customers_app
from otel_polar.cli.demo import demo
from otel_polar.cli.doctor import doctor
from otel_polar.cli.explain import explain_spans
from otel_polar.cli.outbox.app import outbox_app
from otel_polar.cli.output import Ending
from otel_polar.cli.price import price
from otel_polar.cli.reconcile.app import reconcile_app
from otel_polar.cli.replay import replay
from otel_polar.cli.sandbox import sandbox
from otel_polar.cli.serve import serve
from otel_polar.cli.setup import setup
from otel_polar.cli.status import status


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; a reader who has gone is its end, and no failure of its work."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise SystemExit(Ending.UNREAD) from None


app = typer.Typer(
    name="otel-polar",
    cls=_Commands,
    help="Turn the OpenTelemetry spans of your LLM calls into exact, once-only usage events on Polar.\n\n"
    "A command ends with 0 if all is well; 1 if something is wrong or left to do, and was said; 2 if its words are off;"
    " 3 if it could not be done or found out (settings, Polar, a file); 130 after Ctrl-C.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
_START: Final = "Start"
_BILL: Final = "Bill"
_LOOK: Final = "Look and repair"
_PROVE: Final = "Prove"
_UNDERSTAND: Final = "Understand"

app.command(rich_help_panel=_START)(demo)
app.command(rich_help_panel=_START)(sandbox)
app.command(rich_help_panel=_START)(doctor)
app.command(rich_help_panel=_START)(setup)
app.add_typer(customers_app, rich_help_panel=_BILL)
app.command(rich_help_panel=_BILL)(serve)
app.command(rich_help_panel=_BILL)(replay)
app.command(rich_help_panel=_LOOK)(status)
app.add_typer(outbox_app, rich_help_panel=_LOOK)
app.add_typer(reconcile_app, rich_help_panel=_PROVE)
app.command("explain", rich_help_panel=_UNDERSTAND)(explain_spans)
app.command(rich_help_panel=_UNDERSTAND)(price)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if value:
        typer.echo(f"otel-polar {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of every command."""
