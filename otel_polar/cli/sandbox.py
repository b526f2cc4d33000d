"""``otel-polar sandbox``: a local Polar to develop against."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from otel_polar.cli.extras import needs_extra
from otel_polar.cli.output import fail, print_json

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer
    from otel_polar.sandbox.openai_api import OpenAIServer

DEFAULT_PORT = 8787


def sandbox(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")
    ] = DEFAULT_PORT,
    db: Annotated[str, typer.Option(help="SQLite file that keeps the data; in memory if left out.")] = ":memory:",
    openai: Annotated[bool, typer.Option("--openai", help="Run a local OpenAI, too, on a port of its own.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object when it is ready: the variables for your application.")
    ] = False,
) -> None:
    """Run a local Polar: ingest, customers, meters, and a page that shows what arrives.

    It listens on loopback only and takes any access token that begins with `polar_oat_`. The local OpenAI answers
    chats, streams, responses and embeddings, and counts a word as a token.

    Example: `otel-polar sandbox --port 8787`, and for your application
    `POLAR_BASE_URL=http://127.0.0.1:8787 POLAR_ACCESS_TOKEN=polar_oat_local`.
    """
    with needs_extra("cli", "serve"):
        from otel_polar.sandbox.openai_api import OpenAIServer  # noqa: PLC0415 - starlette and uvicorn are an extra
        from otel_polar.sandbox.server import run  # noqa: PLC0415 - as above
    try:
        with ExitStack() as stack:
            vendor = stack.enter_context(OpenAIServer()) if openai else None
            run(port=port, db=db, on_ready=lambda server: _say_ready(server, vendor, as_json=as_json))
    except OSError as error:
        fail("sandbox", f"it cannot listen on port {port}: {error}; give another --port")
    except sqlite3.Error as error:
        fail("sandbox", f"it cannot use the file {db!r}: {error}; give another --db")


def _say_ready(server: SandboxServer, vendor: OpenAIServer | None, *, as_json: bool) -> None:
    variables = {"POLAR_BASE_URL": server.url, "POLAR_ACCESS_TOKEN": "polar_oat_local"}
    of_the_vendor = {}
    if vendor is not None:
        # Otherwise a warning says that this is not OpenAI's own host.
        gateways = {"OTEL_POLAR_GATEWAYS": "127.0.0.1"}
        of_the_vendor = {"OPENAI_BASE_URL": vendor.base_url, "OPENAI_API_KEY": "sk-local", **gateways}
    if as_json:
        print_json({"url": server.url, "environment": {**variables, **of_the_vendor}})
    else:
        typer.echo(f"Local Polar on {server.url} (open it in a browser; Ctrl-C ends it). For your application:")
        for table in filter(None, (variables, of_the_vendor)):
            typer.echo(f"  export {' '.join(f'{name}={value}' for name, value in table.items())}")
    sys.stdout.flush()
