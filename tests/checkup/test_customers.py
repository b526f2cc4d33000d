"""Specifies what is said about a customer, and how a test event is followed to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.trial_event import NAME
from otel_polar.checkup.customers import customer_findings
from otel_polar.checkup.trial import trial_findings
from otel_polar.errors import PolarUnreachableError
from otel_polar.polar_api.budget import Budget
from otel_polar.polar_api.client import PolarApi
from otel_polar.polar_api.meters import Counting, Unit, create_meter, list_meters
from otel_polar.sandbox import SandboxServer
from otel_polar.settings import Settings
from tests.checkup.support import told, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.checkup.finding import Finding

TOKEN = "polar_oat_good"
OURS = {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]}


def api_of(server: SandboxServer) -> PolarApi:
    settings = Settings.load({}, access_token=TOKEN, base_url=server.url)
    return PolarApi(settings, budget=Budget(60_000))


@pytest.fixture
def api(polar_sandbox: SandboxServer) -> Iterator[PolarApi]:
    with api_of(polar_sandbox) as api:
        yield api


def customer(api: PolarApi, user: str = "user_42") -> str:
    made = api.post("/v1/customers/", {"external_id": user, "email": f"{user}@example.com"})
    return str(made["id"])


def meter(api: PolarApi) -> str:
    return create_meter(api, name="Calls", counting=Counting.of(OURS, {"func": "count"}), unit=Unit()).id


def subscribe(api: PolarApi, customer_id: str, meter_id: str) -> None:
    prices = [
        {"amount_type": "free"},
        {"amount_type": "metered_unit", "meter_id": meter_id, "unit_amount": "1", "price_currency": "usd"},
    ]
    product = api.post("/v1/products/", {"name": "Pro", "recurring_interval": "month", "prices": prices})
    api.post("/v1/subscriptions/", {"product_id": product["id"], "customer_id": customer_id})


def test_an_unknown_user_is_told_with_what_is_lost(api: PolarApi) -> None:
    """Polar takes their usage, and bills it never."""
    (finding,) = customer_findings(api, "o'brien", counting=[], sent=3)

    assert finding.check == "customers.exists"
    assert "3 of their calls have been sent already" in finding.why
    assert finding.do == ("""otel-polar customers ensure 'o'"'"'brien' --email ...""",)


def test_a_customer_without_a_price_is_told(api: PolarApi) -> None:
    """They exist, and are billed nothing."""
    customer(api)
    meter(api)

    found = list(customer_findings(api, "user_42", counting=list_meters(api), sent=0))

    assert told(found) == {"customers.exists": "well", "customers.pays": "warning"}


def test_a_customer_with_a_metered_price_is_well(api: PolarApi) -> None:
    """Everything is there."""
    subscribe(api, customer(api), meter(api))

    found = list(customer_findings(api, "user_42", counting=list_meters(api), sent=0))

    assert wrong(found) == {}
    assert told(found)["customers.pays"] == "well"


def test_what_the_token_may_not_read_is_not_known() -> None:
    """It says nothing about the customer."""
    with SandboxServer(tokens={TOKEN: frozenset({"events:write"})}) as server, api_of(server) as api:
        assert told(customer_findings(api, "user_42", counting=None, sent=0)) == {"customers.exists": "unknown"}


def test_what_the_customer_has_used_is_told(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is the number that is on the bill."""
    subscribe(api, customer(api), meter(api))
    api.post("/v1/events/ingest", {"events": [{"name": "llm_usage", "external_customer_id": "user_42"}]})
    polar_sandbox.wait_for_events(1)

    found = list(customer_findings(api, "user_42", counting=list_meters(api), sent=0))

    (balance,) = (each for each in found if each.check == "customers.balance")
    assert balance.what.startswith("'Calls': 1 used, 0 credited")


