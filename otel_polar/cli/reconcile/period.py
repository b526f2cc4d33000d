"""Which time is compared: full days within the ledger's memory, and not the last minutes, which Polar lists late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from otel_polar.cli.times import read_time
from otel_polar.cli.words import moment, span_of_time
from otel_polar.polar_api.events import LISTED_LATE_S

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_S: Final = 86_400
_MINUTE_S: Final = 60
_MS: Final = 1_000


def read_period(
    since: str | None, until: str | None, *, now: float, retention_s: float, say: Callable[[str], object]
) -> tuple[int, int]:
    """From one time until before another, in milliseconds since 1970.

    Args:
        since: as it is typed; the first full day (UTC) that the ledger remembers, if left out.
        until: as it is typed; some minutes ago if left out, or if it is later.
        now: Unix seconds.
        retention_s: how long the ledger remembers.
        say: is told what a person should know.

    Raises:
        typer.BadParameter: if one is no time, or the end comes before the beginning.
    """
    latest = (now - LISTED_LATE_S) // _MINUTE_S * _MINUTE_S
    remembered = now - retention_s
    begin = -(-remembered // DAY_S) * DAY_S if since is None else read_time("--since", since, now)
    end = latest if until is None else read_time("--until", until, now)
    if end > latest:
        say(
            f"Polar lists events late: what is younger than {span_of_time(LISTED_LATE_S)} is not compared, so the"
            f" period ends at {moment(latest)}."
        )
        end = latest
    if begin >= end:
        raise typer.BadParameter(f"the period would end ({moment(end)}) before it begins ({moment(begin)})")
    if begin < remembered:
        say(
            f"The ledger forgets what was sent after {span_of_time(retention_s)} (OTEL_POLAR_RETENTION_DAYS): events on"
            f" Polar before {moment(remembered)} may be 'missing here' for that reason."
        )
    # Nothing is older than 1970; and a float of 0.123 s is a little less.
    return max(0, round(begin * _MS)), round(end * _MS)
