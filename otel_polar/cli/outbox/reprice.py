"""``otel-polar outbox reprice``: try again what waits for a price."""

from __future__ import annotations

from typing import Final

from otel_polar.cli.outbox.changing import TIMEOUT_S, Change, DryRun, Force, Timeout, change
from otel_polar.cli.outbox.meant import (
    AsJson,
    CustomerOption,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    UntilOption,
    read_meant,
)
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.orders.order import Kind

_KINDS: Final = {State.UNPRICED: Kind.REPRICE}


def reprice(
    external_ids: ExternalIds = None,
    *,
    customer: CustomerOption = None,
    model: ModelOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: DryRun = False,
    force: Force = False,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Try every call again that is held for want of a price, and send what has one now.

    A process that runs with the same outbox directory tries its own, by its own options and functions, after a look at
    its rate card. For files of processes that have ended prices are those of your rate card (OTEL_POLAR_RATE_CARD), the
    catalogue and the other settings in the environment; where the application has functions of its own, or other
    options, start it again instead: it tries by itself.

    Ends with 0 if all of them have a price and are on their way, 1 if calls are still unpriced or wait to be sent,
    which is said, and 3 if it could not be done.

    Example: `OTEL_POLAR_RATE_CARD=prices.toml otel-polar outbox reprice`
    """
    wanted = read_meant(
        _KINDS,
        external_ids=external_ids,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
    )
    asked = Change(
        command="outbox reprice",
        kinds=_KINDS,
        verb="Price again",
        warning="",
        is_asked=False,
    )
    change(asked, wanted, yes=True, dry_run=dry_run, as_json=as_json, force=force, timeout_s=timeout_s)
