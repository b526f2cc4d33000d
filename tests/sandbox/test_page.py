"""The numbers of the page, and the headers it is served with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.sandbox.overview import cost_nanos, model_of, tokens
from tests.sandbox.support import call, event, ingest

if TYPE_CHECKING:
    from otel_polar.sandbox import SandboxServer


@pytest.mark.parametrize("path", ["/", "/style.css", "/page.js", "/icon.svg"])
def test_the_page_brings_everything_along(server: SandboxServer, path: str) -> None:
    """No other host, no inline script, and a policy that forbids both."""
    answer = call(server, path, token=None)

    assert answer.status == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    text = answer.body.decode()
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval\(", text)
    assert re.findall(r"https?://[^\"' ]+", text) in ([], ["http://www.w3.org/2000/svg"])
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son[a-z]+=", text)


@pytest.mark.parametrize(
    ("metadata", "expected", "reason"),
    [
        ({"cost_nanos": 168_600}, 168_600, "exact as it stands"),
        ({"cost_nanos": 1, "_cost": {"amount": 5.0, "currency": "usd"}}, 1, "the exact number first"),
        ({"_cost": {"amount": 0.025, "currency": "usd"}}, 250_000, "cents: a fortieth of a cent is $0.00025"),
        ({"cost_nanos": True}, None, "True is not a billionth of a dollar"),
        ({"cost_nanos": "12"}, None, "nor is a text"),
        ({}, None, "unknown is not zero"),
    ],
)
def test_cost_is_read_in_billionths_of_a_dollar(metadata: dict[str, Any], expected: int | None, reason: str) -> None:
    """A per-cent figure taken for dollars would be wrong by a hundred."""
    assert cost_nanos(metadata) == expected, reason


def test_counts_and_models_fall_back_to_polars_own_place() -> None:
    """Integrations that write only `_llm` are shown too."""
    metadata = {"_llm": {"model": "gpt-4o", "cached_input_tokens": 7, "input_tokens": 9}, "input_tokens": 10}

    assert [tokens(metadata, kind) for kind in ("cache_read_tokens", "input_tokens", "output_tokens")] == [7, 10, 0]
    assert (model_of(metadata), model_of({"model": 5}), model_of({})) == ("gpt-4o", "5", None)


def test_the_overview_adds_up_by_customer_model_and_minute(server: SandboxServer) -> None:
    """A customer that is created later takes over what was billed to its external id."""
    usage = {"model": "m", "input_tokens": 3, "total_tokens": 5, "cost_nanos": 10}
    ingest(server, event(metadata=usage), event(metadata=usage, timestamp="2026-10-01T11:31:00Z"))
    ingest(server, event(external_customer_id="b", metadata={"cost_nanos": 1}, timestamp="2026-10-01T11:30:59Z"))

    overview = call(server, "/sandbox/overview", token=None).json
    customer = server.store.insert_customer(email="a@example.com", external_id="user_42")
    later = call(server, "/sandbox/overview", token=None).json

    assert overview["totals"]["cost_nanos"] == 21
    assert [(row["label"], row["events"], row["known"]) for row in overview["customers"]] == [
        ("user_42", 2, False),
        ("b", 1, False),
    ]
    assert [(row["model"], row["total_tokens"]) for row in overview["models"]] == [("m", 10), ("no model", 0)]
    assert [minute["cost_nanos"] for minute in overview["minutes"]] == [10, *[0] * 28, 10]
    assert (later["customers"][0]["key"], later["customers"][0]["known"]) == (f"id:{customer.id}", True)