def test_that_polar_counts_late_is_said_once(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """It is true of every meter, and one line is enough."""
    subscribe(api, customer(api), meter(api))
    meter(api)
    api.post("/v1/events/ingest", {"events": [{"name": "llm_usage", "external_customer_id": "user_42"}]})
    polar_sandbox.wait_for_events(1)

    found = list(customer_findings(api, "user_42", counting=list_meters(api), sent=0))

    balances = [each.why for each in found if each.check == "customers.balance"]
    assert balances == ["Polar counts some seconds to hours behind.", ""]


def test_without_the_meters_what_they_pay_for_is_not_known(api: PolarApi) -> None:
    """The token may lack meters:read; the customer is there all the same."""
    customer(api)

    assert told(customer_findings(api, "user_42", counting=None, sent=0)) == {
        "customers.exists": "well",
        "customers.pays": "note",
    }


def test_a_polar_that_fails_is_not_a_missing_customer() -> None:
    """Nobody should create one twice because of that."""
    api: Any = Listing(PolarUnreachableError("down"))

    assert told(customer_findings(api, "user_42", counting=[], sent=0)) == {"customers.exists": "unknown"}


class Time:
    """Passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def try_out(api: Any, user: str | None = None, **changes: Any) -> list[Finding]:
    time = Time()
    options: dict[str, Any] = {"trial_id": "t1", "user": user, "meters": [], "timeout_s": 3.0, **changes}
    return list(trial_findings(api, monotonic=lambda: time.now, sleep=time.sleep, **options))


def test_a_test_event_is_followed_to_its_customer(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """Token, server, ingest, listing and customer in one go."""
    customer(api)
    meter(api)

    found = try_out(api, "user_42", meters=list_meters(api))

    assert told(found) == {"trial.sent": "well", "trial.listed": "well", "trial.customer": "well"}
    (event,) = polar_sandbox.events()
    assert (event["name"], event["external_customer_id"]) == (NAME, "user_42")


def test_a_test_event_of_nobody_is_told(api: PolarApi) -> None:
    """It arrives like any other, and is never billed."""
    found = try_out(api, "user_42")

    assert wrong(found) == {"trial.customer": "Polar knows no customer to whom the event for 'user_42' belongs"}
    assert told(try_out(api, trial_id="t2"))["trial.customer"] == "note"


def test_no_test_event_is_sent_where_a_meter_would_count_it(api: PolarApi, polar_sandbox: SandboxServer) -> None:
    """A test must not be on a bill."""
    anything = {"conjunction": "and", "clauses": [{"property": "model", "operator": "ne", "value": "x"}]}
    create_meter(api, name="All", counting=Counting.of(anything, {"func": "count"}), unit=Unit())

    assert set(wrong(try_out(api, meters=list_meters(api)))) == {"trial.meter"}
    assert polar_sandbox.events() == []


class Listing:
    """A Polar whose listing is late, or fails."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def post(self, _path: str, _body: object) -> Any:
        return {"inserted": 1, "duplicates": 0}

    def get(self, _path: str, _parameters: object = None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_listing_that_is_late_is_waited_for_and_then_told() -> None:
    """Polar's is seconds behind."""
    assert set(wrong(try_out(Listing({"items": []})))) == {"trial.listed"}
    assert told(try_out(Listing(PolarUnreachableError("down"))))["trial.listed"] == "unknown"


def test_without_the_scopes_to_look_the_test_event_is_sent_all_the_same() -> None:
    """That is what is tried; the rest is said not to be known."""
    with SandboxServer(tokens={TOKEN: frozenset({"events:write"})}) as server, api_of(server) as api:
        found = told(try_out(api, meters=None))
    with SandboxServer(tokens={TOKEN: frozenset({"customers:read"})}) as server, api_of(server) as api:
        refused = told(try_out(api))

    assert (found["trial.sent"], found["trial.meter"]) == ("well", "note")
    assert refused == {"trial.sent": "problem"}


def test_an_event_that_was_sent_before_is_not_taken_for_a_new_one(api: PolarApi) -> None:
    """Polar would say that all is well."""
    try_out(api)

    assert set(wrong(try_out(api))) == {"trial.sent"}
