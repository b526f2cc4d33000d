from __future__ import annotations

import logging
import threading
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider

from otel_polar.billing.catalog.catalog import SOURCE, Catalog
from otel_polar.billing.pricing import Price, Unpriced, price_call
from otel_polar.billing.usage import TokenUsage
from otel_polar.delivery.disk import beside
from otel_polar.delivery.disk.files import OutboxDirectory
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.prices.catalog_update import HOUR_S, RETRY_S, CatalogUpdate
from tests.delivery.price_lists import PriceListServer, published, serving
from tests.delivery.support import NOON, Clock, a_call, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODELS: Final = tuple(f"model-{number}" for number in range(20))


def lists(**prices: str) -> list[Provider]:
    """OpenAI's list of twenty models at 1 dollar, but for those in *prices* (with _ for -)."""
    models = dict.fromkeys(MODELS, "1") | {name.replace("_", "-"): price for name, price in prices.items()}
    return [
        Provider(
            id="openai",
            name="OpenAI",
            api_pattern=r"https://api\.openai\.com",
            models=[
                ModelInfo(id=name, match=ClauseEquals(name), prices=ModelPrice(input_mtok=Decimal(price)))
                for name, price in models.items()
            ],
        )
    ]


@pytest.fixture
def server() -> Iterator[PriceListServer]:
    with serving(published(lists())) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def update_from(server: PriceListServer, clock: Clock, **options: Any) -> CatalogUpdate:
    return CatalogUpdate(
        settings(catalog_update_hours=24, catalog_url=server.url, **options),
        notices=Notices(),
        monotonic=clock,
        clock=clock,
        importing=threading.Lock(),
    )


def price_of(catalog: Catalog | None, model: str) -> Price | Unpriced:
    """What a million input tokens of a model cost."""
    assert catalog is not None
    return price_call(a_call(response_model=model, request_model=model, usage=TokenUsage(10**6, 0)), [catalog])


def fetched(update: CatalogUpdate, catalog: Catalog) -> Catalog | None:
    """What is looked at when the thread that fetches has ended."""
    update.look(catalog)
    if update._thread is not None:
        update._thread.join()
    return update.look(catalog)


def test_the_first_use_waits_for_the_newest_list(server: PriceListServer, clock: Clock) -> None:
    """A restart must not price the first calls by an older list than the ones before it."""
    server.content = published(lists(model_3="2"))

    newer = update_from(server, clock).first(Catalog(lists()))

    price = price_of(newer, "model-3")
    assert isinstance(price, Price)
    assert (price.usd, price.source) == (Decimal(2), f"{SOURCE}, fetched 2026-10-01T12:00Z")


def test_the_list_of_the_process_is_not_touched(server: PriceListServer, clock: Clock) -> None:
    """Other libraries price by it."""
    before = get_snapshot()

    assert update_from(server, clock).first(Catalog(lists())) is not None

    assert get_snapshot() is before
    assert not before.from_auto_update


def test_it_is_fetched_again_after_the_hours_that_are_set_and_not_before(server: PriceListServer, clock: Clock) -> None:
    """GitHub serves it; nobody needs it every minute."""
    update, installed = update_from(server, clock), Catalog(lists())
    update.first(installed)
    server.content = published(lists(model_3="2"))

    clock.now = NOON + 24 * HOUR_S - 1
    assert fetched(update, installed) is None
    clock.now = NOON + 24 * HOUR_S
    newer = fetched(update, installed)

    assert isinstance(price := price_of(newer, "model-3"), Price)
    assert price.usd == Decimal(2)
    assert server.requests == 2


def test_nothing_is_fetched_before_a_list_price_is_needed(server: PriceListServer, clock: Clock) -> None:
    """Whoever has everything on a rate card makes no request."""
    assert update_from(server, clock).look(None) is None
    assert server.requests == 0


