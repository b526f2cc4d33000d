"""All events of a period, each once, though pages are numbered and more events arrive while they are read.

An event that arrives late moves those behind it to other pages, and events of one time come in no order. So a period is
cut in two until a part has few enough pages, and a part only counts if as many different events were read of it as
Polar said there are. Otherwise it is read again, and then cut once more; one page cannot come apart.

100,000 events are some 1,100 requests, and never more than those of a part are in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.errors import PolarUnreachableError
from otel_polar.polar_api.events import read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_polar.polar_api.client import PolarApi
    from otel_polar.polar_api.events import EventPage, PolarEvent

MAX_PART_EVENTS: Final = 1_500
_TRIES: Final = 3
_US_PER_MS: Final = 1_000


def read_events(
    api: PolarApi,
    since_unix_ms: int,
    until_unix_ms: int,
    whose: Mapping[str, str],
    *,
    announce: Callable[[int], object] = lambda _: None,
) -> Iterator[list[PolarEvent]]:
    """The users' events from one millisecond until before another, some thousands at a time, the oldest first.

    Args:
        api: a patient one, best.
        since_unix_ms: milliseconds since 1970.
        until_unix_ms: as above; some minutes ago, or what is not listed yet is missing.
        whose: ``external_customer_id`` or ``customer_id``; everybody's if empty.
        announce: is told how many there are in all, before the first of them.

    Raises:
        PolarError: if Polar cannot be asked, or its answers contradict each other again and again.
    """
    parts = [(since_unix_ms, until_unix_ms)]
    is_announced = False
    while parts:
        since, until = parts.pop()
        if since >= until:
            continue
        first = read_page(api, since, until, whose, 1)
        if not is_announced:
            announce(first.total)
            is_announced = True
        is_smallest = until - since == 1
        if first.total <= MAX_PART_EVENTS or is_smallest:
            events = _read_part(api, since, until, whose, first)
            if events is not None:
                yield events
                continue
        if is_smallest:
            raise PolarUnreachableError(
                f"Polar's pages of {first.total} events of one millisecond contradict each other: try again later"
            )
        middle = (since + until) // 2
        parts += [(middle, until), (since, middle)]


def _read_part(
    api: PolarApi, since: int, until: int, whose: Mapping[str, str], first: EventPage
) -> list[PolarEvent] | None:
    """All pages of a part; ``None`` if they do not fit together."""
    for number in range(_TRIES):
        answer = first if number == 0 else read_page(api, since, until, whose, 1)
        found = {event.id: event for event in answer.events}
        page = 1
        # Of a page without events there is no next one, whatever the answer says.
        while page < answer.pages and answer.events:
            page += 1
            answer = read_page(api, since, until, whose, page)
            found.update({event.id: event for event in answer.events})
        if len(found) == answer.total:
            # A Polar that takes the ends to belong to what was asked for answers with some of the neighbours', too.
            return [event for event in found.values() if since <= event.at_unix_us // _US_PER_MS < until]
    return None
