"""The prices that commands go by: those a process with the same settings would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_polar.delivery.notices import Notices
from otel_polar.delivery.prices.book import PriceBook
from otel_polar.delivery.prices.card_file import CardFile

if TYPE_CHECKING:
    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.delivery.disk.files import OutboxDirectory
    from otel_polar.settings import Settings


def price_book(settings: Settings, directory: OutboxDirectory | None = None) -> PriceBook:
    """The prices by *settings*, with the list of the installed genai-prices; nothing is fetched.

    What a newer list moved too far, as a process with that outbox *directory* has found, is not believed here either.

    Raises:
        ConfigError: if the rate card cannot be read, or is wrong.
    """

    def make_catalog() -> Catalog:
        from otel_polar.billing.catalog.catalog import SOURCE, Catalog  # noqa: PLC0415 - slow, and not for --help

        doubted = frozenset[str]() if directory is None else directory.doubted(settings, SOURCE)
        return Catalog(options=settings.catalog_options, doubted=doubted)

    return PriceBook(settings, notices=Notices(), card=CardFile.of(settings), make_catalog=make_catalog)
