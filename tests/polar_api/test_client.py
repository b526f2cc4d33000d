"""Specifies one request to Polar's API: what was answered, or an error that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from polar.v2026_10.client import SERVERS as SERVERS_OF_THE_SDK
from polar.v2026_10.client import Polar

from otel_polar.errors import (
    ConfigError,
    PolarDeniedError,
    PolarNotFoundError,
    PolarRateLimitedError,
    PolarRefusedError,
    PolarUnreachableError,
)
from otel_polar.polar_api.budget import BURST_REQUESTS, Budget
from otel_polar.polar_api.client import PATIENT_TRIES, SERVERS, VERSION, PolarApi
from otel_polar.polar_api.listing import iterate
from otel_polar.sandbox import SandboxServer
from tests.delivery.support import settings
from tests.servers.canned import Answer, CannedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

A_METER = {
    "name": "Calls",
    "filter": {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]},
    "aggregation": {"func": "count"},
}


@pytest.fixture
def api(polar_sandbox: SandboxServer) -> Iterator[PolarApi]:
    with PolarApi(settings(base_url=polar_sandbox.url, requests_per_minute=100_000)) as api:
        yield api


def test_servers_and_version_are_those_of_the_sdk() -> None:
    """They are written down here because importing them takes a second."""
    assert (SERVERS_OF_THE_SDK, Polar.version) == (SERVERS, VERSION)


def test_without_a_token_nothing_is_asked() -> None:
    """Polar answers nobody without one."""
    with pytest.raises(ConfigError, match="POLAR_ACCESS_TOKEN"):
        PolarApi(settings(access_token=None))


def test_what_is_made_can_be_read(api: PolarApi) -> None:
    """The answer is Polar's own JSON."""
    made = api.post("/v1/meters/", A_METER)

    assert api.get(f"/v1/meters/{made['id']}") == made


def test_an_answer_of_polars_tells_its_clock() -> None:
    """What was never billed is not forgotten on the word of our clock alone."""
    answer = Answer(200, '{"items": []}')
    with CannedServer(answer) as polar, PolarApi(settings(base_url=polar.url), timeout_s=5.0) as api:
        api.get("/v1/meters/")

    assert api.clock.now(0.0) is not None


def test_every_page_of_a_list_is_read(api: PolarApi) -> None:
    """A page has a hundred items."""
    for number in range(101):
        api.post("/v1/meters/", {**A_METER, "name": f"meter {number:03}"})

    assert [item["name"] for item in iterate(api, "/v1/meters/", {"sorting": "name"})] == [
        f"meter {number:03}" for number in range(101)
    ]


def test_what_does_not_exist_is_said(api: PolarApi) -> None:
    """A customer that is not there is an answer of its own, which may stand in a log."""
    with pytest.raises(PolarNotFoundError) as caught:
        api.get("/v1/customers/external/user_42/state")

    assert "(GET /v1/customers/external/{external_id}/state: 404)" in str(caught.value)


def test_what_is_refused_names_its_fields(api: PolarApi) -> None:
    """The person who typed it has to know which part."""
    with pytest.raises(PolarRefusedError) as caught:
        api.post("/v1/customers/", {"email": "no address"})

    assert caught.value.status == 422
    assert any("email" in field for field in caught.value.fields)


def test_an_unknown_token_is_said() -> None:
    """The first thing that is wrong for most people."""
    tokens = {"polar_oat_other": frozenset({"meters:read"})}
    with (
        SandboxServer(tokens=tokens) as server,
        PolarApi(settings(base_url=server.url)) as api,
        pytest.raises(PolarDeniedError) as caught,
    ):
        api.get("/v1/meters/")

    assert (caught.value.status, caught.value.scope) == (401, None)


def test_a_missing_scope_is_named() -> None:
    """It is what has to be added to the token."""
    tokens = {"polar_oat_test": frozenset({"events:write"})}
    with (
        SandboxServer(tokens=tokens) as server,
        PolarApi(settings(base_url=server.url)) as api,
        pytest.raises(PolarDeniedError) as caught,
    ):
        api.get("/v1/meters/")

    assert (caught.value.status, caught.value.scope) == (403, "meters:read or meters:write")


def test_nobody_at_the_address_is_a_network_that_fails() -> None:
    """Nothing has happened then."""
    with PolarApi(settings(base_url="http://127.0.0.1:9")) as api, pytest.raises(PolarUnreachableError) as caught:
        api.post("/v1/meters/", A_METER)

    assert not caught.value.may_have_happened
    assert "http://127.0.0.1:9" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(Answer(200, "<html>Sign in</html>"), "not Polar's", id="a page of somebody else"),
        pytest.param(Answer(403, "<html>Blocked</html>"), "HTTP 403", id="a firewall"),
        pytest.param(Answer(502, "Bad gateway"), "HTTP 502", id="a proxy"),
        pytest.param(Answer(200, '"text"'), "not Polar's", id="JSON that is no object"),
    ],
)
def test_an_answer_that_is_not_polars_is_no_answer(answer: Answer, words: str) -> None:
    """Whoever stands in between is not believed."""
    with (
        CannedServer(answer) as polar,
        PolarApi(settings(base_url=polar.url)) as api,
        pytest.raises(PolarUnreachableError, match=words),
    ):
        api.get("/v1/meters/")


def test_a_rate_limit_is_said_to_the_impatient_and_waited_for_by_the_patient() -> None:
    """The budget is the whole organization's."""
    waits: list[float] = []
    answers = [Answer(429, "", {"retry-after": "7"}), Answer(200, '{"items": [], "pagination": {"max_page": 0}}')]
    with (
        CannedServer(*answers) as polar,
        PolarApi(settings(base_url=polar.url)) as impatient,
        pytest.raises(PolarRateLimitedError) as caught,
    ):
        impatient.get("/v1/meters/")
    with (
        CannedServer(*answers) as polar,
        PolarApi(settings(base_url=polar.url), is_patient=True, sleep=waits.append) as patient,
    ):
        answer: Any = patient.get("/v1/meters/")

    assert caught.value.retry_after_s == 7.0
    assert (answer["items"], waits) == ([], [7.0])


def test_a_change_that_may_have_happened_is_not_tried_again() -> None:
    """Two meters would be counted twice; reading is tried a few times."""
    with (
        CannedServer(Answer(502)) as polar,
        PolarApi(settings(base_url=polar.url), is_patient=True, sleep=lambda _: None) as api,
    ):
        with pytest.raises(PolarUnreachableError) as caught:
            api.post("/v1/meters/", A_METER)
        with pytest.raises(PolarUnreachableError):
            api.get("/v1/meters/")

    assert caught.value.may_have_happened
    assert polar.asked == ["POST /v1/meters/"] + ["GET /v1/meters/"] * PATIENT_TRIES


def test_the_budget_is_kept() -> None:
    """A few requests in a row, and then so many a minute."""
    waits: list[float] = []
    answer = Answer(200, '{"items": []}')
    with CannedServer(answer) as polar:
        patient = PolarApi(
            settings(base_url=polar.url),
            budget=Budget(60.0),
            is_patient=True,
            sleep=waits.append,
            monotonic=lambda: sum(waits),
        )
        with patient:
            for _ in range(int(BURST_REQUESTS) + 2):
                patient.get("/v1/meters/")
        impatient = PolarApi(settings(base_url=polar.url), budget=Budget(0.001), monotonic=lambda: 0.0)
        with impatient, pytest.raises(PolarRateLimitedError, match="requests_per_minute"):
            for _ in range(int(BURST_REQUESTS) + 1):
                impatient.get("/v1/meters/")

    assert waits == [1.0, 1.0]
