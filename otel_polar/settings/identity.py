"""Options about who pays, and what is told about a call beside its usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from otel_polar import converters
from otel_polar.billing.customer import (
    DEFAULT_CUSTOMER_ID_KEYS,
    DEFAULT_EXTERNAL_CUSTOMER_ID_KEYS,
    DEFAULT_MEMBER_ID_KEYS,
    DEFAULT_USER_ID_ATTRIBUTES,
)
from otel_polar.settings.field import setting

if TYPE_CHECKING:
    from otel_polar.billing.event import MapMetadata
    from otel_polar.options import Keys


@dataclass(frozen=True, kw_only=True)
class IdentitySettings:
    """Options about who pays, and what is told about a call beside its usage."""

    customer_id_keys: Keys = setting(
        DEFAULT_CUSTOMER_ID_KEYS,
        variable="OTEL_POLAR_CUSTOMER_ID_KEYS",
        unit="keys, comma-separated",
        about="Attributes and baggage members that hold Polar's own customer id (UUID); they win over external ones.",
        convert=converters.keys,
    )
    external_customer_id_keys: Keys = setting(
        DEFAULT_EXTERNAL_CUSTOMER_ID_KEYS,
        variable="OTEL_POLAR_EXTERNAL_CUSTOMER_ID_KEYS",
        unit="keys, comma-separated",
        about="Attributes and baggage members that hold your id of the customer, first present wins.",
        convert=converters.keys,
    )
    member_id_keys: Keys = setting(
        DEFAULT_MEMBER_ID_KEYS,
        variable="OTEL_POLAR_MEMBER_ID_KEYS",
        unit="keys, comma-separated",
        about="Attributes and baggage members that hold the id of a member of the customer.",
        convert=converters.keys,
    )
    user_id_attributes: Keys = setting(
        DEFAULT_USER_ID_ATTRIBUTES,
        variable="OTEL_POLAR_USER_ID_ATTRIBUTES",
        unit="keys, comma-separated",
        about="Attributes under which other systems put their id of a user, as yours; asked after baggage.",
        convert=converters.keys,
    )
    baggage_secret: str | None = setting(
        None,
        variable="OTEL_POLAR_BAGGAGE_SECRET",
        unit="text of at least 16 characters",
        about="Signs the identities that `bill_to` puts into baggage; then no other identity in baggage is believed. "
        "The same in all your services.",
        convert=converters.secret,
        is_secret=True,
    )
    baggage_max_age_s: float = setting(
        86_400.0,
        variable="OTEL_POLAR_BAGGAGE_MAX_AGE_S",
        unit="seconds, 1 to 31536000",
        about="How old a signed identity may be when a call begins.",
        convert=converters.number(1.0, 31_536_000.0),
    )
    baggage_hosts: Keys = setting(
        (),
        variable="OTEL_POLAR_BAGGAGE_HOSTS",
        unit="hosts, comma-separated",
        about="Hosts, `*` for any text, to which the propagator `polar_baggage` sends who pays. Default: none.",
        convert=converters.hosts,
    )
    trust_baggage: bool = setting(
        default=False,
        variable="OTEL_POLAR_TRUST_BAGGAGE",
        unit="`true` or `false`",
        about="Whether the propagator `polar_baggage` believes unsigned identities of whoever calls: only where nobody "
        "from outside can.",
        convert=converters.switch,
    )
    bill_scopes: Keys = setting(
        (),
        variable="OTEL_POLAR_BILL_SCOPES",
        unit="scopes, comma-separated",
        about="Instrumentation scopes whose spans are billed, `*` for any text; all others are not. Default: all.",
        convert=converters.keys,
    )
    tags: Keys = setting(
        (),
        variable="OTEL_POLAR_TAGS",
        unit="keys, comma-separated",
        about="Span attributes and baggage members copied into the event's metadata.",
        convert=converters.keys,
    )
    map_metadata: MapMetadata | None = setting(
        None,
        variable="",
        unit="function of the call and its metadata",
        about="Replaces the metadata of every event. In code only.",
        convert=converters.function,
    )
    on_unattributed: Literal["hold", "drop"] = setting(
        "hold",
        variable="OTEL_POLAR_ON_UNATTRIBUTED",
        unit="`hold` or `drop`",
        about="A call with nobody to bill is kept for `retention_days`, or counted and forgotten.",
        convert=converters.one_of("hold", "drop"),
    )
