"""Options about what a call costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from otel_polar import converters
from otel_polar.settings.field import setting

if TYPE_CHECKING:
    from otel_polar.billing.markup import Markup
    from otel_polar.billing.pricing import PriceResolver
    from otel_polar.options import Keys, RateCardOption


@dataclass(frozen=True, kw_only=True)
class PriceSettings:
    """Options about what a call costs."""

    on_unpriced: Literal["hold", "send"] = setting(
        "hold",
        variable="OTEL_POLAR_ON_UNPRICED",
        unit="`hold` or `send`",
        about="A call whose price is not known is kept until one is, or sent with tokens and without cost.",
        convert=converters.one_of("hold", "send"),
    )
    rate_card: RateCardOption | None = setting(
        None,
        variable="OTEL_POLAR_RATE_CARD",
        unit="file in TOML or JSON, a mapping or a `RateCard`",
        about="Your own prices; they come before the catalogue's. A file is read again when it changes.",
        convert=converters.rate_card,
    )
    price_resolvers: tuple[PriceResolver, ...] = setting(
        (),
        variable="",
        unit="function of a `PriceQuery`, or several",
        about="Your own functions for prices, asked before the rate card. In code only.",
        convert=converters.functions,
    )
    trusted_costs: tuple[tuple[str, str], ...] = setting(
        (),
        variable="OTEL_POLAR_TRUSTED_COSTS",
        unit="`provider=attribute`, comma-separated",
        about="By provider, `*` for any text: the attribute whose cost in USD is believed before any price.",
        convert=converters.pairs,
    )
    gateways: Keys = setting(
        (),
        variable="OTEL_POLAR_GATEWAYS",
        unit="hosts, comma-separated",
        about="Hosts, `*` for any text, that pass calls on to the provider the span names: its prices hold exactly.",
        convert=converters.hosts,
    )
    self_hosted: Keys = setting(
        (),
        variable="OTEL_POLAR_SELF_HOSTED",
        unit="hosts, comma-separated",
        about="Hosts, `*` for any text, at which no list price holds, only your rate card's.",
        convert=converters.hosts,
    )
    approximate_models: Literal["hold", "price"] = setting(
        "hold",
        variable="OTEL_POLAR_APPROXIMATE_MODELS",
        unit="`hold` or `price`",
        about="A model that is listed only without its date, or under a like name, is held or priced by that.",
        convert=converters.one_of("hold", "price"),
    )
    markup: Markup | None = setting(
        None,
        variable="OTEL_POLAR_MARKUP",
        unit="factor, 0 to 1000, or a function of the call and its `Price`",
        about="Adds `charge_nanos` to events: the cost times this, or what the function answers in USD.",
        convert=converters.markup,
    )
    catalog_update_hours: float = setting(
        0.0,
        variable="OTEL_POLAR_CATALOG_UPDATE_HOURS",
        unit="hours, 0 to 8760",
        about="How often list prices are fetched; 0 never: those of the installed genai-prices.",
        convert=converters.number(0.0, 8_760.0),
    )
    catalog_url: str | None = setting(
        None,
        variable="OTEL_POLAR_CATALOG_URL",
        unit="URL",
        about="From where. Default: where genai-prices publishes them.",
        convert=converters.url,
    )
    catalog_max_factor: Decimal = setting(
        Decimal(3),
        variable="OTEL_POLAR_CATALOG_MAX_FACTOR",
        unit="factor, 1 to 1000",
        about="An entry whose fetched price is further from the installed one is listed in the log and held.",
        convert=converters.factor(1, 1_000),
    )
    catalog_accepted_moves: Keys = setting(
        (),
        variable="OTEL_POLAR_CATALOG_ACCEPTED_MOVES",
        unit="`provider/model`, comma-separated",
        about="Entries, `*` for any text, whose price may move further.",
        convert=converters.keys,
    )
