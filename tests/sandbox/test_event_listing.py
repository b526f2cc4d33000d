"""Listing many events: order, pages, milliseconds, and how fast a hundred thousand are read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.sandbox import SandboxServer, SandboxStore
from otel_polar.sandbox.conditions import EVERY_EVENT
from tests.sandbox.support import NOON, call, event, ingest, post

if TYPE_CHECKING:
    from pathlib import Path


def names(server: SandboxServer, query: str = "") -> list[str]:
    return [item["name"] for item in call(server, f"/v1/events/?{query}").json["items"]]


def at(timestamp: str, name: str, **fields: Any) -> dict[str, Any]:
    return event(timestamp=f"2026-10-01T11:00:{timestamp}Z", name=name, **fields)


@pytest.mark.parametrize(
    ("query", "expected", "reason"),
    [
        ("start_timestamp=2026-10-01T11:00:00.001Z", ["d", "c"], "the start itself is not part of it"),
        ("start_timestamp=2026-10-01T11:00:00.0015Z", ["d", "c"], "nor is anything in its millisecond"),
        ("end_timestamp=2026-10-01T11:00:00.002Z", ["b", "a"], "and neither is the end"),
        ("start_timestamp=2026-10-01T11:00:00Z&end_timestamp=2026-10-01T11:00:00.002Z", ["b"], "both together"),
        ("start_timestamp=2026-10-01T13:00:00.001%2B02:00", ["d", "c"], "in any zone"),
    ],
)
def test_both_ends_are_excluded_in_whole_milliseconds(
    server: SandboxServer, query: str, expected: list[str], reason: str
) -> None:
    """A reconciliation that asks from midnight on must ask from the millisecond before."""
    ingest(server, at("00.0009", "a"), at("00.001999", "b"), at("00.002", "c"), at("01", "d"))

    assert names(server, query) == expected, reason


def test_a_listing_is_read_to_its_end_while_nothing_arrives(server: SandboxServer) -> None:
    """Every event once, whatever the size of a page; events of one time keep one order."""
    ingest(server, *(event(name=str(number), timestamp="2026-10-01T11:00:00Z") for number in range(25)))

    pages = [names(server, f"limit=10&page={page}") for page in (1, 2, 3, 4)]

    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert sorted(int(name) for page in pages for name in page) == list(range(25))


def test_what_arrives_is_listed_at_once(server: SandboxServer) -> None:
    """The order of an answer is kept only until something is written."""
    ingest(server, at("00", "a"))
    assert names(server, "name=a&name=b") == ["a"]
    ingest(server, at("01", "b"))
    assert names(server, "name=a&name=b") == ["b", "a"]


def test_a_whole_tree_is_listed_when_its_root_arrives(server: SandboxServer) -> None:
    """In any order, across batches, and never for a circle."""
    ingest(server, at("03", "leaf", parent_id="branch"), at("04", "stray", parent_id="nowhere"))
    ingest(server, at("02", "branch", external_id="branch", parent_id="root"))
    ingest(
        server, at("05", "egg", external_id="egg", parent_id="hen"), at("06", "hen", external_id="hen", parent_id="egg")
    )
    assert names(server) == []

    ingest(server, at("01", "root", external_id="root"))

    assert names(server) == ["leaf", "branch", "root"]
    ingest(server, at("00", "late leaf", parent_id="branch"))
    assert names(server, "sorting=timestamp") == ["late leaf", "root", "branch", "leaf"]


def test_an_unknown_meter_is_refused(server: SandboxServer) -> None:
    """A filter by a meter that is not there would otherwise look like no usage."""
    answer = call(server, "/v1/events/?meter_id=550e8400-e29b-41d4-a716-446655440000")

    assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["query", "meter_id"])


def test_a_file_of_an_older_sandbox_is_read(tmp_path: Path) -> None:
    """Its events are listed, its customers and meters are there."""
    path = tmp_path / "polar.db"
    with SandboxServer(db=path, now=lambda: NOON) as server:
        ingest(
            server, at("01", "child", parent_id="p"), at("00", "parent", external_id="p"), at("02", "x", parent_id="y")
        )
        post(
            server,
            "/v1/meters/",
            name="calls",
            filter={"conjunction": "and", "clauses": []},
            aggregation={"func": "count"},
        )
        server.store.insert_customer(external_id="a")
        with server.store.database.writing() as connection:
            for index in ("system_events", "unlisted_events"):
                connection.execute(f"DROP INDEX {index}")
            for table, column in (
                ("customers", "modified_at_us"),
                ("meters", "modified_at_us"),
                ("meters", "archived_at_us"),
                ("events", "source"),
                ("events", "is_listed"),
            ):
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")

    with SandboxServer(db=path, now=lambda: NOON) as server:
        assert names(server) == ["child", "parent"]
        assert (len(server.store.meters()), len(server.store.customers())) == (1, 1)


@pytest.mark.slow
def test_a_hundred_thousand_events_are_read_in_seconds(server: SandboxServer) -> None:
    """A reconciliation of as many has a minute for everything."""
    for first in range(0, 100_000, 10_000):
        ingest(
            server,
            *(
                {
                    "name": "llm_usage",
                    "external_customer_id": f"user_{number % 500}",
                    "external_id": str(number),
                    "timestamp": 1_790_000_000 + number,
                    "metadata": {"model": "gpt-4o", "total_tokens": number % 7, "cost_nanos": 168_600},
                }
                for number in range(first, first + 10_000)
            ),
        )
    usage = {"conjunction": "and", "clauses": [{"property": "name", "operator": "eq", "value": "llm_usage"}]}
    meter = post(
        server, "/v1/meters/", name="cost", filter=usage, aggregation={"func": "sum", "property": "cost_nanos"}
    ).json["id"]
    store: SandboxStore = server.store

    started = time.process_time()
    sequences = store.listing.find(EVERY_EVENT, newest_first=True)
    ids = {
        one.event.id for first in range(0, 100_000, 100) for one in store.listing.read(sequences[first : first + 100])
    }
    listed_s = time.process_time() - started
    started = time.process_time()
    period = "start_timestamp=2026-09-01T00:00:00Z&end_timestamp=2026-10-02T00:00:00Z&interval=day"
    total = call(server, f"/v1/meters/{meter}/quantities?{period}").json["total"]
    summed_s = time.process_time() - started

    assert (len(ids), total) == (100_000, 100_000 * 168_600)
    assert listed_s < 15
    assert summed_s < 3
