"""``otel-polar outbox send``: send now what waits."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import typer

from otel_polar.cli.directory import outbox_directory
from otel_polar.cli.outbox.changing import TIMEOUT_S, AsJson, DryRun, Force, Timeout, check_options
from otel_polar.cli.outbox.flushing import send_here
from otel_polar.cli.outbox.shown import troubles_of
from otel_polar.cli.output import Ending, end, failing, print_json, say, working
from otel_polar.cli.words import agreed, counted
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.delivery.orders.giving import left_orders, wait_until_sent
from otel_polar.delivery.orders.order import Kind, make_orders
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from otel_polar.delivery.disk.files import OutboxDirectory

_WAITING: Final = Wanted(states=frozenset({State.RECORDED, State.READY}))


def send(
    *,
    dry_run: DryRun = False,
    force: Force = False,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Send now what is on its way to Polar, whether an application is running or not.

    Running applications are asked to send what they have, without the rest that calls have otherwise; the files of
    those that have ended are taken over, and sent from here. What is held stays held.

    Ends with 0 if nothing is left to be sent, 1 if something is, which is said with its reason, and 3 if it could not
    be done.

    Example: `otel-polar outbox send --timeout 300`
    """
    logging.getLogger("otel_polar").addHandler(logging.NullHandler())
    with failing("outbox send"):
        settings = Settings.load()
        directory = outbox_directory(settings)
        before = _left(directory.path)
        if not as_json:
            typer.echo(f"{counted(before, 'call')} {agreed(before, 'waits', 'wait')} to be sent")
        if dry_run or not before:
            if as_json:
                print_json({"waiting": before, "left": before, "is_dry_run": dry_run, "reasons": {}})
            end(Ending.WELL)
        reasons = _send(settings, directory, timeout_s, force=force)
        left = _left(directory.path)
    if as_json:
        print_json({"waiting": before, "left": left, "is_dry_run": False, "reasons": reasons})
    else:
        typer.echo(
            f"{counted(left, 'call')} {agreed(left, 'is', 'are')} left" if left else "Nothing is left to be sent"
        )
    for file, why in reasons.items():
        say(f"{file}: {why}")
    end(Ending.WRONG if left else Ending.WELL)


def _left(directory: Path) -> int:
    view = OutboxView(directory)
    left = sum(1 for _ in view.calls(_WAITING))
    for trouble in troubles_of(view):
        say(trouble)
    return left


def _send(settings: Settings, directory: OutboxDirectory, timeout_s: float, *, force: bool) -> dict[str, str]:
    """Have everything sent; by file name why something may be left."""
    files = OutboxView(directory.path).files()
    owners = [file.path.name for file in files if file.is_owned]
    (order,) = make_orders(Kind.SEND, (), now=time.time())
    deadline = time.monotonic() + timeout_s
    with left_orders(directory, [order]), working("Sending", unit="calls"):
        if len(owners) < len(files):
            if not force:
                check_options(directory, settings)
            why_left = send_here(settings, timeout_s)
        else:
            why_left = None
        answers = wait_until_sent(directory, order, owners, timeout_s=max(0.0, deadline - time.monotonic()))
    reasons = {} if why_left is None else {"files without an owner": why_left}
    for name in owners:
        answer = answers.get(name)
        if answer is None:
            if (directory.path / name).exists():
                reasons[name] = "its owner has not answered"
        elif answer.left:
            reasons[name] = answer.why_left or f"{answer.left} calls are on their way"
    return reasons
