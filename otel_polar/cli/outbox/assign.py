"""``otel-polar outbox assign``: say who pays for calls that name nobody."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from otel_polar.billing.customer import InvalidIdError, build_customer
from otel_polar.cli.outbox.changing import TIMEOUT_S, Change, DryRun, Force, Timeout, Yes, change
from otel_polar.cli.outbox.meant import (
    AsJson,
    Every,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    UntilOption,
    read_meant,
)
from otel_polar.cli.output import say
from otel_polar.cli.printable import printable
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.orders.order import Kind
from otel_polar.errors import OtelPolarError
from otel_polar.settings import Settings

_MAX_ASKING_S: Final = 5.0
_KINDS: Final = {State.UNATTRIBUTED: Kind.ASSIGN}


def assign(
    user: Annotated[
        str,
        typer.Argument(metavar="USER", help="Who pays: your id of a customer, as in bill_to(...).", show_default=False),
    ],
    external_ids: ExternalIds = None,
    *,
    customer_id: Annotated[bool, typer.Option("--customer-id", help="USER is Polar's own id, a UUID.")] = False,
    member: Annotated[
        str | None, typer.Option("--member", metavar="ID", help="The member of that customer, by the same kind of id.")
    ] = None,
    every: Every = False,
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
    """Say who pays for calls that are held because they name nobody, and have them sent.

    If Polar has no customer with that id, that is said: it would take the usage, and never bill it.
    They are priced and frozen like any other, and what their spans say later has no say in it any more. Which ones has
    to be said: by their external ids, by filters, or with --all. It works while the application runs, which does it
    then, by its own options.

    Ends with 0 if all of them are on their way, 1 if some are not, which is said, 2 if nobody could be asked, and 3 if
    it could not be done.

    Example: `otel-polar outbox assign user_42 --since 24h --dry-run`

    Example: `otel-polar outbox assign user_42 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-18d9…`
    """
    try:
        customer = (
            build_customer(internal=user, member=member)
            if customer_id
            else build_customer(external=user, member=member)
        )
    except InvalidIdError as error:
        raise typer.BadParameter(str(error), param_hint="USER") from error
    if not customer_id:
        _say_if_unknown(user)
    wanted = read_meant(
        _KINDS, external_ids=external_ids, every=every, model=model, reason=reason, since=since, until=until
    )
    change(
        Change(
            command="outbox assign",
            kinds=_KINDS,
            verb=f"Bill {user}",
            warning="Polar keeps an event for ever: this cannot be taken back.",
            customer=customer,
        ),
        wanted,
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
        force=force,
        timeout_s=timeout_s,
    )


def _say_if_unknown(user: str) -> None:
    """A slip of the pen is usage that is paid by nobody, for good."""
    from otel_polar.polar_api.client import PolarApi  # noqa: PLC0415 - httpx, a tenth of a second
    from otel_polar.polar_api.customers import find_by_external_id  # noqa: PLC0415 - as above

    try:
        with PolarApi(Settings.load(), timeout_s=_MAX_ASKING_S) as api:
            is_unknown = find_by_external_id(api, user) is None
    except OtelPolarError as error:
        say(printable(f"Whether Polar has a customer with the id {user} could not be found out: {error}"))
        return
    if is_unknown:
        problem = f"Polar has no customer with the id {user}: it takes their usage, and never bills it, not even later"
        say(printable(f"{problem}. First type: otel-polar customers ensure {user} --email ..."))
