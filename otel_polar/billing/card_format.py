"""What stands in a rate card: its fields, each checked, in our form or in that of ai-billing's object resolver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from otel_polar.billing.card_source import PRICES
from otel_polar.billing.money import EXACT, read_amount
from otel_polar.billing.rates import Rates
from otel_polar.billing.service_tier import STANDARD_TIERS
from otel_polar.errors import ConfigError

if TYPE_CHECKING:
    from otel_polar.billing.card_source import CardSource

TOP_FIELDS: Final = ("version", "currency", PRICES)
TIER_FIELDS: Final = ("above_input_tokens", "usd_per_million_tokens")
PRICE_FIELDS: Final = (
    *("provider", "model", "usd_per_million_tokens", "usd_per_request", "tiers", "from", "until"),
    *("customer", "service_tier", "server_address"),
)
PER_TOKEN_FIELDS: Final = {
    # ai-billing's ModelPricing, in US dollars per token -> our bucket
    "promptTokens": "input",
    "completionTokens": "output",
    "inputCacheReadTokens": "cache_read",
    "inputCacheWriteTokens": "cache_write",
    "internalReasoningTokens": "reasoning",
}
_PER_REQUEST: Final = "request"
_NOT_ON_SPANS: Final = {
    "webSearch": "the number of web searches is on no span",
    "discount": "write the price that holds after it",
}
_MILLION: Final = 1_000_000
_NO_TOKEN_COSTS: Final[Mapping[str, object]] = MappingProxyType({"input": 0, "output": 0})
_MOST: Final = Decimal(10_000)
_LEAST: Final = Decimal("0.0001")
"""A thousand times beyond the dearest and the cheapest model there is: a price per token, or in cents, is far out."""
_MAX_TEXT_CHARACTERS: Final = 200
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class CardEntry:
    """One entry: whose model, its rates, and when they hold. Names are patterns; times are in UTC."""

    position: int
    provider: str
    model: str
    rates: Rates
    since: datetime | None = None
    until: datetime | None = None
    customer: str | None = None
    service_tier: str | None = None
    server_address: str | None = None


@dataclass(frozen=True, slots=True)
class CardContent:
    """All entries of a card, in their order; ``version`` is empty if it names none."""

    entries: tuple[CardEntry, ...]
    version: str


def read_entries(card: Mapping[str, object], source: CardSource) -> CardContent:
    """The checked content of a card, in our form or in ai-billing's.

    Raises:
        ConfigError: if anything in it is wrong.
    """
    if PRICES not in card and card and all(isinstance(prices, Mapping) for prices in card.values()):
        entries = tuple(_per_token(place, model, prices, source) for place, (model, prices) in enumerate(card.items()))
        return CardContent(entries, "")
    if unknown := [key for key in card if key not in TOP_FIELDS]:
        raise ConfigError(f"{source.label} has {unknown[0]!r}; its fields are {', '.join(TOP_FIELDS)}")
    if str(card.get("currency", "usd")).lower() != "usd":
        raise ConfigError(f"{source.label}: currency is {card['currency']!r}; Polar takes costs in usd only")
    prices = card.get(PRICES)
    if not isinstance(prices, (list, tuple)) or not prices:
        raise ConfigError(f"{source.label} has no {PRICES}: write [[{PRICES}]] before each entry")
    version = card.get("version", "")
    if not isinstance(version, (str, int, date, Decimal)) or len(str(version)) > _MAX_TEXT_CHARACTERS:
        raise ConfigError(f"{source.label}: version is {version!r}; it must be a short text")
    return CardContent(tuple(_entry(position, each, source) for position, each in enumerate(prices)), str(version))


def _entry(position: int, fields: object, source: CardSource) -> CardEntry:
    if not isinstance(fields, Mapping):
        raise source.error(position, "", f"an entry is a table of fields, not {type(fields).__name__}")
    if unknown := [str(key) for key in fields if key not in PRICE_FIELDS]:
        raise source.error(position, unknown[0], f"no such field; the fields are {', '.join(PRICE_FIELDS)}")
    reader = _Reader(position, fields, source)
    since, until = reader.moment("from"), reader.moment("until")
    if since is not None and until is not None and since >= until:
        raise source.error(position, "until", f"{until:%Y-%m-%d} must be later than from, {since:%Y-%m-%d}")
    tier = reader.text("service_tier")
    address = reader.text("server_address")
    return CardEntry(
        position,
        reader.needed("provider"),
        reader.needed("model"),
        reader.rates(),
        since,
        until,
        reader.text("customer"),
        None if tier is None or tier.lower() in STANDARD_TIERS else tier.lower(),
        None if address is None else address.lower(),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """The fields of one entry, each checked as it is read."""

    position: int
    fields: Mapping[str, Any]
    source: CardSource

    def fail(self, field: str, why: str) -> NoReturn:
        raise self.source.error(self.position, field, why)

    def text(self, field: str) -> str | None:
        value = self.fields.get(field)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT_CHARACTERS:
            self.fail(field, f"{value!r} must be text of 1 to {_MAX_TEXT_CHARACTERS} characters")
        return value.strip()

    def needed(self, field: str) -> str:
        value = self.text(field)
        if value is None:
            self.fail("", f"{field} is missing; {_ANY!r} stands for any")
        return value

    def moment(self, field: str) -> datetime | None:
        value = self.fields.get(field)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value) if len(value) > len("2026-01-01") else date.fromisoformat(value)
            except ValueError:
                self.fail(field, f"{value!r} must be a date such as 2026-07-01, or a time with its offset from UTC")
        if isinstance(value, datetime):
            if value.tzinfo is None:
                self.fail(field, f"{value.isoformat()} must say its offset from UTC, such as {value.isoformat()}Z")
            try:
                return value.astimezone(UTC)
            except OverflowError:
                self.fail(field, f"{value.isoformat()} is in no calendar in UTC; leave {field} out for ever")
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        if value is not None:
            self.fail(field, f"{value!r} must be a date such as 2026-07-01")
        return None

    def rates(self) -> Rates:
        # A fee alone is the whole price.
        told = self.fields.get("usd_per_million_tokens", _NO_TOKEN_COSTS)
        prices = self._prices("usd_per_million_tokens", told)
        fee = self.fields.get("usd_per_request", 0)
        if "usd_per_request" not in self.fields and (not prices or told is _NO_TOKEN_COSTS):
            self.fail("", "it has no price: usd_per_million_tokens or usd_per_request is missing")
        self._check("usd_per_request", {}, fee)
        return self._rates("usd_per_million_tokens", prices, fee, self._tiers())

    def _tiers(self) -> dict[int, Mapping[str, object]]:
        told = self.fields.get("tiers", ())
        if not isinstance(told, (list, tuple)):
            self.fail("tiers", f"tiers are tables, [[{PRICES}.tiers]], not {type(told).__name__}")
        tiers: dict[int, Mapping[str, object]] = {}
        for place, tier in enumerate(told):
            field = f"tiers[{place}]"
            if not isinstance(tier, Mapping) or set(tier) != set(TIER_FIELDS):
                self.fail(field, f"each tier has exactly {' and '.join(TIER_FIELDS)}")
            above = tier["above_input_tokens"]
            if isinstance(above, bool) or not isinstance(above, int) or above <= 0 or above in tiers:
                why = f"{above!r} must be a whole number above 0, and another in each tier"
                self.fail(f"{field}.above_input_tokens", why)
            tiers[above] = self._prices(field, tier["usd_per_million_tokens"])
            self._check(field, tiers[above], 0)
        return tiers

    def _prices(self, field: str, value: object) -> Mapping[str, object]:
        if not isinstance(value, Mapping):
            self.fail(field, f'prices are a table of buckets, such as {{ input = "0.15" }}, not {value!r}')
        return {str(key): price for key, price in value.items()}

    def _check(self, field: str, prices: Mapping[str, object], fee: object) -> None:
        self._rates(field, prices, fee, {})

    def _rates(self, field: str, prices: Mapping[str, object], fee: object, tiers: Mapping[int, Any]) -> Rates:
        try:
            rates = Rates(prices, usd_per_request=fee, above_input_tokens=tiers)
            _check_unit(prices)
        except ValueError as error:
            bucket = next((key for key in prices if str(error).startswith((f"{key}:", repr(key)))), "")
            path = f"{field}.{bucket}" if bucket else field
            raise self.source.error(self.position, path, str(error).removeprefix(f"{bucket}: ")) from error
        return rates


def _check_unit(usd_per_million_tokens: Mapping[str, object]) -> None:
    for bucket, told in usd_per_million_tokens.items():
        price = read_amount(told)
        if price > _MOST or 0 < price < _LEAST:
            raise ValueError(
                f"{bucket}: {price} US dollars per million tokens is beyond what any model costs"
                f" ({_LEAST} to {_MOST}): is it in another unit?",
            )


def _per_token(position: int, model: object, prices: object, source: CardSource) -> CardEntry:
    """An entry of ai-billing's object resolver, for any provider."""
    assert isinstance(prices, Mapping)  # noqa: S101 - that is how the form was told
    told: dict[str, object] = {}
    for field, value in prices.items():
        if field in _NOT_ON_SPANS and value:
            raise ConfigError(f"{source.label}, {model!r}.{field}: {_NOT_ON_SPANS[field]}")
        if field not in PER_TOKEN_FIELDS and field != _PER_REQUEST and field not in _NOT_ON_SPANS:
            raise ConfigError(
                f"{source.label}, {model!r}.{field}: no such field; they are"
                f" {', '.join((*PER_TOKEN_FIELDS, _PER_REQUEST))}, in US dollars per token and per request",
            )
        told[str(field)] = value
    try:
        per_million = {
            bucket: EXACT.multiply(read_amount(told[field]), _MILLION)
            for field, bucket in PER_TOKEN_FIELDS.items()
            if field in told
        }
        _check_unit(per_million)
        rates = Rates(per_million or _NO_TOKEN_COSTS, usd_per_request=told.get(_PER_REQUEST, 0))
    except ValueError as error:
        raise ConfigError(f"{source.label}, {model!r}: {error}") from error
    if not told or not str(model).strip():
        raise ConfigError(f"{source.label}, {model!r}: it has no price, or no name")
    return CardEntry(position, _ANY, str(model), rates, service_tier=None)
