"""``PriceBook``: everything that says what a call costs, as it stands now, and what makes it change.

The rate card's file is read again when it changes, and the catalogue is fetched anew if that is asked for. A card that
has become wrong leaves the last good one in force, and a list that cannot be believed the last good list. Whenever
something new is known, calls that wait for a price are tried again.

What a call costs is decided once: the body of its event is frozen with it, so nothing here can change an amount that
Polar may already have.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_polar.billing.pricing import Unpriced, price_call, resolve
from otel_polar.billing.rate_card import RateCard, as_rate_card
from otel_polar.billing.reported_cost import resolve_reported_cost
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.billing.pricing import Price, PriceQuery, PriceResolver
    from otel_polar.delivery.catalog_update import CatalogUpdate
    from otel_polar.delivery.notices import Notices
    from otel_polar.settings import Settings

RECOVERY_S: Final = 300.0
"""How long after a price resolver failed the calls that wait for it are tried again."""


class PriceBook:
    """Asks one price resolver after the other. For one thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        notices: Notices,
        card: CardFile | None = None,
        make_catalog: Callable[[], Catalog],
        update: CatalogUpdate | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._notices = notices
        self._card = card
        self._make_catalog = make_catalog
        self._installed: Catalog | None = None
        self._catalog: Catalog | None = None
        self._update = update
        self._monotonic = monotonic
        self._recover_at: float | None = None

    def price(self, call: ModelCall) -> Price | Unpriced:
        """What *call* costs; never raises."""
        answer = price_call(call, self._resolvers())
        if isinstance(answer, Unpriced) and answer.may_recover and self._recover_at is None:
            self._recover_at = self._monotonic() + RECOVERY_S
        return answer

    def answer(self, query: PriceQuery) -> Price | Unpriced:
        """The same for a call that nobody has made."""
        return resolve(query, self._resolvers())

    def refresh(self) -> bool:
        """Look whether something has changed; whether calls that wait for a price should be tried again."""
        has_news = self._card is not None and self._card.read_again(self._notices)
        if self._update is not None:
            newer = self._update.look(self._installed)
            if newer is not None:
                self._catalog = newer
                has_news = True
        if self._recover_at is not None and self._monotonic() >= self._recover_at:
            self._recover_at = None
            has_news = True
        return has_news

    def _resolvers(self) -> tuple[PriceResolver, ...]:
        card = () if self._card is None else (self._card.card,)
        return (resolve_reported_cost, *self._settings.price_resolvers, *card, self._ask_catalog)

    def _ask_catalog(self, query: PriceQuery) -> Price | Unpriced:
        # Only now: a rate card may know everything, and importing the catalogue takes a fifth of a second.
        if self._catalog is None:
            self._catalog = self._installed = self._make_catalog()
            if self._update is not None:
                self._catalog = self._update.first(self._catalog) or self._catalog
        return self._catalog(query)


class CardFile:
    """A rate card, and the file it came from, if it did."""

    def __init__(self, card: RateCard, path: Path | None = None) -> None:
        self.card = card
        self._path = path
        self._stamp = None if path is None else _stamp(path)
        self._wrong = ""

    @classmethod
    def of(cls, settings: Settings) -> CardFile | None:
        """The card that the settings name.

        Raises:
            ConfigError: if it cannot be read, or is wrong; the message names line and field.
        """
        option = settings.rate_card
        if option is None:
            return None
        if not isinstance(option, Path):
            return cls(as_rate_card(option))
        return cls(_read(option), option)

    def read_again(self, notices: Notices) -> bool:
        """Read the file again if it has changed; whether there is another card now."""
        if self._path is None or (stamp := _stamp(self._path)) == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.card = _read(self._path)
        except ConfigError as error:
            # By what is wrong: whoever mends one mistake is told of the next.
            notices.forget(self._wrong)
            self._wrong = f"rate card:{error}"
            notices.error(self._wrong, "%s. The rate card as it was before goes on", error)
            return False
        notices.over(self._wrong, "the rate card can be read again")
        return True


def _read(path: Path) -> RateCard:
    try:
        # Some editors write a mark at the beginning.
        return RateCard.from_text(path.read_text(encoding="utf-8-sig"), path.name)
    except ConfigError:
        raise
    except Exception as error:  # a file may hold anything
        raise ConfigError(f"rate_card (OTEL_POLAR_RATE_CARD) {path} cannot be read: {error}") from error


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    # An editor puts another file in place of the old one; a save within the clock's tick changes the size.
    return (status.st_mtime_ns, status.st_size, status.st_ino)
