"""The status page of the service in a real browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

from otel_polar.delivery.disk.rows import State
from otel_polar.sandbox import SandboxServer
from tests.browser import test_sandbox_page
from tests.browser.test_sandbox_page import chrome, pytestmark, read_console, rows, text_of, until
from tests.service.page.serving import NOBODY, Service, served
from tests.service.page.support import an_event, decide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

__all__ = ["chrome", "pytestmark"]

HOSTILE = test_sandbox_page.HOSTILE


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with SandboxServer() as polar:
        running = Service(polar.url, tmp_path, retention_days=3_650)
        yield running
        running.pipeline.shutdown()


@pytest.fixture
def page(chrome: Chrome, service: Service) -> Iterator[Chrome]:
    """The page of a service that has seen nothing; at the end the console must be silent."""
    read_console(chrome)
    with served(service.source()) as url:
        chrome.get(url)
        until(chrome, lambda _: chrome.find_element(By.ID, "content").is_displayed())
        yield chrome
        complaints = [entry for entry in read_console(chrome) if entry["level"] in {"SEVERE", "WARNING"}]
        chrome.get("about:blank")
        assert complaints == []


def choose(page: Chrome, value: str) -> None:
    page.find_element(By.CSS_SELECTOR, f"input[value={value}]").send_keys(Keys.SPACE)


def put(service: Service, number: int, **event: Any) -> None:
    """An event on the disk, as if it had been sent an hour ago or whenever."""
    (outbox,) = service.pipeline.outboxes
    decide(outbox, number, State.READY, body=an_event(number, **{"at": time.time(), **event}))


def test_the_page_follows_what_happens_without_a_reload(page: Chrome, service: Service) -> None:
    """Spend, what is held and what to do about it, as they come."""
    page.execute_script("window.sameDocument = true")
    service.counters = {"requests over gRPC": 12}
    for _ in range(2):
        service.call("alice")
    service.call("bob", gen_ai__request__model="my-own-model")
    service.call(NOBODY)
    service.pipeline.force_flush(20)

    until(page, lambda _: len(rows(page, "held")) == 2 and rows(page, "series")[0][0] == "alice")
    # Of 1,000 tokens in and 100 out: 0.00021 dollars a call.
    assert rows(page, "series") == [["alice", "$0.000420", "2", "0"]]
    assert rows(page, "series-total") == [["Total", "$0.000420", "2", "0"]]
    assert [cells[:2] for cells in rows(page, "held")] == [["held: unattributed", "1"], ["held: unpriced", "1"]]
    assert "my-own-model" in rows(page, "held")[1][2]
    assert "otel-polar outbox reprice" in rows(page, "held")[1][3]
    assert "Attention: 1 calls are held for want of a price" in text_of(page, "#attention")
    assert ["requests over gRPC", "12"] in [[cells[0], cells[2]] for cells in rows(page, "receivers")]
    assert "my-own-model" in text_of(page, "#log")
    assert "answers" in text_of(page, "#totals")
    assert page.execute_script("return window.sameDocument") is True


def test_the_chart_is_drawn_by_customer_or_model_and_by_hour_or_day(page: Chrome, service: Service) -> None:
    """With the keyboard alone, and as a table for whoever does not see the chart."""
    for number in range(1, 13):
        put(service, number, customer=f"c{number:02}", model=f"m{number % 2}", cost_nanos=number * 10**9)
    put(service, 13, customer="c12", model="m9", at=time.time() - 5 * 86_400, cost_nanos=5 * 10**8)

    until(page, lambda _: len(rows(page, "series")) == 9)
    assert rows(page, "series")[0] == ["c12", "$12.00", "1", "0"]
    assert rows(page, "series")[-1] == ["4 others", "$10.00", "4", "0"]
    assert rows(page, "series-total") == [["Total", "$78.00", "12", "0"]]
    assert len(page.find_elements(By.CSS_SELECTOR, "#bars g")) == 24
    assert len(page.find_elements(By.CSS_SELECTOR, "#bars g:last-of-type rect:not(.ground)")) == 9
    assert text_of(page, "#levels").split() == ["$100", "$50", "$0"]

    choose(page, "models")
    choose(page, "days")
    assert rows(page, "series") == [
        ["m0", "$42.00", "6", "0"],
        ["m1", "$36.00", "6", "0"],
        ["m9", "$0.50", "1", "0"],
    ]
    assert len(page.find_elements(By.CSS_SELECTOR, "#bars g")) == 30
    page.find_element(By.CSS_SELECTOR, "summary").send_keys(Keys.ENTER)
    assert [cells[1:] for cells in rows(page, "over-time") if cells[1] != "$0.00"] == [
        ["$78.00", "$42.00", "$36.00", "$0.00"],
        ["$0.50", "$0.00", "$0.00", "$0.50"],
    ]
    label = page.find_element(By.CSS_SELECTOR, "#bars svg").get_attribute("aria-label")
    assert "at most $78.00" in str(label)
    # What was chosen and opened stays so when new numbers come.
    put(service, 14, customer="c01", model="m0", cost_nanos=10**9)
    until(page, lambda _: rows(page, "series")[0] == ["m0", "$43.00", "7", "0"])
    assert page.find_element(By.ID, "over-time").is_displayed()


def test_events_without_a_cost_are_not_shown_as_free(page: Chrome, service: Service) -> None:
    """Nobody looks for what seems to cost nothing."""
    put(service, 1, customer="acme", cost_nanos=None)

    until(page, lambda _: rows(page, "series")[0][0] == "acme")

    assert rows(page, "series") == [["acme", "unknown", "1", "1"]]
    assert "1 of them without a cost" in text_of(page, "#spend-note")


def test_large_sums_keep_every_digit(page: Chrome, service: Service) -> None:
    """Beyond 2 to the 53 JavaScript's own numbers skip some."""
    put(service, 1, customer="whale", cost_nanos=12_345_678_901_234_567_890_123_456_789)

    until(page, lambda _: rows(page, "series")[0][0] == "whale")

    assert rows(page, "series")[0][1] == "$12,345,678,901,234,567,890.12"


