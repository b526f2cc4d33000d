"""Specifies ``ensure_customers``: whose events go, whose wait, and when Polar is asked."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.sending.admission import (
    FIRST_WAIT_S,
    LIST_FROM,
    MAX_LIST_FAILURES,
    NO_CUSTOMER,
    NOT_ASKED,
    TROUBLE_WAIT_S,
    USUAL_MAX_WAIT_S,
    Admission,
)
from otel_polar.delivery.sending.known_customers import FILE_NAME, MAX_AGE_DAYS, KnownCustomers
from otel_polar.errors import (
    PolarDeniedError,
    PolarError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)
from otel_polar.polar_api.budget import BURST_REQUESTS, Budget
from tests.delivery.support import NOON, ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.delivery.disk.rows import Entry

DAY_S = 86_400.0


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    opened = Outbox(None)
    yield opened
    opened.close()


@dataclass
class PolarsCustomers:
    """Who is on Polar, in a list; or what is raised."""

    there: list[str] = field(default_factory=list)
    error: PolarError | None = None
    asked: list[str | int] = field(default_factory=list)
    page_customers: int = 100

    def has_customer(self, external_id: str, /) -> bool:
        self.asked.append(external_id)
        if self.error is not None:
            raise self.error
        return external_id in self.there

    def customers_on(self, page: int, /) -> tuple[list[str], int]:
        self.asked.append(page)
        if self.error is not None:
            raise self.error
        start = (page - 1) * self.page_customers
        return self.there[start : start + self.page_customers], -(-len(self.there) // self.page_customers)

    def close(self) -> None:
        """Nothing is open."""


def admission(
    polar: PolarsCustomers, directory: Path | None = None, *, requests_per_minute: float = 600_000.0
) -> Admission:
    return Admission(polar, KnownCustomers(directory), budget=Budget(requests_per_minute), notices=Notices())


def body(number: int, customer: str | None) -> str:
    payer = {"customer_id": "8f14e45f-ceea-467f-a0e6-0f1c6b1e3f00"} if customer is None else {}
    named = {} if customer is None else {"external_customer_id": customer}
    return json.dumps({"name": "llm_usage", "external_id": f"event-{number}", **payer, **named})


def put(outbox: Outbox, *customers: str | None, first: int = 0) -> None:
    for number, customer in enumerate(customers, first):
        ready(outbox, [number], body=body(number, customer))


def admit(admission: Admission, outbox: Outbox, *, after_s: float = 0.0) -> list[int]:
    """The numbers of those that may be sent, and are."""
    now = NOON + after_s
    entries = outbox.due(now, limit=500, max_bytes=1_000_000)
    admitted = admission.admitted(outbox, entries, now=now, monotonic=after_s)
    outbox.settle([entry.seq for entry in admitted], now=now)
    return [number_of(entry) for entry in admitted]


def number_of(entry: Entry) -> int:
    return int(json.loads(entry.body)["external_id"].removeprefix("event-"))


def test_events_of_a_customer_that_is_there_go_and_it_is_asked_for_once(outbox: Outbox) -> None:
    """A question for every event would be a second rate limit."""
    polar = PolarsCustomers(["alice"])
    own = admission(polar)
    put(outbox, "alice", "alice")

    assert admit(own, outbox) == [0, 1]
    put(outbox, "alice")
    assert admit(own, outbox, after_s=1.0) == [0]
    assert polar.asked == ["alice"]


def test_events_of_nobody_wait_with_a_reason_and_the_others_go(outbox: Outbox) -> None:
    """Polar would take them, and never bill them."""
    own = admission(PolarsCustomers(["alice"]))
    put(outbox, "bob", "alice", "bob")

    assert admit(own, outbox) == [1]
    assert outbox.waiting() == 2
    assert [row.reason for row in outbox.ledger()] == [NO_CUSTOMER, NO_CUSTOMER]
    assert outbox.next_due_at(NOON) == NOON + FIRST_WAIT_S


def test_they_go_when_somebody_has_created_the_customer(outbox: Outbox) -> None:
    """Nothing is lost, and nobody has to ask for it."""
    polar = PolarsCustomers()
    own = admission(polar)
    put(outbox, "bob")

    assert admit(own, outbox) == []
    polar.there.append("bob")
    assert admit(own, outbox, after_s=FIRST_WAIT_S + 0.1) == [0]


def test_nobody_is_asked_for_less_and_less_often_up_to_some_minutes(outbox: Outbox) -> None:
    """Some users never become customers, and who does pays from soon after."""
    polar = PolarsCustomers()
    own = admission(polar)
    put(outbox, "bob")
    at: list[float] = []
    elapsed_s = 0.0
    while elapsed_s < 10 * USUAL_MAX_WAIT_S:
        admit(own, outbox, after_s=elapsed_s)
        at.append(elapsed_s)
        due_at = outbox.next_due_at(NOON + elapsed_s)
        assert due_at is not None
        elapsed_s = due_at - NOON + 0.01

    waits = [round(later - earlier, 1) for earlier, later in pairwise(at)]
    assert len(polar.asked) == len(at)
    assert waits[:3] == [5.0, 10.0, 20.0]
    assert set(waits[-3:]) == {USUAL_MAX_WAIT_S}


def test_new_events_of_nobody_wait_for_the_same_question(outbox: Outbox) -> None:
    """A busy user who is no customer must not use up the budget."""
    polar = PolarsCustomers()
    own = admission(polar)
    put(outbox, "bob")
    admit(own, outbox)
    put(outbox, "bob", "bob", first=1)

    assert admit(own, outbox, after_s=1.0) == []
    assert polar.asked == ["bob"]
    assert outbox.next_due_at(NOON + 1.0) == NOON + FIRST_WAIT_S


def test_events_of_polars_own_ids_are_never_asked_for(outbox: Outbox) -> None:
    """Polar refuses those that do not exist by itself."""
    polar = PolarsCustomers()
    put(outbox, None)

    assert admit(admission(polar), outbox) == [0]
    assert polar.asked == []


def test_a_damaged_event_is_left_to_the_sending(outbox: Outbox) -> None:
    """There it is found out and rejected."""
    ready(outbox, [1], body="{broken")
    own = admission(PolarsCustomers())
    entries = outbox.due(NOON, limit=1, max_bytes=1)

    assert own.admitted(outbox, entries, now=NOON, monotonic=0.0) == entries


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PolarDeniedError("of user bob", status=403, scope="customers:read"), "the token lacks customers:read"),
        (PolarDeniedError("of user bob", status=401), "(401)"),
        (PolarUnreachableError("of user bob"), "PolarUnreachableError"),
    ],
)
def test_if_polar_cannot_be_asked_the_unknown_wait_and_it_is_said_once(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, error: PolarError, said: str
) -> None:
    """The option was chosen because events of nobody are lost: to believe in everybody would undo it."""
    polar = PolarsCustomers(["alice"])
    own = admission(polar)
    put(outbox, "alice")
    admit(own, outbox)
    polar.error = error
    put(outbox, "bob", "alice", None)

    with caplog.at_level(logging.WARNING, "otel_polar"):
        assert admit(own, outbox, after_s=1.0) == [1, 2]
        put(outbox, "carol", first=3)
        assert admit(own, outbox, after_s=2.0) == []
    assert outbox.next_due_at(NOON + 1.0) == NOON + 1.0 + TROUBLE_WAIT_S
    assert {row.reason for row in outbox.ledger()} == {NOT_ASKED}
    assert polar.asked == ["alice", "bob"]
    (line,) = caplog.messages
    assert said in line
    assert "bob" not in line

    polar.error = None
    polar.there += ["bob", "carol"]
    assert sorted(admit(own, outbox, after_s=2.0 + TROUBLE_WAIT_S)) == [0, 3]


def test_a_rate_limit_is_kept_as_long_as_polar_says(outbox: Outbox) -> None:
    """It is the whole organization's."""
    polar = PolarsCustomers(error=PolarRateLimitedError("x", retry_after_s=17.0))
    put(outbox, "bob")

    admit(admission(polar), outbox)

    assert outbox.next_due_at(NOON) == NOON + 17.0


