from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.billing.catalog.catalog import SOURCE, Catalog
from otel_polar.billing.customer import Customer
from otel_polar.billing.pricing import Price, PriceQuery, Unpriced
from otel_polar.billing.rate_card import RateCard
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.prices.book import MAX_RECOVERY_S, RECOVERY_S, PriceBook
from otel_polar.delivery.prices.card_file import CardFile
from otel_polar.delivery.prices.patience import MAX_FAILURES
from otel_polar.errors import ConfigError
from tests.delivery.support import NOON, Clock, a_call, settings

if TYPE_CHECKING:
    from pathlib import Path

CARD = """[[prices]]
provider = "openai"
model = "gpt-4o-mini*"
usd_per_million_tokens = {{ input = "{}", output = 0 }}
"""
OBJECT = {"gpt-4o-mini-2024-07-18": {"promptTokens": 1e-6, "completionTokens": 0}}


def no_catalog() -> Catalog:
    pytest.fail("the catalogue was asked for")


def book(*, make_catalog: Any = Catalog, monotonic: Clock | None = None, **options: Any) -> PriceBook:
    loaded = settings(**options)
    return PriceBook(
        loaded,
        notices=Notices(),
        card=CardFile.of(loaded),
        make_catalog=make_catalog,
        clock=lambda: NOON + 60.0,
        monotonic=monotonic or Clock(),
    )


def price_of(prices: PriceBook, **changes: Any) -> Price:
    price = prices.price(a_call(**changes))
    assert isinstance(price, Price), price
    return price


def replaced(path: Path, text: str) -> None:
    """Another file in its place, as an editor saves, some time ago."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.utime(new, (NOON, NOON))
    new.replace(path)


def test_the_order_is_reported_functions_card_catalogue() -> None:
    """The most special word first."""

    def mine(query: PriceQuery) -> Price | None:
        return Price(Decimal(2), "mine") if query.external_customer_id == "user_42" else None

    prices = book(price_resolvers=mine, rate_card=OBJECT)

    assert price_of(prices, reported_cost_usd="0.5").source == "reported by openai"
    assert price_of(prices).source == "mine"
    assert price_of(prices, customer=Customer(external_customer_id="user_43")).source.startswith("rate card")
    assert price_of(book()).source == SOURCE


def test_the_catalogue_is_not_made_before_it_is_needed() -> None:
    """It takes a fifth of a second and twenty megabytes; a rate card may know everything."""
    prices = book(rate_card=OBJECT, make_catalog=no_catalog)

    assert price_of(prices).usd == Decimal("0.0001")


def test_a_card_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A price can be added without a restart, and what waits for it is tried again."""
    path = tmp_path / "prices.toml"
    path.write_text(CARD.format("1"))
    prices = book(rate_card=path)
    assert price_of(prices).usd == Decimal("0.0001")
    assert not prices.refresh()

    replaced(path, CARD.format("2"))

    assert prices.refresh()
    assert price_of(prices).usd == Decimal("0.0002")
    assert not prices.refresh()


def test_a_card_that_has_become_wrong_leaves_the_good_one_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip in an editor must not stop the billing, nor change it."""
    path = tmp_path / "prices.toml"
    path.write_text(CARD.format("1"))
    prices = book(rate_card=path)

    replaced(path, CARD.format("one"))
    assert not prices.refresh()
    assert not prices.refresh()
    assert price_of(prices).usd == Decimal("0.0001")
    assert caplog.text.count("'one' is not an amount") == 1
    assert "line 4, prices[0].usd_per_million_tokens.input" in caplog.text

    path.unlink()
    assert not prices.refresh()
    assert price_of(prices).usd == Decimal("0.0001")

    replaced(path, CARD.format("3"))
    assert prices.refresh()
    assert price_of(prices).usd == Decimal("0.0003")
    assert "the rate card can be read again" in caplog.text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: [Errno 2]"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec"),
        (b"prices = 5", "has no prices"),
    ],
)
def test_a_card_that_is_wrong_at_the_start_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    """Somebody is looking at that moment."""
    path = tmp_path / "prices.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        book(rate_card=path)

    assert "prices.toml" in str(caught.value)
    assert why in str(caught.value)


def test_a_card_made_in_code_never_changes() -> None:
    """There is no file to look at."""
    prices = book(rate_card=RateCard(OBJECT))

    assert not prices.refresh()
    assert price_of(prices).usd == Decimal("0.0001")


def test_what_a_failing_price_service_held_is_tried_again_after_a_while() -> None:
    """It is down for minutes, not until the next start."""
    clock, failures = Clock(), [TimeoutError("slow"), TimeoutError("slow")]

    def service(_query: PriceQuery) -> Price:
        if failures:
            raise failures.pop()
        return Price(Decimal(1), "service")

    prices = book(price_resolvers=service, monotonic=clock)
    assert isinstance(prices.price(a_call()), Unpriced)
    clock.now = NOON + RECOVERY_S - 1
    assert isinstance(prices.price(a_call()), Unpriced)
    assert not prices.refresh()
    clock.now = NOON + RECOVERY_S
    assert prices.refresh()
    assert not prices.refresh()
    assert price_of(prices).usd == Decimal(1)


def test_calls_to_a_model_that_keeps_failing_are_not_asked_about_for_a_while() -> None:
    """Each time all calls that wait would be looked at again."""
    clock, asked = Clock(), []

    def service(query: PriceQuery) -> Price:
        asked.append(query)
        raise TimeoutError("a secret")

    prices = book(price_resolvers=service, monotonic=clock)
    answers = [prices.price(a_call(number)) for number in range(10)]

    assert len(asked) == MAX_FAILURES
    first, last = answers[0], answers[-1]
    assert isinstance(first, Unpriced)
    assert isinstance(last, Unpriced)
    assert "service raised TimeoutError in service, test_price_book.py" in first.reason
    assert "secret" not in first.reason
    assert "service failed 3 times in a row and is asked again later" in last.reason
    assert (last.may_recover, last.wants_entry) == (True, False)
    waits = []
    for _ in range(6):
        since = clock.now
        while not prices.refresh():
            clock.now += 100.0
        waits.append(clock.now - since)
        for number in range(5):
            prices.price(a_call(number))
    assert waits == [RECOVERY_S, 2 * RECOVERY_S, 4 * RECOVERY_S, 8 * RECOVERY_S, MAX_RECOVERY_S, MAX_RECOVERY_S]


def test_a_file_that_was_touched_but_not_changed_is_no_news(tmp_path: Path) -> None:
    """Configuration management rewrites files, and all that is held would be looked at again."""
    path = tmp_path / "prices.toml"
    path.write_text(CARD.format("1"))
    prices = book(rate_card=path)
    os.utime(path, (NOON, NOON))

    assert not prices.refresh()
    assert price_of(prices).usd == Decimal("0.0001")


def test_a_file_is_not_read_in_the_moment_when_it_is_written(tmp_path: Path) -> None:
    """Half of a card may be a card, by which a customer's own price is everybody's."""
    path = tmp_path / "prices.toml"
    path.write_text(CARD.format("1"))
    prices = book(rate_card=path)
    path.write_text(CARD.format("2"))
    os.utime(path, (NOON + 59.0, NOON + 59.0))

    assert not prices.refresh()
    assert price_of(prices).usd == Decimal("0.0001")
    os.utime(path, (NOON + 58.0, NOON + 58.0))
    assert prices.refresh()
    assert price_of(prices).usd == Decimal("0.0002")


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "prices.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CARD.format("1").encode())

    assert price_of(book(rate_card=path)).usd == Decimal("0.0001")
