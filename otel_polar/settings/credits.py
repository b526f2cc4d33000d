"""Options of the balance guard of a whole process (``otel_polar.credits``), for where its other settings are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_polar import converters
from otel_polar.settings.field import setting

if TYPE_CHECKING:
    from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CreditSettings:
    """Options of the balance guard of a whole process."""

    meter: str | None = setting(
        None,
        variable="OTEL_POLAR_CREDITS_METER",
        unit="name or id",
        about="The meter on Polar whose credits are guarded.",
        convert=converters.text,
    )
    mode: Literal["enforce", "shadow"] = setting(
        "enforce",
        variable="OTEL_POLAR_CREDITS_MODE",
        unit="`enforce` or `shadow`",
        about="Whether a call that is not covered is refused, or only reported.",
        convert=converters.one_of("enforce", "shadow"),
    )
    when_unreachable: Literal["allow", "refuse"] = setting(
        "allow",
        variable="OTEL_POLAR_CREDITS_UNREACHABLE",
        unit="`allow` or `refuse`",
        about="What becomes of a call when nobody can tell what is left.",
        convert=converters.one_of("allow", "refuse"),
    )
    when_unknown: Literal["allow", "refuse"] = setting(
        "refuse",
        variable="OTEL_POLAR_CREDITS_UNKNOWN",
        unit="`allow` or `refuse`",
        about="What becomes of a call of a customer who has no credits on the meter, nor ever had.",
        convert=converters.one_of("allow", "refuse"),
    )
