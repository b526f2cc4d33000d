"""``otel-polar outbox``: what waits on disk, and how to get it going again."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from otel_polar.cli.prices import price_book
from otel_polar.cli.printable import printable
from otel_polar.delivery.files import OutboxDirectory, directory_name
from otel_polar.delivery.intake import Intake
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.delivery.rows import State
from otel_polar.delivery.step import IDLE_S
from otel_polar.errors import ConfigError, OutboxError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from otel_polar.delivery.outbox import Outbox

PORTION = 500

outbox_app = typer.Typer(name="outbox", help="What waits on disk for Polar.", no_args_is_help=True)


@outbox_app.callback()
def options() -> None:
    """Look after the calls that wait on disk, in the directory of the access token that is set."""


@outbox_app.command()
def reprice(
    *,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds for sending what has a price now.")
    ] = 60.0,
) -> None:
    """Try every call again that is held for want of a price, and send those that have one now.

    Prices are those of your rate card (OTEL_POLAR_RATE_CARD), the catalogue and the other settings in the environment.
    Processes that are running with the same outbox directory are asked to try theirs again. Ends with 1 if calls are
    still unpriced, or could not be sent.

    Example: `OTEL_POLAR_RATE_CARD=prices.toml otel-polar outbox reprice`
    """
    # What is wrong is told below, once and with its numbers.
    logging.getLogger("otel_polar").addHandler(logging.NullHandler())
    try:
        settings = Settings.load()
        directory = _directory(settings)
        directory.ask_to_reprice()
        held, reasons = _reprice_files_without_owner(settings, directory)
    except (ConfigError, OutboxError, OSError) as error:
        typer.echo(f"otel-polar outbox reprice: {error}", err=True)
        raise typer.Exit(1) from error
    unpriced = sum(reasons.values())
    typer.echo(f"{held - unpriced} of {held} unpriced calls have a price now")
    for reason, count in reasons.most_common():
        typer.echo(f"{count} still unpriced: {printable(reason)}")
    typer.echo(f"Processes that are running with {directory.path} try theirs again within {IDLE_S:.0f} s.")
    has_sent = held == unpriced or _send(settings, timeout_s)
    if not has_sent:
        typer.echo(
            "not all of them could be sent now: the next process with this outbox directory sends them", err=True
        )
    if unpriced or not has_sent:
        raise typer.Exit(1)


def _directory(settings: Settings) -> OutboxDirectory:
    if settings.access_token is None:
        raise ConfigError("access_token (POLAR_ACCESS_TOKEN) is not set: calls wait in a directory per access token")
    if settings.outbox_dir is None:
        raise ConfigError("no outbox_dir (OTEL_POLAR_OUTBOX_DIR), XDG_STATE_HOME or HOME is set")
    name = directory_name(settings.server, settings.base_url, settings.access_token)
    return OutboxDirectory(settings.outbox_dir / name, Notices())


def _reprice_files_without_owner(settings: Settings, directory: OutboxDirectory) -> tuple[int, Counter[str]]:
    """How many calls were held for want of a price, and why how many of them still are."""
    prices = price_book(settings)
    held, reasons = 0, Counter[str]()
    for owned in directory.orphans():
        try:
            held += owned.outbox.counts().get(State.UNPRICED, 0)
            while owned.outbox.reconsider(limit=PORTION):
                pass
            intake = Intake(
                owned.outbox,
                settings=settings,
                price=prices.price,
                notices=Notices(),
                counts=Counter(),
            )
            while intake.decide(settle_s=0.0, clock=time.time) is not None:
                pass
            reasons.update(_reasons(owned.outbox))
        finally:
            owned.release()
    return held, reasons


def _reasons(outbox: Outbox) -> list[str]:
    return [row.reason or "no reason" for row in outbox.ledger() if row.state is State.UNPRICED]


def _send(settings: Settings, timeout_s: float) -> bool:
    pipeline = Pipeline(settings)
    try:
        return pipeline.force_flush(timeout_s)
    finally:
        pipeline.shutdown()
