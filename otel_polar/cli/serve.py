"""``otel-polar serve``: the engine behind an OpenTelemetry Collector."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path  # noqa: TC003 - typer looks at it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from otel_polar.cli.extras import needs_extra
from otel_polar.cli.output import fail, print_json
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from otel_polar.service.server import Addresses
    from otel_polar.settings.file import ServiceConfig


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The interface to listen on.", show_default="127.0.0.1")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="Port for OTLP/gRPC.", show_default="4317")] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port for OTLP/HTTP, probes, metrics and the status page.", show_default="4318")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with any of the settings.", metavar="FILE")] = None,
    kafka: Annotated[str | None, typer.Option(help="Read from a topic as well: `host:port,…`.")] = None,
    log_format: Annotated[str | None, typer.Option(help="`text` or `json`.", show_default="text")] = None,
    allow_unauthenticated: Annotated[
        bool, typer.Option("--allow-unauthenticated", help="Listen where others can connect without tokens or mTLS.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Look at the settings, say what they are, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for programs: the settings, or where it listens.")
    ] = False,
) -> None:
    """Receive spans by OTLP from a Collector, or from anything else, and bill the model calls among them.

    A request is acknowledged when its calls are on disk. SIGTERM ends it well. The settings are those of the processor,
    from the environment and from `--config`; the token comes from POLAR_ACCESS_TOKEN.

    Example: `otel-polar serve --config /etc/otel-polar.toml --check`, and without `--check` to run it.
    """
    # gRPC writes a line of its own for each stranger whose handshake fails, beside the log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with needs_extra("cli", "serve"):
        from otel_polar.service.guards import check_service  # noqa: PLC0415 - grpcio and others are an extra
        from otel_polar.service.logs import set_up_logs  # noqa: PLC0415 - as above
        from otel_polar.service.server import CannotListenError, Service  # noqa: PLC0415 - as above
        from otel_polar.settings.file import load_config  # noqa: PLC0415 - as above
    options: dict[str, Any] = {
        "host": host,
        "grpc_port": grpc_port,
        "http_port": http_port,
        "log_format": log_format,
        "allow_unauthenticated": allow_unauthenticated or None,
    }
    try:
        loaded = load_config(config, serve=options, kafka={"brokers": kafka})
        set_up_logs(loaded.serve)
        if check:
            check_service(loaded)
            _show_settings(_summary(loaded), as_json=as_json)
            return
        service = Service(loaded)
    except ConfigError as error:
        fail("serve", error)
    _allow_many_files()
    try:
        asyncio.run(service.run(partial(_say_ready, as_json=as_json)))
    except CannotListenError as error:
        fail("serve", error)
    finally:
        service.close()


def _allow_many_files() -> None:
    """Each connection is one: as many as the system lets us have, and not as many as it gives at first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say_ready(addresses: Addresses, *, as_json: bool) -> None:
    if as_json:
        print_json({"grpc": addresses.grpc, "http": addresses.http})
    else:
        typer.echo(
            f"otel-polar serve: OTLP/gRPC on {addresses.grpc}, OTLP/HTTP on {addresses.http} (status page at /)",
        )
    sys.stdout.flush()


def _show_settings(summary: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    typer.echo("The settings can be used.")
    for name, value in summary.items():
        typer.echo(f"  {name:<12} {value}")


def _summary(loaded: ServiceConfig) -> dict[str, str]:
    """The settings in a few words, without a secret among them."""
    settings, serve = loaded
    who = [
        *(["bearer tokens"] if serve.needs_token else []),
        *(["client certificates"] if serve.tls_client_ca_file is not None else []),
    ]
    return {
        "Polar": settings.base_url or settings.server,
        "outbox": str(settings.outbox_dir),
        "listens": f"{serve.host}, gRPC {serve.grpc_port}, HTTP {serve.http_port}",
        "TLS": "yes" if serve.tls_cert_file is not None else "no",
        "senders": " and ".join(who) or "anybody who can connect",
        "Kafka": f"{serve.kafka.topic}, group {serve.kafka.group}" if serve.kafka.brokers else "no",
    }