def test_questions_keep_to_the_budget_and_who_was_not_asked_for_stays_due(outbox: Outbox) -> None:
    """They are not postponed: they go as soon as the budget lets them."""
    polar = PolarsCustomers([f"user_{number}" for number in range(10)])
    budget = Budget(60.0)
    known = KnownCustomers(None)

    class Spending(PolarsCustomers):
        def has_customer(self, external_id: str, /) -> bool:
            budget.spend(0.0)
            return super().has_customer(external_id)

    own = Admission(Spending(polar.there), known, budget=budget, notices=Notices())
    put(outbox, *polar.there)

    assert admit(own, outbox) == list(range(int(BURST_REQUESTS)))
    assert outbox.next_due_at(NOON) == NOON


def test_where_many_are_unknown_the_list_is_read(outbox: Outbox) -> None:
    """At the first start everybody is: a hundred at a request."""
    polar = PolarsCustomers([f"user_{number}" for number in range(250)])
    put(outbox, *[f"user_{number}" for number in range(LIST_FROM + 1)], "bob")

    assert admit(admission(polar), outbox) == list(range(LIST_FROM + 1))
    assert polar.asked == [1, 2, 3, "bob"]


def test_nobody_there_at_all_is_a_list_of_one_empty_page(outbox: Outbox) -> None:
    """A new organization."""
    polar = PolarsCustomers()
    put(outbox, *[f"user_{number}" for number in range(LIST_FROM + 1)])

    assert admit(admission(polar), outbox) == []
    assert polar.asked[0] == 1
    assert outbox.waiting() == LIST_FROM + 1


