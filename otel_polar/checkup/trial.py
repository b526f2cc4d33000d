"""One event, sent and looked for, all the way: ``doctor --send-test``.

Its name is of its own, so that no meter counts it and nobody is billed. It does not go through the outbox: it is the
way to Polar that is tried, with the token and the server of the settings.
"""

from __future__ import annotations

import time
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from otel_polar.billing.trial_event import NAME, TRIAL_KEY, UNKNOWN_CUSTOMER, trial_event
from otel_polar.checkup.finding import Finding, note, problem, unknown, warning, well
from otel_polar.checkup.meters import counts_name
from otel_polar.checkup.polar import INGEST
from otel_polar.errors import PolarDeniedError, PolarError
from otel_polar.polar_api import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_polar.polar_api.client import PolarApi
    from otel_polar.polar_api.meters import Meter

POLL_S: Final = 0.5


def trial_findings(
    api: PolarApi,
    *,
    trial_id: str,
    user: str | None,
    meters: Sequence[Meter] | None,
    timeout_s: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Finding]:
    """Send the event, wait until Polar lists it, and see whose it is.

    Args:
        api: Polar.
        trial_id: makes this event one of its own.
        user: your id of the customer it is for; nobody's if left out.
        meters: those of the organization; ``None`` if they could not be read.
        timeout_s: how long to wait for it to be listed.
        monotonic: the clock to wait by.
        sleep: how to wait.
    """
    if (counting := next((meter for meter in meters or () if counts_name(meter, NAME)), None)) is not None:
        yield warning(
            "trial.meter",
            f"no test event was sent: the meter {counting.name!r} counts events of any name, so it would count this",
            why="A test must not be on anybody's bill.",
            do=(f"# in Polar: give the meter the condition that the event's name is not {NAME}",),
        )
        return
    began = monotonic()
    try:
        answer = api.post(INGEST, {"events": [trial_event(trial_id, user)]})
        inserted = fields.whole(answer, "inserted")
    except PolarError as error:
        yield problem("trial.sent", f"the test event could not be sent: {error}", why="Calls would wait on disk.")
        return
    if inserted != 1:
        yield problem(
            "trial.sent",
            f"Polar answered well, and stored {inserted} events of 1",
            why="What it says it has it may not have.",
        )
        return
    yield well("trial.sent", f"a test event ({NAME}) was sent, and Polar has stored it")
    if meters is None:
        yield note("trial.meter", "whether a meter counts it is not known: the token lacks the scope meters:read")
    try:
        event = _listed(api, trial_id, began + timeout_s, monotonic, sleep)
    except PolarDeniedError:
        yield unknown("trial.listed", "whether it is listed is not known: the token lacks the scope events:read")
        return
    except PolarError as error:
        yield unknown("trial.listed", f"whether it is listed is not known: {error}")
        return
    if event is None:
        yield warning(
            "trial.listed",
            f"Polar has not listed it within {timeout_s:.0f} s",
            why="Polar's listing is some seconds behind, and behind more while it is busy.",
            do=("otel-polar doctor --send-test --wait 120",),
        )
        return
    yield well("trial.listed", f"Polar lists it after {monotonic() - began:.1f} s")
    yield _whose(event, user)


def _listed(
    api: PolarApi,
    trial_id: str,
    until: float,
    monotonic: Callable[[], float],
    sleep: Callable[[float], object],
) -> dict[str, Any] | None:
    while True:
        parameters: dict[str, str | int] = {"name": NAME, f"metadata[{TRIAL_KEY}]": trial_id, "limit": 1}
        if found := fields.mappings(api.get("/v1/events/", parameters), "items"):
            return found[0]
        if monotonic() >= until:
            return None
        sleep(POLL_S)


def _whose(event: dict[str, Any], user: str | None) -> Finding:
    mapped = fields.optional(event, "customer.external_id")
    if user is None:
        return note(
            "trial.customer",
            f"it is for {UNKNOWN_CUSTOMER!r}, who is nobody",
            why="With --customer it is for one of your users, and whether Polar knows who that is can be seen.",
        )
    if mapped == user:
        return well("trial.customer", f"it belongs to the customer with the external id {user!r}")
    return problem(
        "trial.customer",
        f"Polar knows no customer to whom the event for {user!r} belongs",
        why="Usage for unknown ids is stored and never billed.",
        do=(f"otel-polar customers ensure {quote(user)} --email ...",),
    )
