"""``otel-polar outbox release``: send calls without a price, without a cost."""

from __future__ import annotations

from typing import Final

from otel_polar.cli.outbox.changing import TIMEOUT_S, Change, DryRun, Force, Timeout, Yes, change
from otel_polar.cli.outbox.meant import (
    AsJson,
    CustomerOption,
    Every,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    UntilOption,
    read_meant,
)
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.orders.order import Kind

_KINDS: Final = {State.UNPRICED: Kind.RELEASE}


def release(
    external_ids: ExternalIds = None,
    *,
    every: Every = False,
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
    """Send calls that are held because no price of them is known, without a cost.

    Polar then knows their tokens, and will show no cost of them for ever; meters that sum costs never count them. Which
    ones has to be said: by their external ids, by filters, or with --all. If there is a price somewhere, write it on a
    rate card and use `otel-polar outbox reprice` instead. It works while the application runs.

    Ends with 0 if all of them are on their way, 1 if some are not, which is said, 2 if nobody could be asked, and 3 if
    it could not be done.

    Example: `otel-polar outbox release --model 'my-finetune-*' --dry-run`
    """
    wanted = read_meant(
        _KINDS,
        external_ids=external_ids,
        every=every,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
    )
    asked = Change(
        command="outbox release",
        kinds=_KINDS,
        verb="Send without a cost",
        warning="Polar keeps an event for ever: no cost can be added to it later, and nobody is charged one.",
    )
    change(asked, wanted, yes=yes, dry_run=dry_run, as_json=as_json, force=force, timeout_s=timeout_s)