def test_it_is_said_once_that_events_wait_and_once_that_it_is_over(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has to create the customers; without anybody's name in the log."""
    polar = PolarsCustomers()
    own = admission(polar)
    put(outbox, "bob", "carol")
    with caplog.at_level(logging.WARNING, "otel_polar"):
        admit(own, outbox)
        admit(own, outbox, after_s=FIRST_WAIT_S + 1.0)
        polar.there += ["bob", "carol"]
        admit(own, outbox, after_s=4 * FIRST_WAIT_S)

    assert len(caplog.messages) == 2
    assert "ensure_customers" in caplog.messages[0]
    assert caplog.messages[1] == "Polar has the customers now that events waited for"


def test_a_restart_asks_for_nobody_that_is_known(outbox: Outbox, tmp_path: Path) -> None:
    """Deployments are many, and customers more."""
    polar = PolarsCustomers(["alice"])
    put(outbox, "alice")
    admit(admission(polar, tmp_path), outbox)
    put(outbox, "alice")

    assert admit(admission(polar, tmp_path), outbox) == [0]
    assert polar.asked == ["alice"]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert "alice" not in (tmp_path / FILE_NAME).read_text()


def test_a_customer_is_believed_in_for_a_month(tmp_path: Path) -> None:
    """They can be deleted."""
    KnownCustomers(tmp_path).add(["alice"], NOON)

    later = NOON + (MAX_AGE_DAYS - 1) * DAY_S
    assert KnownCustomers(tmp_path).has("alice", later)
    assert not KnownCustomers(tmp_path).has("alice", later + DAY_S)
    assert not KnownCustomers(tmp_path).has("alice", NOON - DAY_S)


def test_a_damaged_line_is_nobody_and_the_others_are_known(tmp_path: Path) -> None:
    """Several processes write to it, and disks fail."""
    known = KnownCustomers(tmp_path)
    known.add(["alice"], NOON)
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"\xff\xfe half a line\n\n0123 x\n")
    KnownCustomers(tmp_path).add(["bob"], NOON)

    read = KnownCustomers(tmp_path)
    assert [read.has(customer, NOON) for customer in ("alice", "bob", "carol")] == [True, True, False]


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Each process writes down what it has seen."""
    line = KnownCustomers(tmp_path)
    line.add(["alice"], NOON)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text() * 2_000)

    assert KnownCustomers(tmp_path).has("alice", NOON)
    assert len(path.read_text().splitlines()) == 1


def test_a_directory_that_cannot_be_written_only_costs_questions(tmp_path: Path) -> None:
    """Billing goes on."""
    known = KnownCustomers(tmp_path / "none")
    known.add(["alice"], NOON)

    assert known.has("alice", NOON)


def test_a_number_that_python_does_not_read_is_a_damaged_line(tmp_path: Path) -> None:
    """An error there would stop all delivery for ever."""
    (tmp_path / FILE_NAME).write_text(f"{'0' * 32} {'9' * 5_000}\n")

    assert not KnownCustomers(tmp_path).has("alice", NOON)


class Hostile(PolarsCustomers):
    """Fails on one customer, or on the list."""

    def __init__(self, there: list[str], failing: str | int, failure: PolarError) -> None:
        super().__init__(there)
        self.failing = failing
        self.failure = failure

    def has_customer(self, external_id: str, /) -> bool:
        found = super().has_customer(external_id)
        if external_id == self.failing:
            raise self.failure
        return found

    def customers_on(self, page: int, /) -> tuple[list[str], int]:
        found = super().customers_on(page)
        if page == self.failing:
            raise self.failure
        return found


@pytest.mark.parametrize("failure", [PolarUnreachableError("500"), PolarRefusedError("422", status=422)])
def test_a_customer_on_whom_polar_fails_does_not_stop_the_others(outbox: Outbox, failure: PolarError) -> None:
    """Its event is the oldest, and would be asked for first, again and again."""
    own = admission(Hostile(["alice"], "poison", failure))
    put(outbox, "poison", "alice")

    sent = [*admit(own, outbox), *admit(own, outbox, after_s=TROUBLE_WAIT_S + 1.0)]

    assert sent == [1]
    assert outbox.waiting() == 1


def test_a_list_that_fails_in_the_middle_is_given_up_and_each_is_asked_for(outbox: Outbox) -> None:
    """One customer that cannot be read would hold up everybody."""
    everybody = [f"user_{number}" for number in range(250)]
    own = admission(Hostile(everybody, 2, PolarUnreachableError("500")))
    put(outbox, *everybody[100 : 100 + LIST_FROM + 1])

    sent = [admit(own, outbox, after_s=number * (TROUBLE_WAIT_S + 1.0)) for number in range(MAX_LIST_FAILURES + 1)]

    assert sent == [[]] * MAX_LIST_FAILURES + [list(range(LIST_FROM + 1))]


def test_thousands_of_unknown_customers_hold_up_nobody_who_is_known(outbox: Outbox) -> None:
    """They would fill batch after batch, until each has been asked for."""
    budget = Budget(100.0)

    class Spending(PolarsCustomers):
        now = 0.0

        def has_customer(self, external_id: str, /) -> bool:
            budget.spend(self.now)
            return super().has_customer(external_id)

        def customers_on(self, page: int, /) -> tuple[list[str], int]:
            budget.spend(self.now)
            return super().customers_on(page)

    polar = Spending(["alice"])
    own = Admission(polar, KnownCustomers(None), budget=budget, notices=Notices())
    put(outbox, "alice")
    assert admit(own, outbox) == [0]
    put(outbox, *[f"bot_{number}" for number in range(1_200)], "alice")

    steps = 0
    while not (sent := admit(own, outbox, after_s=polar.now)):
        steps += 1
        polar.now += budget.wait_s(polar.now)
    assert sent == [1_200]
    assert steps <= 3


def test_those_who_stay_absent_do_not_use_up_the_budget(outbox: Outbox) -> None:
    """Ten thousand visitors who never sign up are asked about with a part of it."""
    polar = PolarsCustomers()
    own = admission(polar, requests_per_minute=3_000.0)
    for first in range(0, 500, 100):
        put(outbox, *[f"bot_{number}" for number in range(first, first + 100)], first=first)
    monotonic = 0.0
    while monotonic < 600.0:
        admit(own, outbox, after_s=monotonic)
        monotonic += 5.0
    before = len(polar.asked)
    while monotonic < 1_200.0:
        admit(own, outbox, after_s=monotonic)
        monotonic += 5.0

    assert (len(polar.asked) - before) / 10.0 <= 0.2 * 3_000.0


def test_half_a_character_is_left_to_the_sending(outbox: Outbox) -> None:
    """It cannot be written in an address, and an error would stop all delivery."""
    ready(outbox, [0], body=body(0, "us\ud800er"))
    polar = PolarsCustomers()

    assert admit(admission(polar), outbox) == [0]
    assert polar.asked == []
