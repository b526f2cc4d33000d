"""Options about which spans there are, and what is on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from otel_polar import converters
from otel_polar.settings.field import setting

if TYPE_CHECKING:
    from otel_polar.billing.measurement import SpanRule
    from otel_polar.options import CountTokens


@dataclass(frozen=True, kw_only=True)
class CaptureSettings:
    """Options about which spans there are, and what is on them."""

    record_unsampled: Literal["all", "genai", "none"] = setting(
        "all",
        variable="OTEL_POLAR_RECORD_UNSAMPLED",
        unit="`all`, `genai` or `none`",
        about="Spans that your sampler drops are recorded to be billed, never exported: all, or those that start as a "
        "model call. `PolarInstrumentor` only.",
        convert=converters.one_of("all", "genai", "none"),
    )
    openai_hooks: bool = setting(
        default=True,
        variable="OTEL_POLAR_OPENAI_HOOKS",
        unit="`true` or `false`",
        about="Whether the spans of the `openai` client are completed, and made where nobody makes one. "
        "`PolarInstrumentor` only.",
        convert=converters.switch,
    )
    span_rules: tuple[SpanRule, ...] = setting(
        (),
        variable="",
        unit="a `SpanRule`, or several",
        about="Spans that are usage of their own. In code only.",
        convert=converters.span_rules,
    )
    agent_event_name: str | None = setting(
        None,
        variable="OTEL_POLAR_AGENT_EVENT_NAME",
        unit="text of 1 to 128 characters",
        about="Sends an event of this name for each run of an agent or workflow, and its calls below it.",
        convert=converters.name_of_event,
    )
    estimate_tokens: Literal["bytes"] | CountTokens | None = setting(
        None,
        variable="OTEL_POLAR_ESTIMATE_TOKENS",
        unit="`off`, `bytes`, or a function of a model and a text",
        about="Bill a guess, marked `estimated`, for a stream of the `openai` client that was cut short: a token for "
        "every four bytes, or what the function counts. Default: such a call is held.",
        convert=converters.estimate,
    )
