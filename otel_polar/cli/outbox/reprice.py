"""``otel-polar outbox reprice``: try again what waits for a price."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from otel_polar.cli.directory import outbox_directory
from otel_polar.cli.output import fail
from otel_polar.cli.prices import price_book
from otel_polar.cli.printable import printable
from otel_polar.delivery import beside
from otel_polar.delivery.intake import Intake
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.delivery.rows import State
from otel_polar.delivery.step import IDLE_S
from otel_polar.errors import ConfigError, OutboxError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from otel_polar.delivery.files import OutboxDirectory

PORTION = 500


def reprice(
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also if the application makes its events by other options than these.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds for sending what has a price now.")
    ] = 60.0,
) -> None:
    """Try every call again that is held for want of a price, and send what can be sent.

    Prices are those of your rate card (OTEL_POLAR_RATE_CARD), the catalogue and the other settings in the environment.
    Where the application has functions of its own, or other options, start it again instead: it tries by itself.
    Processes that are running with the same outbox directory are asked to try theirs again, by their own options. Ends
    with 1 if calls are still unpriced, or wait to be sent.

    Example: `OTEL_POLAR_RATE_CARD=prices.toml otel-polar outbox reprice`
    """
    # What is wrong is told below, once and with its numbers.
    logging.getLogger("otel_polar").addHandler(logging.NullHandler())
    try:
        settings = Settings.load()
        directory = outbox_directory(settings)
        _check_options(directory, settings, force=force)
        directory.ask_to_reprice()
        is_used = directory.is_used()
        tried = _reprice_files_without_owner(settings, directory)
    except (ConfigError, OutboxError, OSError) as error:
        fail("outbox reprice", error)
    unpriced = sum(tried.reasons.values())
    typer.echo(f"{tried.held} calls were unpriced, {unpriced} still are")
    for reason, count in tried.reasons.most_common():
        typer.echo(f"{count} unpriced: {printable(reason)}")
    if is_used:
        typer.echo(f"A process is running with {directory.path}; it tries its own again within {IDLE_S:.0f} s.")
    is_sent = not tried.waiting or _send(settings, timeout_s)
    if tried.waiting:
        typer.echo(f"{tried.waiting} calls were to be sent" + (", and have been" if is_sent else ""))
    if not is_sent:
        typer.echo("not all of them could be sent now; this command, or the next process, tries again", err=True)
    if unpriced or not is_sent:
        raise typer.Exit(1)


@dataclass(slots=True)
class _Tried:
    """How many calls were held for want of a price, why how many are now, and how many wait to be sent."""

    held: int = 0
    waiting: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def _check_options(directory: OutboxDirectory, settings: Settings, *, force: bool) -> None:
    if not force and (differing := beside.other_options(directory.path, settings)):
        raise ConfigError(
            f"the application makes its events by other options, and these would be frozen: {'; '.join(differing)}."
            " Start it again, and it tries by itself; or give --force",
        )


def _reprice_files_without_owner(settings: Settings, directory: OutboxDirectory) -> _Tried:
    prices = price_book(settings, directory)
    tried = _Tried()
    for owned in directory.orphans():
        try:
            outbox = owned.outbox
            left = outbox.counts().get(State.UNPRICED, 0)
            tried.held += left
            intake = Intake(outbox, settings=settings, price=prices.price, notices=Notices(), counts=Counter())
            while left > 0:
                left -= outbox.reconsider(limit=min(left, PORTION), states=(State.UNPRICED,)) or left
                while intake.decide(settle_s=0.0, clock=time.time) is not None:
                    outbox.database.checkpoint()
            tried.reasons.update(outbox.reasons(State.UNPRICED))
            tried.waiting += outbox.waiting()
        finally:
            owned.release()
    return tried


def _send(settings: Settings, timeout_s: float) -> bool:
    pipeline = Pipeline(settings)
    try:
        return pipeline.force_flush(timeout_s)
    finally:
        pipeline.shutdown()
