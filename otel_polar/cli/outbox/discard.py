"""``otel-polar outbox discard``: nobody is ever billed for these calls."""

from __future__ import annotations

from typing import Final

from otel_polar.cli.outbox.changing import TIMEOUT_S, Change, DryRun, Timeout, Yes, change
from otel_polar.cli.outbox.meant import (
    AsJson,
    CustomerOption,
    Every,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    States,
    UntilOption,
    read_meant,
)
from otel_polar.delivery.orders.order import CHANGEABLE, Kind

_KINDS: Final = dict.fromkeys(sorted(CHANGEABLE[Kind.DISCARD]), Kind.DISCARD)


def discard(
    external_ids: ExternalIds = None,
    *,
    every: Every = False,
    states: States = None,
    customer: CustomerOption = None,
    model: ModelOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: AsJson = False,
) -> None:
    """Decide that nobody is ever billed for calls that are held, or that Polar has refused.

    They stay known by their external ids for `retention_days`, so that neither a redelivery nor a replay bills them
    after all. What is on its way to Polar, or there, is never discarded. Which ones has to be said: by their external
    ids, by filters, or with --all. It works while the application runs.

    Ends with 0 if all of them are discarded, 1 if some are not, which is said, 2 if nobody could be asked, and 3 if it
    could not be done.

    Example: `otel-polar outbox discard --state unmetered --until 30d --dry-run`

    Example: `otel-polar outbox discard --state unattributed --model '*-test' --yes`
    """
    wanted = read_meant(
        _KINDS,
        external_ids=external_ids,
        every=every,
        states=states,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
    )
    asked = Change(
        command="outbox discard",
        kinds=_KINDS,
        verb="Never bill anybody for",
        warning="Nobody will ever pay for these, and it cannot be taken back.",
    )
    change(asked, wanted, yes=yes, dry_run=dry_run, as_json=as_json, force=False, timeout_s=timeout_s)
