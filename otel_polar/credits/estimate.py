"""What a call is going to cost at most, before it is made, by the prices that it is billed by afterwards."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from otel_polar.billing.money import EXACT
from otel_polar.billing.pricing import Price, PriceQuery
from otel_polar.billing.usage import ImpossibleCountError, build_usage
from otel_polar.delivery.disk.in_use import using
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.prices.book import PriceBook
from otel_polar.delivery.prices.card_file import CardFile
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from otel_polar.billing.call import ModelCall
    from otel_polar.billing.catalog.catalog import Catalog
    from otel_polar.billing.pricing import Unpriced
    from otel_polar.settings import Settings

_NANOS: Final = Decimal(10**9)


class Prices:
    """A price book for several threads. Nothing is fetched."""

    def __init__(self, settings: Settings, card: CardFile | None = None) -> None:
        """Read the rate card, unless it is given.

        Raises:
            ConfigError: if it cannot be read, or is wrong.
        """
        self._settings = settings
        self._card = card or CardFile.of(settings)
        self._book = PriceBook(settings, notices=Notices(), card=self._card, make_catalog=lambda: _catalog(settings))
        self._lock = threading.RLock()

    def anew(self) -> Prices:
        """Another one, for a forked child: with the same rate card, whose file may be wrong by now."""
        return Prices(self._settings, self._card)

    def price(self, call: ModelCall) -> Price | Unpriced:
        """What a call costs that has been made; never raises."""
        with self._lock:
            return self._book.price(call)

    def nanos(
        self, model: str, input_tokens: int, max_output_tokens: int, *, provider: str | None = None, cached: int = 0
    ) -> int:
        """What such a call costs at most, in whole billionths of a dollar, rounded up.

        Args:
            model: as it is asked for, or as ``provider/model``.
            input_tokens: all of them; *cached* of these are read from a cache.
            max_output_tokens: no more than these come out.
            provider: who answers, such as ``openai``.
            cached: how many input tokens are certain to come from a cache.

        Raises:
            ConfigError: if no price is known, or the counts contradict each other.
        """
        if provider is None and "/" in model:
            provider, _, model = model.partition("/")
        try:
            usage = build_usage(input_tokens, max_output_tokens, cached)
        except ImpossibleCountError as error:
            raise ConfigError(f"an estimate of {model}: {error}") from error
        with self._lock:
            self._book.refresh()
            answer = self._book.answer(PriceQuery(provider, model, model, usage, datetime.now(UTC)))
        if not isinstance(answer, Price):
            raise ConfigError(f"what a call costs cannot be estimated: {answer.reason}")
        return int(EXACT.multiply(answer.usd, _NANOS).to_integral_value(ROUND_CEILING))

    def charged_nanos(self, cost_nanos: int) -> int:
        """What is charged for a call of that cost, rounded up; the same without a markup.

        Raises:
            ConfigError: if the markup is a function: it needs a call that has been made.
        """
        markup = self._settings.markup
        if markup is None:
            return cost_nanos
        if not isinstance(markup, Decimal):
            raise ConfigError("markup (OTEL_POLAR_MARKUP) is a function: give the estimate yourself")
        return int(EXACT.multiply(Decimal(cost_nanos), markup).to_integral_value(ROUND_CEILING))


def estimate_cost(
    model: str, input_tokens: int, max_output_tokens: int, *, provider: str | None = None, cached: int = 0
) -> int:
    """What a call costs at most, by the settings in the environment. Arguments, errors: as for :meth:`Prices.nanos`."""
    return _from_environment().nanos(model, input_tokens, max_output_tokens, provider=provider, cached=cached)


@lru_cache(maxsize=1)
def _from_environment() -> Prices:
    from otel_polar.settings import Settings  # noqa: PLC0415 - the environment is read when it is needed

    return Prices(Settings.load())


def _catalog(settings: Settings) -> Catalog:
    # What is half imported when the process forks stays half imported in the child.
    with using():
        from otel_polar.billing.catalog.catalog import Catalog  # noqa: PLC0415 - slow, and a rate card may know everything

        return Catalog(options=settings.catalog_options)
