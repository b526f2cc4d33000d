"""Options about Polar: where it is and what it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_polar import converters
from otel_polar.settings.field import setting

if TYPE_CHECKING:
    from otel_polar.billing.event import EventName
    from otel_polar.options import Server


@dataclass(frozen=True, kw_only=True)
class PolarSettings:
    """Options about Polar: where it is and what it is sent."""

    access_token: str | None = setting(
        None,
        variable="POLAR_ACCESS_TOKEN",
        unit="text",
        about="Polar organization access token with scope `events:write`. Without one nothing is recorded.",
        convert=converters.token,
        is_secret=True,
    )
    server: Server = setting(
        "sandbox",
        variable="POLAR_SERVER",
        unit="`sandbox` or `production`",
        about="Which Polar: they have separate data, tokens and rate limits.",
        convert=converters.one_of("sandbox", "production"),
    )
    base_url: str | None = setting(
        None,
        variable="POLAR_BASE_URL",
        unit="URL",
        about="Another address of Polar's API, such as `otel-polar sandbox` prints.",
        convert=converters.url,
    )
    event_name: EventName = setting(
        "llm_usage",
        variable="OTEL_POLAR_EVENT_NAME",
        unit="text, or a function of the call",
        about="Name of the events. A meter's filter is frozen on it: choose once.",
        convert=converters.event_name,
    )
