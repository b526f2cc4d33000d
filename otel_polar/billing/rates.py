"""``Rates``: what a model costs in each bucket of :class:`~otel_polar.billing.usage.TokenUsage`, and per request.

Every token is in one bucket, and every bucket has one price or none, so a cost is one sum of products. The prices are
kept as whole numbers of one small unit, the smallest that any of them needs, so the sum is exact whatever they are.

Above a size of context the prices of many models change, for all of the tokens, output included: a tier is a cliff, as
at Anthropic, Google and OpenAI.
"""

from __future__ import annotations

from decimal import Decimal
from operator import itemgetter, mul
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_polar.billing.money import EXACT, ZERO, read_amount
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

BUCKETS: Final = (
    # In the order of TokenUsage's fields; by these names a rate card tells their prices.
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "cache_write_1h",
    "audio_input",
    "audio_cache_read",
    "audio_output",
    "image_input",
    "image_cache_read",
    "image_output",
)
assert len(BUCKETS) == len(TokenUsage._fields)  # noqa: S101 - a bucket more must have a price here

_OF_OUTPUT: Final = frozenset({"output", "reasoning", "audio_output", "image_output"})

REQUEST: Final = "request"
"""What the line of a fee per request is called."""

OTHERWISE: Final = {
    # Where a bucket has no price of its own, that of the tokens it is part of. Not so where that would be a guess:
    # a cache of an hour, audio and images cost several times as much as text, or nothing more.
    "cache_read": "input",
    "cache_write": "input",
    "reasoning": "output",
}

Prices: TypeAlias = tuple[Decimal | None, ...]
"""US dollars per million tokens, by bucket; ``None`` where none is known."""

_SHOWN: Final = sorted(range(len(BUCKETS)), key=lambda position: BUCKETS[position] in _OF_OUTPUT)
_MILLION_EXPONENT: Final = 6


class Line(NamedTuple):
    """One line of a bill: how many tokens of which bucket at which price, or one ``request`` at its fee."""

    what: str
    tokens: int
    usd_per_million: Decimal
    usd: Decimal


class _Tier(NamedTuple):
    """Prices in whole units of 10 to the power of ``exponent`` dollars per token; 0 where there is none.

    ``without_price`` takes out of a usage what has no price.
    """

    above_input_tokens: int
    prices: Prices
    units: tuple[int, ...]
    exponent: int
    missing: tuple[int, ...]
    without_price: Callable[[TokenUsage], Iterable[int]]


