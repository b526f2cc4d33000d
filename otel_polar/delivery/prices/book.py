"""``PriceBook``: everything that says what a call costs, as it stands now, and what makes it change.

The rate card's file is read again when it changes, and the catalogue is fetched anew if that is asked for. A card that
has become wrong leaves the last good one in force, and a list that cannot be believed the last good list. Whenever
something new is known, calls that wait for a price are tried again.

What a call costs is decided once: the body of its event is frozen with it, so nothing here can change an amount that
Polar may already have.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_polar.billing.pricing import Unpriced, price_call, resolve
from otel_polar.billing.reported_cost import resolve_reported_cost
from otel_polar.delivery.prices.patience import PatientResolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.billing.pricing import Price, PriceQuery, PriceResolver
    from otel_polar.delivery.notices import Notices
    from otel_polar.delivery.prices.card_file import CardFile
    from otel_polar.delivery.prices.catalog_update import CatalogUpdate
    from otel_polar.settings import Settings

RECOVERY_S: Final = 300.0
"""How long after a price resolver failed the calls that wait for it are tried again; doubled as long as it fails."""

MAX_RECOVERY_S: Final = 3_600.0


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
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._functions = tuple(PatientResolver(resolver) for resolver in settings.price_resolvers)
        self._notices = notices
        self._card = card
        self._make_catalog = make_catalog
        self._installed: Catalog | None = None
        self._catalog: Catalog | None = None
        self._update = update
        self._clock = clock
        self._monotonic = monotonic
        self._recover_at: float | None = None
        self._recovery_s = RECOVERY_S

    def price(self, call: ModelCall) -> Price | Unpriced:
        """What *call* costs; never raises."""
        answer = price_call(call, self._resolvers())
        if isinstance(answer, Unpriced) and answer.may_recover and self._recover_at is None:
            self._recover_at = self._monotonic() + self._recovery_s
        return answer

    def answer(self, query: PriceQuery) -> Price | Unpriced:
        """The same for a call that nobody has made."""
        return resolve(query, self._resolvers())

    def refresh(self) -> bool:
        """Look whether something has changed; whether calls that wait for a price should be tried again."""
        has_news = self._card is not None and self._card.read_again(self._notices, self._clock())
        if self._update is not None:
            newer = self._update.look(self._installed)
            if newer is not None:
                self._catalog = newer
                has_news = True
        if self._recover_at is not None and self._monotonic() >= self._recover_at:
            self._recover_at = None
            # Each time all calls that wait are looked at again: not every five minutes of a day-long outage.
            gave_up = [function.resume() for function in self._functions]
            self._recovery_s = min(2 * self._recovery_s, MAX_RECOVERY_S) if any(gave_up) else RECOVERY_S
            has_news = True
        return has_news

    def _resolvers(self) -> tuple[PriceResolver, ...]:
        card = () if self._card is None else (self._card.card,)
        return (resolve_reported_cost, *self._functions, *card, self._ask_catalog)

    def _ask_catalog(self, query: PriceQuery) -> Price | Unpriced:
        # Only now: a rate card may know everything, and importing the catalogue takes a fifth of a second.
        if self._catalog is None:
            self._catalog = self._installed = self._make_catalog()
            if self._update is not None:
                self._catalog = self._update.first(self._catalog) or self._catalog
        return self._catalog(query)
