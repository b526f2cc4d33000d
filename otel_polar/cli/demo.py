"""``otel-polar demo``: the whole way, offline and without an account."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from otel_polar.cli.extras import needs_extra
from otel_polar.cli.output import Ending, end, fail, print_json
from otel_polar.cli.tables import console_for

if TYPE_CHECKING:
    from otel_polar.cli.demo_scenario import DemoResult

NANOS_PER_USD: Final = 1_000_000_000


def demo(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
    keep_running: Annotated[
        bool,
        typer.Option("--keep-running", help="Keep the local Polar running afterwards, to look at its page."),
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the local Polar; 0 chooses a free one.")] = 0,
) -> None:
    """Make LLM calls for three users against local servers, and show what arrived at Polar.

    The `openai` client, its OpenTelemetry instrumentation, the SDK, this package and `polar-sdk` are the real ones;
    only OpenAI and Polar are stand-ins on loopback. Ends with 0 only if every event arrived and every total adds up.

    Example: `otel-polar demo --keep-running`
    """
    with needs_extra("cli", "openai", "serve"):
        from otel_polar.cli.demo_scenario import run_demo  # noqa: PLC0415 - needs more extras than the command
        from otel_polar.sandbox import SandboxServer  # noqa: PLC0415 - as above
    # Everything the demo asks for is on loopback, which a proxy in the environment cannot reach.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
    try:
        server = SandboxServer(port=port)
        server.start()
    except OSError as error:
        fail("demo", f"it cannot listen on port {port}: {error}; give another --port")
    with ExitStack() as stack:
        stack.callback(server.stop)
        outbox_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="otel-polar-demo-"))
        result = run_demo(server, Path(outbox_dir))
        if as_json:
            print_json(_as_json(result, server.url))
        else:
            _show(result)
            typer.echo(f"Page: {server.url} " + _page_hint(keep_running=keep_running))
        if keep_running:
            server.wait()
    if not result.adds_up:
        end(Ending.WRONG)


def _page_hint(*, keep_running: bool) -> str:
    return "(until Ctrl-C)" if keep_running else "(closed again; --keep-running leaves it open)"


def _show(result: DemoResult) -> None:
    table = Table(title="What arrived at Polar")
    for name in ("user", "calls", "events", "input tokens", "output tokens", "cost"):
        table.add_column(name, justify="left" if name == "user" else "right")
    for total in result.totals:
        table.add_row(
            total.user,
            str(total.calls),
            str(total.events),
            f"{total.input_tokens:,}",
            f"{total.output_tokens:,}",
            _usd(total.cost_nanos),
        )
    console = console_for()
    console.print(table)
    total_nanos = sum(total.cost_nanos for total in result.totals)
    if result.adds_up:
        console.print(f"Every call became one event, with the client's own token counts; {_usd(total_nanos)} in all.")
    else:
        console.print("[bold red]The totals do not add up:[/] an event is missing, doubled or wrong.")


def _as_json(result: DemoResult, url: str) -> dict[str, object]:
    return {
        "ok": result.adds_up,
        "delivered": result.delivered,
        "page": url,
        "users": [
            {
                "external_customer_id": total.user,
                "calls": total.calls,
                "events": total.events,
                "client_tokens": total.client_tokens,
                "input_tokens": total.input_tokens,
                "output_tokens": total.output_tokens,
                "cost_nanos": total.cost_nanos,
                "cost_usd": _usd(total.cost_nanos)[1:],
            }
            for total in result.totals
        ],
    }


def _usd(nanos: int) -> str:
    return f"${Decimal(nanos) / NANOS_PER_USD:.9f}"