def test_hostile_text_is_shown_as_text(page: Chrome, service: Service) -> None:
    """An id, a model, a reason and a line of the log come from strangers."""
    put(service, 1, customer=HOSTILE, model=f"\u202e{HOSTILE}{'x' * 10_000}", cost_nanos=1)
    service.counters = {HOSTILE: 1}
    service.why_not_ready = HOSTILE
    service.call(gen_ai__request__model=HOSTILE)
    service.pipeline.force_flush(20)

    until(page, lambda _: HOSTILE in text_of(page, "#series") and HOSTILE in text_of(page, "#held"))

    assert HOSTILE in text_of(page, "#attention")
    assert HOSTILE in text_of(page, "#receivers")
    assert HOSTILE in text_of(page, "#log")
    choose(page, "models")
    assert rows(page, "series")[0][0].startswith(f"\\u202e{HOSTILE}")
    assert page.find_elements(By.TAG_NAME, "img") == []
    assert page.title == "otel-polar"


def test_a_service_that_does_not_answer_is_said_with_the_age_of_what_is_shown(chrome: Chrome, service: Service) -> None:
    """Old numbers that look like new ones are the worst a status page can show."""
    with served(service.source()) as url:
        chrome.get(url)
        until(chrome, lambda _: text_of(chrome, "#connection").startswith("Live"))
    until(chrome, lambda _: "cannot be reached" in text_of(chrome, "#connection"))
    until(chrome, lambda _: "what is shown is" in text_of(chrome, "#connection"))

    assert chrome.find_element(By.ID, "connection").get_attribute("data-state") == "lost"
    assert chrome.find_element(By.ID, "content").is_displayed()
    chrome.get("about:blank")
    read_console(chrome)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(page: Chrome, service: Service, scheme: str) -> None:
    """Contrast of 4.5 to 1, as WCAG 2.2 asks for (1.4.3)."""
    service.call("alice")
    service.call("bob", gen_ai__request__model="my-own-model")
    service.why_not_ready = "the disk is full"
    service.pipeline.force_flush(20)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        until(page, lambda _: rows(page, "held") and rows(page, "series") and text_of(page, "#attention"))
        assert page.execute_script(CONTRAST) == []
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_narrow_screen_does_not_scroll_sideways(page: Chrome, service: Service) -> None:
    """Wide tables scroll by themselves."""
    put(service, 1, customer="a-customer-with-a-very-long-name-" * 5, cost_nanos=10**18)
    service.call("b" * 200, gen_ai__request__model="a-model-with-a-long-name-" * 5)
    service.why_not_ready = "w" * 300
    service.pipeline.force_flush(20)
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        until(page, lambda _: rows(page, "held") and text_of(page, "#attention"))
        assert page.execute_script("return document.documentElement.scrollWidth") == 400
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_everything_has_a_name_for_whoever_does_not_see_it(page: Chrome, service: Service) -> None:
    """Headings for each part, names for each table and chart, labels for each choice."""
    service.call("alice")
    service.pipeline.force_flush(20)
    until(page, lambda _: rows(page, "series"))

    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [(node["role"]["value"], node["name"]["value"]) for node in tree if "name" in node and not node["ignored"]]
    assert ("heading", "Spend") in named
    assert {("radio", "Customers"), ("radio", "Models"), ("radio", "24 hours"), ("radio", "30 days")} <= set(named)
    assert {("group", "Add up by"), ("group", "Over")} <= set(named)
    assert [role for role, name in named if role in {"region", "image", "radio"} and not name] == []
    assert any(role == "image" and name.startswith("Spend over time") for role, name in named)


CONTRAST = """
const number = (color) => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const linear = (one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  const [x, y, z] = [r / 255, g / 255, b / 255].map(linear);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = (node) => {
  for (let each = node; each; each = each.parentElement) {
    const color = number(getComputedStyle(each).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const bad = [];
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest("svg, script")) continue;
  const [one, other] = [light(number(getComputedStyle(node).color)), light(ground(node))].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  if (ratio < 4.5) bad.push([walker.currentNode.textContent.trim().slice(0, 40), ratio]);
}
return bad;
"""