class Rates:
    """Prices of one model at one time. Not to be changed once made."""

    __slots__ = ("_tiers", "usd_per_request")

    def __init__(
        self,
        usd_per_million_tokens: Mapping[str, object],
        *,
        usd_per_request: object = 0,
        above_input_tokens: Mapping[int, Mapping[str, object]] | None = None,
    ) -> None:
        """Prices by bucket, such as ``{"input": "0.15", "output": "0.60"}``.

        Args:
            usd_per_million_tokens: US dollars, as text, decimals or numbers. Where ``cache_read`` or ``cache_write`` is
                left out, ``input`` stands for it, and ``output`` for ``reasoning``; nothing stands for other buckets.
            usd_per_request: a fee for the call itself.
            above_input_tokens: other prices for all tokens of calls with more input tokens than this; what is left out
                there is as below it.

        Raises:
            ValueError: if a bucket does not exist or a price is not an amount.
        """
        base = _read_prices(usd_per_million_tokens)
        tiers = {0: base}
        for above, prices in sorted((above_input_tokens or {}).items()):
            if isinstance(above, bool) or not isinstance(above, int) or above <= 0:
                raise ValueError(f"above_input_tokens is {above!r}: it must be a whole number above 0")
            base = {**base, **_read_prices(prices)}
            tiers[above] = base
        self._set(((above, _filled(told)) for above, told in tiers.items()), read_amount(usd_per_request))

    @classmethod
    def of_tiers(cls, tiers: Iterable[tuple[int, Prices]], usd_per_request: Decimal = ZERO) -> Rates:
        """Prices that are complete already: for each tier above how many input tokens, lowest first, from 0."""
        rates = cls.__new__(cls)
        rates._set(tiers, usd_per_request)  # noqa: SLF001 - of its own class
        return rates

    def _set(self, tiers: Iterable[tuple[int, Prices]], usd_per_request: Decimal) -> None:
        # The highest first: the first that applies is the one.
        self._tiers = tuple(_compiled(above, prices) for above, prices in tiers)[::-1]
        self.usd_per_request = usd_per_request

    @property
    def tiers(self) -> tuple[tuple[int, Prices], ...]:
        """For each tier above how many input tokens, lowest first, its prices."""
        return tuple((tier.above_input_tokens, tier.prices) for tier in reversed(self._tiers))

    def prices_above(self, input_tokens: int) -> Prices:
        """The prices of calls with one input token more than this."""
        return next(tier.prices for tier in self._tiers if input_tokens >= tier.above_input_tokens)

    def cost_usd(self, usage: TokenUsage) -> Decimal | None:
        """What *usage* costs, exactly; ``None`` if a bucket it has tokens in has no price (see :meth:`missing`)."""
        tiers = self._tiers
        tier = tiers[0] if len(tiers) == 1 else self._tier(usage)
        if any(tier.without_price(usage)):
            return None
        exact = EXACT.scaleb(Decimal(sum(map(mul, tier.units, usage))), tier.exponent)
        return EXACT.add(exact, self.usd_per_request) if self.usd_per_request else exact

    def missing(self, usage: TokenUsage) -> list[str]:
        """The buckets that *usage* has tokens in and that have no price."""
        return [BUCKETS[position] for position in self._tier(usage).missing if usage[position]]

    def lines(self, usage: TokenUsage) -> list[Line]:
        """How :meth:`cost_usd` comes about, a line for every bucket with tokens and a price."""
        prices = self._tier(usage).prices
        told = [(BUCKETS[position], usage[position], prices[position]) for position in _SHOWN]
        lines = [
            Line(bucket, tokens, price, EXACT.scaleb(EXACT.multiply(price, tokens), -_MILLION_EXPONENT))
            for bucket, tokens, price in told
            if tokens and price is not None
        ]
        fee = self.usd_per_request
        return [*lines, Line(REQUEST, 1, EXACT.scaleb(fee, _MILLION_EXPONENT), fee)] if fee else lines

    def above_input_tokens(self, usage: TokenUsage) -> int:
        """Above how many input tokens the prices for *usage* hold; 0 if they are the lowest tier's."""
        return self._tier(usage).above_input_tokens

    def _tier(self, usage: TokenUsage) -> _Tier:
        tiers = self._tiers
        if len(tiers) == 1:
            return tiers[0]
        input_tokens = usage.input_tokens
        return next((tier for tier in tiers if input_tokens > tier.above_input_tokens), tiers[-1])


def _read_prices(told: Mapping[str, object]) -> dict[str, Decimal]:
    if unknown := told.keys() - set(BUCKETS):
        raise ValueError(f"{min(map(str, unknown))!r} is no bucket; they are {', '.join(BUCKETS)}")
    prices: dict[str, Decimal] = {}
    for bucket, price in told.items():
        try:
            prices[bucket] = read_amount(price)
        except ValueError as error:
            raise ValueError(f"{bucket}: {error}") from error
    return prices


def _filled(told: Mapping[str, Decimal]) -> Prices:
    return tuple(told.get(bucket, told.get(OTHERWISE.get(bucket, ""))) for bucket in BUCKETS)


def _compiled(above_input_tokens: int, prices: Prices) -> _Tier:
    known = [price for price in prices if price is not None]
    missing = tuple(position for position, price in enumerate(prices) if price is None)
    places = max((0, *(-_exponent(price) for price in known)))
    return _Tier(
        above_input_tokens,
        prices,
        tuple(0 if price is None else int(EXACT.scaleb(price, places)) for price in prices),
        -places - _MILLION_EXPONENT,
        missing,
        _taking(missing),
    )


def _taking(positions: tuple[int, ...]) -> Callable[[TokenUsage], Iterable[int]]:
    if len(positions) > 1:
        return itemgetter(*positions)
    # Of one place alone itemgetter would answer the number itself, and of none it cannot be made.
    return itemgetter(slice(positions[0], positions[0] + 1) if positions else slice(0, 0))


def _exponent(price: Decimal) -> int:
    exponent = price.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - amounts are finite
    return exponent
