"""``otel-polar outbox retry``: send once more what Polar has refused."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from otel_polar.cli.outbox.changing import TIMEOUT_S, Change, DryRun, Force, Timeout, Yes, change
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

_KINDS: Final = {State.REJECTED: Kind.RETRY, State.UNBUILDABLE: Kind.REBUILD}
_REBUILT: Final = {State.REJECTED: Kind.REBUILD, State.UNBUILDABLE: Kind.REBUILD}


def retry(
    external_ids: ExternalIds = None,
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the events of refused calls anew, from the recorded calls.")
    ] = False,
    customer: CustomerOption = None,
    model: ModelOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    force: Force = False,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Send once more what Polar has refused, or what could not be built, after the cause has been mended.

    A refused event is sent as it was, under the same external id: such as after its customer or member has been made
    in Polar. If the event itself was wrong, mend the application and use --rebuild: then it is made anew from the
    recorded call, by today's prices and options. What could not be built is made anew anyway.
    It works while the application runs, which does it by its own options and functions.

    Ends with 0 if all of them are on their way, 1 if some are not, which is said, 2 if nobody could be asked, and 3 if
    it could not be done.

    Example: `otel-polar outbox retry --reason external_customer_id`

    Example: `otel-polar outbox retry --rebuild --since 7d`
    """
    kinds = _REBUILT if rebuild else _KINDS
    wanted = read_meant(
        kinds,
        external_ids=external_ids,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
    )
    asked = Change(
        command="outbox retry",
        kinds=kinds,
        verb="Try again",
        warning="",
    )
    change(asked, wanted, yes=yes, dry_run=dry_run, as_json=as_json, force=force, timeout_s=timeout_s)
