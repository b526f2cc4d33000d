"""Specifies how all events of a period are read."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.errors import PolarUnreachableError
from otel_polar.polar_api import event_windows
from otel_polar.polar_api.client import PolarApi
from otel_polar.polar_api.event_windows import read_events
from otel_polar.polar_api.events import read_event
from tests.delivery.support import settings
from tests.reconciliation.support import YESTERDAY, a_body, ingest, iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.sandbox import SandboxServer

BEGIN = int(YESTERDAY) * 1_000


def ids(
    api: Any, begin: int = BEGIN, end: int = BEGIN + 3_600_000, whose: Mapping[str, str] | None = None
) -> list[str]:
    found = [event for events in read_events(api, begin, end, whose or {}) for event in events]
    return [str(event.metadata["span_id"]) for event in found]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a period holds few events."""
    monkeypatch.setattr(event_windows, "MAX_PART_EVENTS", 150)


@pytest.mark.usefixtures("few")
def test_every_event_is_read_once_in_order(polar_sandbox: SandboxServer) -> None:
    """However many pages and parts there are."""
    bodies = [a_body(number, at=YESTERDAY + 1 + number / 10) for number in range(700)]
    ingest(polar_sandbox.url, bodies)
    announced: list[int] = []

    with PolarApi(settings(base_url=polar_sandbox.url, requests_per_minute=60_000.0), is_patient=True) as api:
        found = ids(api)
        list(read_events(api, BEGIN, BEGIN + 3_600_000, {}, announce=announced.append))

    assert found == [body["metadata"]["span_id"] for body in bodies]
    assert announced == [700]


def test_the_beginning_belongs_to_the_period_and_the_end_does_not(polar_sandbox: SandboxServer) -> None:
    """Two periods side by side have every event once, to the microsecond."""
    begin = BEGIN / 1_000
    times = (begin - 0.0005, begin, begin + 0.0005, begin + 0.9995, begin + 1)
    ingest(polar_sandbox.url, [a_body(number, at=at) for number, at in enumerate(times)])

    with PolarApi(settings(base_url=polar_sandbox.url)) as api:
        found = ids(api, BEGIN, BEGIN + 1_000)

    assert found == [f"{number + 1:016x}" for number in (1, 2, 3)]


def test_only_one_customers_events_are_read_if_asked_for(polar_sandbox: SandboxServer) -> None:
    """An external id needs no customer on Polar."""
    ingest(polar_sandbox.url, [a_body(number) for number in range(20)])

    with PolarApi(settings(base_url=polar_sandbox.url)) as api:
        found = ids(api, whose={"external_customer_id": "user_3"})

    assert len(found) == 2


class Shifting:
    """A Polar on which more events arrive while pages are read, or whose pages have no order."""

    def __init__(self, total: int, *, late: int = 0, is_in_order: bool = True, is_one_moment: bool = False) -> None:
        self.events = list(range(total))
        self.late = late
        self.is_in_order = is_in_order
        self.is_one_moment = is_one_moment
        self.numbers = count()

    def get(self, _: str, parameters: Mapping[str, Any]) -> Any:
        number = next(self.numbers)
        if self.late and number % 3 == 2:
            self.late -= 1
            self.events.insert(0, -self.late - 1)
        events = [event for event in self.events if self.is_in(event, parameters)]
        if not self.is_in_order:
            events = events[number % 7 :] + events[: number % 7]
        begin = (parameters["page"] - 1) * 100
        return {
            "items": [self.item(event) for event in events[begin : begin + 100]],
            "pagination": {"total_count": len(events), "max_page": -(-len(events) // 100)},
        }

    def at(self, event: int) -> str:
        return iso((BEGIN + 1_000 + (0 if self.is_one_moment else event)) / 1_000)

    def is_in(self, event: int, parameters: Mapping[str, Any]) -> bool:
        at = self.at(event).replace("Z", "+00:00")
        return bool(parameters["start_timestamp"] < at < parameters["end_timestamp"])

    def item(self, event: int) -> Any:
        return {
            "id": f"event-{event}",
            "name": "llm_usage",
            "source": "user",
            "timestamp": self.at(event),
            "metadata": {"span_id": str(event)},
        }


def test_events_that_arrive_meanwhile_make_nobody_else_be_missed() -> None:
    """Each of them moves all behind it to other places."""
    polar = Shifting(450, late=4)

    found = ids(polar)

    assert len(found) == len(set(found))
    assert {str(number) for number in range(450)} <= set(found)


def test_pages_without_an_order_are_cut_until_one_page_holds_them() -> None:
    """Polar promises no order among events of one time."""
    found = ids(Shifting(450, is_in_order=False))

    assert sorted(map(int, found)) == list(range(450))


def test_pages_that_never_fit_together_are_an_error() -> None:
    """A part of the events must not pass for all of them."""
    polar = Shifting(450, is_in_order=False, is_one_moment=True)

    with pytest.raises(PolarUnreachableError, match="contradict each other"):
        ids(polar)


@pytest.mark.parametrize(
    ("change", "customer"),
    [
        ({"customer_id": "c", "external_customer_id": None, "customer": None}, "c"),
        ({"customer_id": None, "external_customer_id": "e", "customer": None}, "e"),
        ({"customer_id": "c", "customer": {"id": "c", "external_id": "e"}}, "e"),
        ({"external_customer_id": "e", "customer": {"id": "c", "external_id": "e"}}, "e"),
        ({}, None),
    ],
)
def test_who_pays_is_known_by_either_id(change: dict[str, Any], customer: str | None) -> None:
    """Where Polar knows the customer it tells both."""
    assert read_event({**Shifting(1).item(1), **change}).customer == customer
