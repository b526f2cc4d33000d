"""The command and what belongs to all of it.

Exit codes: 0 all is well; 1 something is wrong, and was said; 2 the words of the command line are off.
"""

from __future__ import annotations

from typing import Annotated

import typer

from otel_polar._version import __version__
from otel_polar.cli.demo import demo
from otel_polar.cli.explain import explain_spans
from otel_polar.cli.outbox import outbox_app
from otel_polar.cli.price import price
from otel_polar.cli.sandbox import sandbox
from otel_polar.cli.serve import serve

app = typer.Typer(
    name="otel-polar",
    help="Turn the OpenTelemetry spans of your LLM calls into exact, once-only usage events on Polar.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(sandbox)
app.command("explain")(explain_spans)
app.command()(price)
app.command()(serve)
app.add_typer(outbox_app)


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
