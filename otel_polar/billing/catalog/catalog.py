"""``Catalog``: the list prices of one snapshot of genai-prices, as a price resolver."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from genai_prices import __version__
from genai_prices.data import providers as bundled_providers

from otel_polar.billing.catalog.doubts import is_free, why_doubtful, why_media_unknown
from otel_polar.billing.catalog.entries import Entries
from otel_polar.billing.catalog.options import DEFAULT_OPTIONS, CatalogOptions
from otel_polar.billing.catalog.tables import rates_of
from otel_polar.billing.pricing import Price, Unpriced, unknown_tier
from otel_polar.billing.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from datetime import datetime

    from genai_prices.types import ModelInfo, ModelPrice, Provider

    from otel_polar.billing.catalog.entries import Entry
    from otel_polar.billing.pricing import PriceQuery

SOURCE: Final = f"genai-prices {__version__}"

_NO_CONTEXT: Final[Mapping[str, str]] = MappingProxyType({})
_FAST: Final = "fast"
_BATCH: Final = "batch"


class Catalog:
    """Prices by the lists in *providers*, which must not change as long as this is used.

    What is remembered is bounded: names come from spans, so from anybody.
    """

    def __init__(
        self,
        providers: Sequence[Provider] = bundled_providers,
        *,
        source: str = SOURCE,
        options: CatalogOptions = DEFAULT_OPTIONS,
        doubted: Container[str] = frozenset(),
    ) -> None:
        """Take *providers* as they are.

        Args:
            providers: the lists, such as ``DataSnapshot.providers``.
            source: what to call them on events.
            options: how far to go.
            doubted: entries (``provider/model``) whose price has moved too far to be believed.
        """
        self.providers = providers
        self.source = source
        self._options = options
        self._doubted = doubted
        self._find = Entries(providers, source, options).find
        # By the table's id(): it has no hash, and lives as long as the lists do. As many as the lists have tables.
        self._rates: dict[tuple[int, ...], Rates | str] = {}

    def with_lists(self, providers: Sequence[Provider], *, source: str, doubted: Container[str]) -> Catalog:
        """A catalogue of other lists, that goes as far as this one."""
        return Catalog(providers, source=source, options=self._options, doubted=doubted)

    def __call__(self, query: PriceQuery) -> Price | Unpriced:
        """The list price of a call, valid when it started."""
        if query.requested_service_tier is not None:
            return unknown_tier(query)
        entry = self._find(query.provider, query.request_model, query.response_model, query.server_address)
        if isinstance(entry, Unpriced):
            return entry
        rates = self._rates_at(entry, query.at, query.service_tier)
        return rates if isinstance(rates, Unpriced) else self._price(query, entry, rates)

    def _price(self, query: PriceQuery, entry: Entry, rates: Rates) -> Price | Unpriced:
        usd = rates.cost_usd(query.usage)
        if usd and entry.is_of_media and (why := why_media_unknown(query.usage)) is not None:
            return Unpriced(f"{self.source} prices audio and images of {entry.matched} otherwise than text: {why}")
        if usd:
            return Price(usd, self.source, entry.matched, entry.notes != (), entry.notes, rates)
        if usd is None:
            missing = ", ".join(rates.missing(query.usage))
            return Unpriced(f"{self.source} has no price for {missing} of {entry.matched}")
        if query.usage.total_tokens and not is_free(entry.owner.id, entry.model.id):
            return Unpriced(f"{self.source} has a price of 0 for what was used of {entry.matched}")
        return Price(usd, self.source, entry.matched, rates=rates)

    def _rates_at(self, entry: Entry, at: datetime, service_tier: str | None) -> Rates | Unpriced:
        if entry.matched in self._doubted:
            return Unpriced(
                f"the price of {entry.matched} has moved too far from {SOURCE} to {self.source} to be believed"
                " (catalog_accepted_moves, OTEL_POLAR_CATALOG_ACCEPTED_MOVES)",
            )
        model = entry.model
        standard = model.get_prices(at)
        variants: tuple[int, ...] = ()
        context: Mapping[str, str] = _NO_CONTEXT
        if service_tier is not None:
            context = _price_context(entry.provider.id, service_tier)
            variants = _matching_variants(model, at, context)
            # A model that is borrowed from another provider's list is not sold at that one's tiers.
            if not variants or entry.owner is not entry.provider:
                return Unpriced(f"{self.source} has no price at service tier {service_tier!r} for {entry.matched}")
        doubt = None
        if entry.may_be_doubtful:
            names = (entry.provider.id, entry.owner.id, model.id, entry.name)
            doubt = why_doubtful(*names, prices=standard, at=at)
        key = (id(standard), *variants)
        rates = self._rates.get(key)
        if rates is None:
            rates = self._rates[key] = _read_rates(entry, model.get_prices(at, context))
        if doubt is None and isinstance(rates, Rates):
            return rates
        why = rates if isinstance(rates, str) else f"is known to be no guide ({doubt}) for"
        return Unpriced(f"{self.source} {why} {entry.matched}")


def _price_context(provider: str, service_tier: str) -> dict[str, str]:
    if service_tier == _BATCH:
        return {"processing": _BATCH}
    if service_tier == _FAST and provider == "anthropic":
        return {"speed": _FAST}
    return {"service_tier": service_tier}


def _matching_variants(model: ModelInfo, at: datetime, context: Mapping[str, str]) -> tuple[int, ...]:
    """Which of the model's variants hold at that time in that context; none means that nothing says its price."""
    return tuple(
        position
        for position, variant in enumerate(model.price_variants or ())
        if (variant.constraint is None or variant.constraint.active(at))
        and all(context.get(key) == value for key, value in variant.when.items())
    )


def _read_rates(entry: Entry, prices: ModelPrice) -> Rates | str:
    if is_free(entry.owner.id, entry.model.id) and all(price is None for price in vars(prices).values()):
        return _NOTHING
    return rates_of(prices, entry.owner.id, entry.model.id)


_NOTHING: Final = Rates({"input": 0, "output": 0})
