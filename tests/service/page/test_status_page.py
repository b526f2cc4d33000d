"""Specifies the page as a browser and a script meet it: its headers, its numbers, and what they cost the service."""

from __future__ import annotations

import gc
import json
import logging
import re
import threading
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import State
from otel_polar.service.page import Source, create_page
from otel_polar.service.page.app import HEADERS
from otel_polar.service.page.held import MAX_EXAMPLES, Held
from otel_polar.service.page.spend import Spend
from tests.delivery.support import NOON, full_disk, ready, settings
from tests.service.page.serving import NOBODY, Service, served, until
from tests.service.page.support import an_event, decide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

HOSTILE = '<img src=x onerror="alert(1)">\u202e\x00'


@pytest.fixture
def service(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[Service]:
    # What `decide` puts into the ledger is of October: it is not to be forgotten as soon as Polar has it.
    running = Service(polar_sandbox.url, tmp_path, retention_days=3_650)
    yield running
    running.pipeline.shutdown()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with served(service.source()) as address:
        yield address


def status(url: str) -> Any:
    with urlopen(f"{url}/status.json", timeout=10) as answer:  # noqa: S310 - ours
        return json.loads(answer.read())


def settled(url: str) -> Any:
    """The status when everything has been counted, and nothing is on its way."""

    def counted() -> Any:
        told = status(url)
        is_settled = told["spend"]["is_complete"] and told["backlog"]["waiting"] == 0
        events = told["spend"]["charts"]["customers"]["days"]["total"]["events"]
        sent = sum(rate["total"] for rate in told["rates"]["calls"] if rate["name"] == "sent")
        held = sum(each["count"] for each in told["held"])
        of_held = sum(count for state, count in told["backlog"]["states"].items() if "held" in state)
        return told if is_settled and events == sent and held == of_held else None

    return until(counted)


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/chart.js", "/elements.js", "/status.json"])
def test_every_answer_forbids_what_the_page_does_not_need(url: str, path: str) -> None:
    """It shows names from strangers' spans to somebody who may do everything."""
    with urlopen(url + path, timeout=10) as answer:  # noqa: S310 - ours
        headers, content = answer.headers, answer.read()

    assert content
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_through_the_page(url: str, method: str) -> None:
    """Whoever may look at it may look at it."""
    with pytest.raises(HTTPError, match="405"):
        urlopen(Request(f"{url}/status.json", method=method, data=b""), timeout=10)  # noqa: S310 - ours


def test_the_files_name_no_other_host_and_write_no_markup() -> None:
    """It works offline, and a stranger's text is never more than text."""
    folder = files("otel_polar.service.page") / "static"
    texts = {path.name: path.read_text() for path in folder.iterdir()}

    assert set(texts) == {"index.html", "page.css", "page.js", "chart.js", "elements.js"}
    for name, text in texts.items():
        assert set(re.findall(r"https?://[^\s\"'`)]*", text)) <= {"http://www.w3.org/2000/svg"}, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|\.style\b", text), name
        assert len(text.splitlines()) <= 300, name
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script>", texts["index.html"])


def test_without_javascript_it_says_where_the_numbers_are() -> None:
    """A text browser on a server is what an operator may have at night."""
    page = (files("otel_polar.service.page") / "static" / "index.html").read_text()

    (plain,) = re.findall(r"<noscript>(.*?)</noscript>", page, re.DOTALL)
    assert "/status.json" in plain
    assert "/metrics" in plain


def test_calls_are_told_from_the_span_to_polar(service: Service, url: str) -> None:
    """Waiting, sent, held with what to do, and what was spent: the same calls, seen from all sides."""
    for _ in range(3):
        service.call("alice")
    service.call("bob", gen_ai__request__model="gpt-4o", ago_s=3 * 86_400)
    service.call("bob", gen_ai__request__model="my-own-model")
    service.call(NOBODY)
    assert service.pipeline.force_flush(20) is True

    told = settled(url)

    assert told["backlog"]["states"] == {
        "recorded": 0,
        "ready": 0,
        "held: unpriced": 1,
        "held: unattributed": 1,
        "held: unmetered": 0,
        "held: unbuildable": 0,
        "rejected": 0,
    }
    assert [(each["state"], each["reason"], each["count"]) for each in told["held"]] == [
        ("held: unattributed", "no customer", 1),
        ("held: unpriced", "unknown model", 1),
    ]
    assert "otel-polar outbox reprice" in told["held"][1]["what_to_do"]
    assert "my-own-model" in told["held"][1]["examples"][0]["text"]
    assert told["polar"]["state"] == "answers"
    assert told["polar"]["trouble"] is None
    totals = {rate["name"]: rate["total"] for rate in told["rates"]["calls"]}
    assert (totals["in"], totals["sent"], totals["held"]) == (6, 4, 2)
    assert [one["text"] for one in told["attention"]] == ["1 calls are held for want of a price"]
    by_customer = told["spend"]["charts"]["customers"]
    # 1,000 tokens in and 100 out, at 0.15 and 0.60 dollars per million; of gpt-4o 2.50 and 10.
    assert [(s["name"], s["total"]) for s in by_customer["days"]["series"]] == [
        ("bob", {"nanos": "3500000", "events": 1, "unpriced": 0}),
        ("alice", {"nanos": "630000", "events": 3, "unpriced": 0}),
    ]
    assert [s["name"] for s in by_customer["hours"]["series"]] == ["alice"]
    assert len(by_customer["hours"]["series"][0]["nanos"]) == 24
    assert [s["name"] for s in told["spend"]["charts"]["models"]["days"]["series"]] == ["gpt-4o", "gpt-4o-mini"]


def test_a_polar_that_is_down_is_said_with_what_waits(tmp_path: Path) -> None:
    """Nothing is lost, and whoever is woken must see that."""
    service = Service("http://127.0.0.1:9/secret-path", tmp_path)
    try:
        with served(service.source()) as url:
            service.call()
            service.pipeline.force_flush(0.5)

            told = until(
                lambda: (now := status(url))["polar"]["state"] == "fails" and now["backlog"]["waiting"] and now
            )

            assert told["backlog"]["waiting"] == 1
            assert told["backlog"]["oldest_age_s"] > 0
            assert told["polar"]["trouble"].startswith("Polar cannot be reached (")
            assert told["polar"]["last_success_at"] is None
            assert told["attention"][0]["level"] == "error"
            assert "secret-path" not in told["polar"]["trouble"]
            assert any("cannot be reached" in line["text"] for line in told["log"])
    finally:
        service.pipeline.shutdown()


@pytest.mark.parametrize(
    ("status_code", "words"),
    [(401, "Polar refuses the access token"), (502, "answered HTTP 502"), (429, "rate limit")],
)
def test_what_polar_answered_is_said_in_our_own_words(
    polar_sandbox: SandboxServer, service: Service, url: str, status_code: int, words: str
) -> None:
    """An answer may hold anything, and is shown to people."""
    polar_sandbox.answer_next(status_code, b'{"error": "sk-secret"}', headers={"retry-after": "1"})
    service.call()
    service.pipeline.force_flush(1)
    told = until(lambda: (now := status(url))["polar"]["trouble"] and now)

    assert words in told["polar"]["trouble"]
    assert "sk-secret" not in json.dumps(told["polar"])
    assert until(lambda: service.pipeline.force_flush(5), timeout_s=70)
    over = until(lambda: (now := status(url))["polar"]["state"] == "answers" and now)
    assert over["polar"]["trouble"] == told["polar"]["trouble"], "the last trouble stays to be read"


def test_hostile_names_arrive_as_text_that_can_be_shown(service: Service, url: str) -> None:
    """They come from strangers' spans, thousands of them and of any length."""
    (outbox,) = service.pipeline.outboxes
    at = time.time()
    for number in range(3_000):
        decide_many = an_event(number, at=at, customer=f"{number} {HOSTILE}", model="m" * 10_000, cost_nanos=number)
        with outbox.database.transaction() as transaction:
            transaction.run(
                "INSERT INTO events (external_id, state, recorded_at, due_at, body) VALUES (?, 'sent', ?, ?, ?)",
                (f"event-{number}", at, at, decide_many),
            )
    service.counters = {HOSTILE: 1}
    service.why_not_ready = HOSTILE
    logging.getLogger("otel_polar").error("%s", HOSTILE)

    told = until(lambda: (now := status(url))["spend"]["is_complete"] and now["spend"]["counted"] == 3_000 and now)

    chart = told["spend"]["charts"]["customers"]["hours"]
    assert chart["series"][0]["name"] == '2999 <img src=x onerror="alert(1)">\\u202e\\u0000'
    assert (len(chart["series"]), chart["others"]) == (9, 2_992)
    assert chart["total"]["nanos"] == str(sum(range(3_000)))
    assert len(told["spend"]["charts"]["models"]["hours"]["series"][0]["name"]) < 100
    text = json.dumps(told, ensure_ascii=False)
    assert "\u202e" not in text
    assert len(text) < 100_000


def test_money_beyond_what_javascript_can_count_keeps_its_digits(service: Service, url: str) -> None:
    """A sum that is rounded on the way is not the sum."""
    (outbox,) = service.pipeline.outboxes
    for number in (1, 2):
        decide(outbox, number, State.READY, body=an_event(number, at=time.time(), cost_nanos=2**60 + 1))

    told = until(lambda: (now := status(url))["spend"]["counted"] == 2 and now)

    assert told["spend"]["charts"]["models"]["hours"]["total"]["nanos"] == str(2**61 + 2)


def test_a_full_disk_is_said_first(service: Service, url: str) -> None:
    """What is in memory only is lost when the process ends, so nobody may end it."""
    (outbox,) = service.pipeline.outboxes
    with full_disk(outbox), service.pipeline._worker.stepping:
        service.call()
        told = until(lambda: (now := status(url))["backlog"]["in_memory"] and now)

    assert told["attention"][0] == {
        "level": "error",
        "text": "1 calls are in memory only: the disk does not take them, see the log below",
    }


def test_rates_are_of_calls_and_of_what_the_receivers_count(service: Service) -> None:
    """Whether anything comes in now is what a total of a year does not tell."""
    clock = 0.0
    with create_page(service.source(monotonic=lambda: clock)) as page:
        watcher = page._watcher
        watcher._sample()
        service.counters = {"requests over gRPC": 30}
        for _ in range(10):
            service.call()
        clock = 30.0

        assert watcher.call_rates()["in"].recent == 20.0
        assert watcher.counter_rates()["requests over gRPC"].recent == 60.0


def test_nobody_looks_at_the_outbox_while_nobody_looks_at_the_page(service: Service) -> None:
    """A page that is open nowhere must cost nothing."""
    with create_page(service.source()) as page:
        until(lambda: page._watcher._call_rates._looks)
        time.sleep(0.05)

        assert page._watcher.backlog.last is None
        assert page._watcher.spend.view().places == 0


def test_a_page_that_is_closed_leaves_nothing_behind(service: Service) -> None:
    """A test suite and a service that restarts its page have one thread each, not one more each time."""
    page = create_page(service.source())
    thread = page._watcher._thread
    assert page._lines in logging.getLogger("otel_polar").handlers

    page.close()

    assert not thread.is_alive()
    assert page._lines not in logging.getLogger("otel_polar").handlers
    gc.collect()
    assert "otel-polar-page" not in {each.name for each in threading.enumerate()}


def test_an_outbox_that_cannot_be_read_does_not_stop_the_page(service: Service, tmp_path: Path) -> None:
    """It is then that somebody looks at it."""
    broken = Outbox(tmp_path / "outbox-broken.db")
    broken.database.close()
    outboxes = [broken]
    with served(service.source(outboxes=lambda: outboxes)) as url:
        assert status(url)["backlog"]["waiting"] is None
        outboxes[:] = service.pipeline.outboxes

        until(lambda: status(url)["backlog"]["waiting"] == 0)


def test_a_replaced_outbox_is_counted_in_place_of_the_damaged_one(tmp_path: Path) -> None:
    """Its rows were copied: both together would be twice the spend."""
    old, new = Outbox(tmp_path / "outbox-1.db"), Outbox(tmp_path / "outbox-2.db")
    for outbox in (old, new):
        ready(outbox, [1], body=an_event(1, cost_nanos=7))
    outboxes = [old]
    spend = Spend(a_source(lambda: outboxes))
    sums = []
    for each in ([old], [new], [old, new]):
        outboxes[:] = each
        list(spend.count())
        sums.append(spend.view().charts["customers", "hours"].total.nanos)
    old.close()
    new.close()

    assert sums == [7, 7, 14]


def test_any_number_of_reasons_is_told_in_few_words(tmp_path: Path) -> None:
    """A reason names a model, and models come from spans."""
    outbox = Outbox(tmp_path / "outbox-1.db")
    for number in range(1_000):
        decide(outbox, number, State.UNPRICED, reason=f"the list has no price of model-{number:04} {'x' * 5_000}")
    held = Held(a_source(lambda: [outbox]))

    list(held.count())
    outbox.close()

    (reason,) = held.reasons
    assert (reason.reason, reason.calls) == ("unknown model", 1_000)
    assert len(reason.examples) <= MAX_EXAMPLES
    assert max(len(text) for text, _ in reason.examples) < 250


def a_source(outboxes: Any) -> Source:
    """One without a pipeline."""
    return Source(settings=settings(), outboxes=outboxes, telemetry=None, clock=lambda: NOON)  # type: ignore[arg-type]
