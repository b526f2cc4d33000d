"""``Settings``: every option, its unit, its default and its environment variable, in one table.

A keyword argument wins over its variable, the variable over the default; an empty variable counts as not set, as
everywhere in OpenTelemetry. A value that cannot be used is one :class:`~otel_polar.errors.ConfigError` that names the
option, the variable, the value and the limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from otel_polar import converters
from otel_polar.billing.catalog.options import CatalogOptions
from otel_polar.billing.customer import (
    DEFAULT_CUSTOMER_ID_KEYS,
    DEFAULT_EXTERNAL_CUSTOMER_ID_KEYS,
    DEFAULT_MEMBER_ID_KEYS,
    DEFAULT_USER_ID_ATTRIBUTES,
    CustomerKeys,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_polar.billing.event import EventName, MapMetadata
    from otel_polar.billing.markup import Markup
    from otel_polar.billing.pricing import PriceResolver
    from otel_polar.options import Keys, Options, RateCardOption, Server

DEFAULT_REQUESTS_PER_MINUTE: Final[Mapping[str, float]] = {
    # The whole organization's limits (polarsource/polar, docs/api-reference/introduction.mdx).
    "production": 500.0,
    "sandbox": 100.0,
}
DAY_S: Final = 86_400.0


def _setting(default: Any, *, variable: str, unit: str, about: str, convert: Callable[[str, Any], Any]) -> Any:
    return field(default=default, metadata={"variable": variable, "unit": unit, "about": about, "convert": convert})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options. Build one with :meth:`load`, which reads the environment and checks every value."""

    access_token: str | None = field(
        default=None,
        repr=False,
        metadata={
            "variable": "POLAR_ACCESS_TOKEN",
            "unit": "text",
            "about": "Polar organization access token with scope `events:write`. Without one nothing is recorded.",
            "convert": converters.token,
        },
    )
    server: Server = _setting(
        "sandbox",
        variable="POLAR_SERVER",
        unit="`sandbox` or `production`",
        about="Which Polar: they have separate data, tokens and rate limits.",
        convert=converters.one_of("sandbox", "production"),
    )
    base_url: str | None = _setting(
        None,
        variable="POLAR_BASE_URL",
        unit="URL",
        about="Another address of Polar's API, such as `otel-polar sandbox` prints.",
        convert=converters.url,
    )
    event_name: EventName = _setting(
        "llm_usage",
        variable="OTEL_POLAR_EVENT_NAME",
        unit="text, or a function of the call",
        about="Name of the events. A meter's filter is frozen on it: choose once.",
        convert=converters.event_name,
    )
    customer_id_keys: Keys = _setting(
        DEFAULT_CUSTOMER_ID_KEYS,
        variable="OTEL_POLAR_CUSTOMER_ID_KEYS",
        unit="keys, comma-separated",
        about="Attributes and baggage members that hold Polar's own customer id (UUID); they win over external ones.",
        convert=converters.keys,
    )
    external_customer_id_keys: Keys = _setting(
        DEFAULT_EXTERNAL_CUSTOMER_ID_KEYS,
        variable="OTEL_POLAR_EXTERNAL_CUSTOMER_ID_KEYS",
        unit="keys, comma-separated",
        about="Attributes and baggage members that hold your id of the customer, first present wins.",
        convert=converters.keys,
    )
    member_id_keys: Keys = _setting(
        DEFAULT_MEMBER_ID_KEYS,
        variable="OTEL_POLAR_MEMBER_ID_KEYS",
        unit="keys, comma-separated",
        about="Attributes and baggage members that hold the id of a member of the customer.",
        convert=converters.keys,
    )
    user_id_attributes: Keys = _setting(
        DEFAULT_USER_ID_ATTRIBUTES,
        variable="OTEL_POLAR_USER_ID_ATTRIBUTES",
        unit="keys, comma-separated",
        about="Attributes under which other systems put their id of a user, as yours; asked after baggage.",
        convert=converters.keys,
    )
    bill_scopes: Keys = _setting(
        (),
        variable="OTEL_POLAR_BILL_SCOPES",
        unit="scopes, comma-separated",
        about="Instrumentation scopes whose spans are billed, `*` for any text; all others are not. Default: all.",
        convert=converters.keys,
    )
    tags: Keys = _setting(
        (),
        variable="OTEL_POLAR_TAGS",
        unit="keys, comma-separated",
        about="Span attributes and baggage members copied into the event's metadata.",
        convert=converters.keys,
    )
    map_metadata: MapMetadata | None = _setting(
        None,
        variable="",
        unit="function of the call and its metadata",
        about="Replaces the metadata of every event. In code only.",
        convert=converters.function,
    )
    on_unattributed: Literal["hold", "drop"] = _setting(
        "hold",
        variable="OTEL_POLAR_ON_UNATTRIBUTED",
        unit="`hold` or `drop`",
        about="A call with nobody to bill is kept for `retention_days`, or counted and forgotten.",
        convert=converters.one_of("hold", "drop"),
    )
    on_unpriced: Literal["hold", "send"] = _setting(
        "hold",
        variable="OTEL_POLAR_ON_UNPRICED",
        unit="`hold` or `send`",
        about="A call whose price is not known is kept until one is, or sent with tokens and without cost.",
        convert=converters.one_of("hold", "send"),
    )
    rate_card: RateCardOption | None = _setting(
        None,
        variable="OTEL_POLAR_RATE_CARD",
        unit="file in TOML or JSON, a mapping or a `RateCard`",
        about="Your own prices; they come before the catalogue's. A file is read again when it changes.",
        convert=converters.rate_card,
    )
    price_resolvers: tuple[PriceResolver, ...] = _setting(
        (),
        variable="",
        unit="function of a `PriceQuery`, or several",
        about="Your own functions for prices, asked before the rate card. In code only.",
        convert=converters.functions,
    )
    trusted_costs: tuple[tuple[str, str], ...] = _setting(
        (),
        variable="OTEL_POLAR_TRUSTED_COSTS",
        unit="`provider=attribute`, comma-separated",
        about="By provider, `*` for any text: the attribute whose cost in USD is believed before any price.",
        convert=converters.pairs,
    )
    gateways: Keys = _setting(
        (),
        variable="OTEL_POLAR_GATEWAYS",
        unit="hosts, comma-separated",
        about="Hosts, `*` for any text, that pass calls on to the provider the span names: its prices hold exactly.",
        convert=converters.keys,
    )
    self_hosted: Keys = _setting(
        (),
        variable="OTEL_POLAR_SELF_HOSTED",
        unit="hosts, comma-separated",
        about="Hosts, `*` for any text, at which no list price holds, only your rate card's.",
        convert=converters.keys,
    )
    approximate_models: Literal["hold", "price"] = _setting(
        "hold",
        variable="OTEL_POLAR_APPROXIMATE_MODELS",
        unit="`hold` or `price`",
        about="A model that is listed only without its date, or under a like name, is held or priced by that.",
        convert=converters.one_of("hold", "price"),
    )
    markup: Markup | None = _setting(
        None,
        variable="OTEL_POLAR_MARKUP",
        unit="factor, 0 to 1000, or a function of the call and its `Price`",
        about="Adds `charge_nanos` to events: the cost times this, or what the function answers in USD.",
        convert=converters.markup,
    )
    catalog_update_hours: float = _setting(
        0.0,
        variable="OTEL_POLAR_CATALOG_UPDATE_HOURS",
        unit="hours, 0 to 8760",
        about="How often list prices are fetched; 0 never: those of the installed genai-prices.",
        convert=converters.number(0.0, 8_760.0),
    )
    catalog_url: str | None = _setting(
        None,
        variable="OTEL_POLAR_CATALOG_URL",
        unit="URL",
        about="From where. Default: where genai-prices publishes them.",
        convert=converters.url,
    )
    catalog_max_factor: Decimal = _setting(
        Decimal(3),
        variable="OTEL_POLAR_CATALOG_MAX_FACTOR",
        unit="factor, 1 to 1000",
        about="An entry whose fetched price is further from the installed one is listed in the log and held.",
        convert=converters.factor(1, 1_000),
    )
    catalog_accepted_moves: Keys = _setting(
        (),
        variable="OTEL_POLAR_CATALOG_ACCEPTED_MOVES",
        unit="`provider/model`, comma-separated",
        about="Entries, `*` for any text, whose price may move further.",
        convert=converters.keys,
    )
    outbox_dir: Path | None = _setting(
        None,
        variable="OTEL_POLAR_OUTBOX_DIR",
        unit="directory",
        about="Where calls wait on disk until Polar has them. Default: `$XDG_STATE_HOME/otel-polar`, else "
        "`~/.local/state/otel-polar`. Must outlive the process: in a container, a volume.",
        convert=converters.directory,
    )
    settle_s: float = _setting(
        2.0,
        variable="OTEL_POLAR_SETTLE_S",
        unit="seconds, 0 to 3600",
        about="How long a call rests on disk before it may be sent.",
        convert=converters.number(0.0, 3_600.0),
    )
    linger_s: float = _setting(
        1.0,
        variable="OTEL_POLAR_LINGER_S",
        unit="seconds, 0 to 3600",
        about="How long an incomplete batch waits for more calls.",
        convert=converters.number(0.0, 3_600.0),
    )
    request_timeout_s: float = _setting(
        30.0,
        variable="OTEL_POLAR_REQUEST_TIMEOUT_S",
        unit="seconds, 0.1 to 600",
        about="How long one request to Polar may take.",
        convert=converters.number(0.1, 600.0),
    )
    requests_per_minute: float | None = _setting(
        None,
        variable="OTEL_POLAR_REQUESTS_PER_MINUTE",
        unit="requests, 1 to 100000",
        about="Polar's budget of this process. Default: the organization's, 500 in production, 100 in the sandbox.",
        convert=converters.number(1.0, 100_000.0),
    )
    retention_days: float = _setting(
        30.0,
        variable="OTEL_POLAR_RETENTION_DAYS",
        unit="days, 1 to 3650",
        about="How long sent, unattributed, unmetered and rejected calls stay in the ledger.",
        convert=converters.number(1.0, 3_650.0),
    )
    shutdown_timeout_s: float = _setting(
        5.0,
        variable="OTEL_POLAR_SHUTDOWN_TIMEOUT_S",
        unit="seconds, 0 to 600",
        about="How long `shutdown` may spend on sending; what is left stays on disk.",
        convert=converters.number(0.0, 600.0),
    )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **options: Unpack[Options]) -> Settings:
        """Settings from keyword options and, where those are ``None``, from environment variables.

        Raises:
            ConfigError: if a value cannot be used.
            TypeError: if an option does not exist.
        """
        environ = os.environ if environ is None else environ
        known = {setting.name: setting.metadata for setting in fields(cls)}
        if unknown := options.keys() - known.keys():
            raise TypeError(f"unknown option {min(unknown)!r}; the options are {', '.join(sorted(known))}")
        values: dict[str, Any] = {}
        for name, metadata in known.items():
            variable: str = metadata["variable"]
            value = options.get(name)
            if value is None and variable:
                value = environ.get(variable, "").strip() or None
            if value is not None:
                values[name] = metadata["convert"](f"{name} ({variable})" if variable else name, value)
        if "outbox_dir" not in values:
            values["outbox_dir"] = _default_outbox_dir(environ)
        return cls(**values)

    @property
    def customer_keys(self) -> CustomerKeys:
        """The lists of identity keys as one value."""
        return CustomerKeys(
            internal=tuple(self.customer_id_keys),
            external=tuple(self.external_customer_id_keys),
            member=tuple(self.member_id_keys),
            other_systems=tuple(self.user_id_attributes),
        )

    @property
    def catalog_options(self) -> CatalogOptions:
        """How far the catalogue goes."""
        return CatalogOptions(tuple(self.gateways), tuple(self.self_hosted), self.approximate_models)

    @property
    def budget_per_minute(self) -> float:
        """Requests a minute, from the option or from the server's own limit."""
        return self.requests_per_minute or DEFAULT_REQUESTS_PER_MINUTE[self.server]

    @property
    def retention_s(self) -> float:
        """``retention_days`` in seconds."""
        return self.retention_days * DAY_S


def _default_outbox_dir(environ: Mapping[str, str]) -> Path | None:
    # The XDG Base Directory Specification: a path that is not absolute is to be ignored.
    if (state_home := Path(environ.get("XDG_STATE_HOME", ""))).is_absolute():
        return state_home / "otel-polar"
    if home := environ.get("HOME"):
        return Path(home).absolute() / ".local" / "state" / "otel-polar"
    return None