def test_an_entry_that_moved_too_far_is_listed_and_held(
    server: PriceListServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A slip of the unit in a list of an hour ago must not become a bill."""
    server.content = published(lists(model_3="1000", model_4="3"))

    newer = update_from(server, clock).first(Catalog(lists()))

    held = price_of(newer, "model-3")
    assert isinstance(held, Unpriced)
    assert "openai/model-3 has moved too far" in held.reason
    assert isinstance(price_of(newer, "model-4"), Price), "a factor of three is within three"
    assert "1 list prices moved by more than a factor of 3" in caplog.text
    assert "openai/model-3 input from 1 to 1000" in caplog.text
    assert "model-4" not in caplog.text


def test_a_move_that_a_person_has_accepted_is_taken(
    server: PriceListServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Prices do fall to a tenth."""
    server.content = published(lists(model_3="0.1"))

    newer = update_from(server, clock, catalog_accepted_moves="openai/model-3").first(Catalog(lists()))

    assert isinstance(price := price_of(newer, "model-3"), Price)
    assert price.usd == Decimal("0.1")
    assert "moved" not in caplog.text


def test_the_factor_is_the_one_that_is_set(server: PriceListServer, clock: Clock) -> None:
    """Some want to look at every tenth of a move."""
    server.content = published(lists(model_3="1.2"))

    newer = update_from(server, clock, catalog_max_factor="1.1").first(Catalog(lists()))

    assert isinstance(price_of(newer, "model-3"), Unpriced)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (published([replace(lists()[0], models=lists()[0].models[:17])]), "it lacks 3 of 20 entries"),
        (published([]), "it lacks 20 of 20 entries"),
        (published(lists(model_1="9", model_2="9", model_3="9")), "the prices of 3 of 20 entries have moved"),
    ],
)
def test_a_list_that_lost_or_moved_too_much_is_not_used(
    server: PriceListServer, clock: Clock, content: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a broken file, or somebody else's."""
    server.content = content

    assert update_from(server, clock).first(Catalog(lists())) is None
    assert f"the list prices that were fetched are not used: {why}" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{}", b"[5]", b"\xff", b"<html>", b'[{"id": "openai"}]'])
def test_what_is_no_list_is_not_used_and_said_once(
    server: PriceListServer, clock: Clock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A captive portal answers 200, too."""
    server.content = content
    update, installed = update_from(server, clock), Catalog(lists())

    assert update.first(installed) is None
    clock.now = NOON + 24 * HOUR_S
    assert fetched(update, installed) is None

    assert [record.levelno for record in caplog.records if "list prices" in record.message] == [logging.WARNING]


def test_a_server_that_is_down_leaves_the_list_before_and_is_asked_again(
    server: PriceListServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Prices of yesterday are better than none."""
    update, installed = update_from(server, clock), Catalog(lists())
    server.status = 503
    assert update.first(installed) is None
    assert "list prices cannot be fetched (HTTPStatusError" in caplog.text

    server.status = 200
    clock.now = NOON + 24 * HOUR_S
    assert fetched(update, installed) is not None
    assert "list prices can be fetched again" in caplog.text


def test_a_refused_list_is_over_when_a_good_one_comes(
    server: PriceListServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever read of the bad one wants to know."""
    update, installed = update_from(server, clock), Catalog(lists())
    server.content = published([])
    assert update.first(installed) is None
    server.content = published(lists())
    clock.now = NOON + 24 * HOUR_S

    assert fetched(update, installed) is not None
    assert "the list prices that are fetched are used again" in caplog.text


def test_a_failed_fetch_is_tried_again_soon(server: PriceListServer, clock: Clock) -> None:
    """A network that is late at boot must not mean the old list for a day."""
    update, installed = update_from(server, clock), Catalog(lists())
    server.status = 503
    assert update.first(installed) is None
    server.status = 200

    clock.now = NOON + RETRY_S
    assert fetched(update, installed) is not None


def test_what_moved_too_far_is_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    """Nobody has looked yet; the next process may find the server of the lists down."""
    held = settings(catalog_update_hours=24)
    directory = OutboxDirectory(tmp_path, Notices())
    beside.write_doubted(tmp_path, SOURCE, frozenset({"openai/gpt-4o", "openai/o3"}))

    assert directory.doubted(held, SOURCE) == {"openai/gpt-4o", "openai/o3"}
    assert directory.doubted(settings(catalog_update_hours=24, catalog_accepted_moves="*/o3"), SOURCE) == {
        "openai/gpt-4o"
    }
    assert directory.doubted(settings(), SOURCE) == frozenset(), "only who asks for newer lists is told of them"
    assert directory.doubted(held, "genai-prices 99") == frozenset(), "another installed list is another matter"
    (tmp_path / "doubted.json").write_text("5")
    assert directory.doubted(held, SOURCE) == frozenset()
