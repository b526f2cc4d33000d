"""The sandbox's page in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from otel_polar.sandbox import SandboxServer
from tests.sandbox.support import ingest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
HOSTILE = '<img src=x onerror="document.title=1">'

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM.exists() and CHROMEDRIVER.exists()),
        reason="needs Debian's chromium and chromium-driver: /usr/bin/chromium and /usr/bin/chromedriver",
    ),
]


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    profile = tmp_path_factory.mktemp("chromium")
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    browser = Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    try:
        yield browser
    finally:
        browser.quit()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def page(chrome: Chrome, server: SandboxServer) -> Iterator[Chrome]:
    """The page of an empty sandbox; at the end its console must be silent."""
    read_console(chrome)
    chrome.get(server.url)
    yield chrome
    complaints = [entry for entry in read_console(chrome) if entry["level"] in {"SEVERE", "WARNING"}]
    chrome.get("about:blank")
    assert complaints == []


def read_console(browser: Chrome) -> list[dict[str, Any]]:
    """Return what the console has said since the last time."""
    entries: list[dict[str, Any]] = browser.execute("getLog", {"type": "browser"})["value"]
    return entries


def until(page: Chrome, condition: Callable[[Chrome], Any]) -> Any:
    return WebDriverWait(page, 15, poll_frequency=0.05).until(condition)


def text_of(page: Chrome, selector: str) -> str:
    return str(page.find_element(By.CSS_SELECTOR, selector).get_property("innerText"))


def rows(page: Chrome, table: str) -> list[list[str]]:
    script = "return [...document.querySelectorAll(arguments[0])].map(r => [...r.cells].map(c => c.innerText))"
    found: list[list[str]] = page.execute_script(script, f"#{table} tr")
    return found


def bill(server: SandboxServer, customer: str, **metadata: Any) -> None:
    """Ingest one event; the sandbox stamps the time."""
    answer = ingest(server, {"name": "llm_usage", "external_customer_id": customer, "metadata": metadata})
    assert answer.status == 200


CALL = {
    "provider": "openai",
    "model": "gpt-4o-mini-2024-07-18",
    "operation": "chat",
    "input_tokens": 1_812,
    "output_tokens": 142,
    "total_tokens": 1_954,
    "cache_read_tokens": 512,
    "cost_nanos": 318_600,
}


def test_an_empty_sandbox_says_what_to_do(page: Chrome, server: SandboxServer) -> None:
    """The first thing one sees must lead to the second."""
    until(page, lambda _: page.find_element(By.ID, "empty").is_displayed())

    assert "No events yet" in text_of(page, "#empty")
    assert f"POLAR_BASE_URL={server.url}" in text_of(page, "#how-to")
    assert not page.find_element(By.ID, "content").is_displayed()


def test_the_page_follows_what_is_ingested_without_a_reload(page: Chrome, server: SandboxServer) -> None:
    """Customers, tokens and cost, as they come."""
    page.execute_script("window.sameDocument = true")
    server.store.insert_customer(email="ann@example.com", external_id="acme", name="Acme GmbH")

    bill(server, "acme", **CALL)
    until(page, lambda _: rows(page, "customers") == [["acme\nAcme GmbH", "1", "1,812", "142", "512", "$0.000319"]])
    bill(server, "acme", **CALL)
    bill(server, "user_42", _cost={"amount": "250", "currency": "usd"})

    until(page, lambda _: len(rows(page, "customers")) == 2)
    assert rows(page, "customers") == [
        ["user_42\nno Polar customer yet", "1", "0", "0", "0", "$2.500000"],
        ["acme\nAcme GmbH", "2", "3,624", "284", "1,024", "$0.000637"],
    ]
    assert "gpt-4o-mini-2024-07-18" in text_of(page, "#models")
    assert len(page.find_elements(By.CSS_SELECTOR, "#minutes rect")) == 30
    assert text_of(page, "#announcement") == "3 events, $2.50"
    assert page.execute_script("return window.sameDocument") is True


def test_a_model_without_a_price_is_not_shown_as_free(page: Chrome, server: SandboxServer) -> None:
    """Nobody looks for what seems to cost nothing."""
    bill(server, "acme", model="my-own-model", total_tokens=5)

    until(page, lambda _: rows(page, "customers") == [["acme\nno Polar customer yet", "1", "0", "0", "0", "unknown"]])
    assert "5 tokens \u00b7 unknown cost" in text_of(page, "#models")
    assert text_of(page, "#announcement") == "1 events, unknown cost"
    assert "$" not in text_of(page, "#totals")


def test_a_customer_shows_its_newest_events(page: Chrome, server: SandboxServer) -> None:
    """With the keyboard alone: open, read, close, and be back where one was."""
    bill(server, "acme", **CALL)
    until(page, lambda _: rows(page, "customers"))

    page.find_element(By.CSS_SELECTOR, "#customers button").send_keys(Keys.ENTER)
    until(page, lambda _: page.find_element(By.ID, "detail").is_displayed())

    ((time, *cells),) = rows(page, "events")
    assert len(time) == len("12:00:00")
    assert cells == ["llm_usage", "gpt-4o-mini-2024-07-18", "1,812", "142", "512", "$0.000319"]
    assert page.switch_to.active_element.get_property("id") == "detail-title"
    bill(server, "acme")
    until(page, lambda _: len(rows(page, "events")) == 2)
    assert rows(page, "events")[0][1:] == ["llm_usage", "unknown", "0", "0", "0", "unknown"]

    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find_element(By.ID, "detail").is_displayed()
    assert page.switch_to.active_element.text == "acme"


def test_hostile_text_is_shown_as_text(page: Chrome, server: SandboxServer) -> None:
    """An id, a name and a model come from strangers."""
    answer = ingest(
        server, {"name": HOSTILE, "external_customer_id": HOSTILE, "metadata": {"model": HOSTILE, "cost_nanos": 1}}
    )
    assert answer.status == 200
    until(page, lambda _: rows(page, "customers"))

    page.find_element(By.CSS_SELECTOR, "#customers button").click()
    until(page, lambda _: rows(page, "events"))

    assert rows(page, "customers")[0][0].startswith(HOSTILE)
    assert rows(page, "events")[0][1:3] == [HOSTILE, HOSTILE]
    assert HOSTILE in text_of(page, "#models")
    assert page.find_elements(By.TAG_NAME, "img") == []
    assert page.title == "Polar sandbox"


def test_a_narrow_screen_does_not_scroll_sideways(page: Chrome, server: SandboxServer) -> None:
    """Wide tables scroll by themselves."""
    bill(server, "a-customer-with-a-very-long-name-" * 5, **CALL)
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        until(page, lambda _: rows(page, "customers"))
        assert page.execute_script("return document.documentElement.scrollWidth") == 400
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
