"""``Options``: the keyword arguments by which everything is configured, as types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal
    from pathlib import Path

    from otel_polar.billing.event import EventName, MapMetadata
    from otel_polar.billing.markup import Markup
    from otel_polar.billing.measurement import SpanRule
    from otel_polar.billing.pricing import PriceResolver
    from otel_polar.billing.rate_card import RateCard

Server: TypeAlias = Literal["sandbox", "production"]
Keys: TypeAlias = "str | Iterable[str]"
Number: TypeAlias = "str | int | float | Decimal"
RateCardOption: TypeAlias = "str | Path | Mapping[str, object] | RateCard"
CountTokens: TypeAlias = "Callable[[str | None, str], int]"
ResolversOption: TypeAlias = "PriceResolver | Iterable[PriceResolver]"


class Options(TypedDict, total=False):
    """The keyword arguments of :meth:`Settings.load`; ``None`` leaves a value to the environment and the default."""

    access_token: str | None
    server: Server | None
    base_url: str | None
    event_name: EventName | None
    customer_id_keys: Keys | None
    external_customer_id_keys: Keys | None
    member_id_keys: Keys | None
    user_id_attributes: Keys | None
    baggage_secret: str | None
    baggage_max_age_s: float | None
    baggage_hosts: Keys | None
    trust_baggage: bool | None
    bill_scopes: Keys | None
    tags: Keys | None
    map_metadata: MapMetadata | None
    on_unattributed: Literal["hold", "drop"] | None
    on_unpriced: Literal["hold", "send"] | None
    rate_card: RateCardOption | None
    price_resolvers: ResolversOption | None
    trusted_costs: str | Mapping[str, str] | None
    gateways: Keys | None
    self_hosted: Keys | None
    approximate_models: Literal["hold", "price"] | None
    markup: Number | Markup | None
    catalog_update_hours: float | None
    catalog_url: str | None
    catalog_max_factor: Number | None
    catalog_accepted_moves: Keys | None
    record_unsampled: Literal["all", "genai", "none"] | None
    openai_hooks: bool | None
    span_rules: SpanRule | Iterable[SpanRule] | None
    agent_event_name: str | None
    estimate_tokens: Literal["off", "bytes"] | CountTokens | None
    outbox_dir: str | Path | None
    settle_s: float | None
    linger_s: float | None
    request_timeout_s: float | None
    requests_per_minute: float | None
    retention_days: float | None
    shutdown_timeout_s: float | None
    ensure_customers: Literal["off", "hold"] | None
