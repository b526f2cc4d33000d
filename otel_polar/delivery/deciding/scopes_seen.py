"""Whether the calls to a provider are told by two instrumentations, which is one too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_polar.billing.operation import WITHOUT_OUTPUT
from otel_polar.billing.scopes import OWN_OPENAI_SCOPE, Layer, place_of
from otel_polar.billing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_polar.billing.call import ModelCall
    from otel_polar.delivery.notices import Notices

MAX_PROVIDERS: Final = 1_000
"""Remembered at once, of all services: names of either come from spans."""


class ScopesSeen:
    """Whose spans tell of the calls to each provider. Two are one too many, and it is said once for each provider.

    Two of two services, behind one Collector, are not.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._first: dict[tuple[str, str | None, bool], str] = {}

    def look_at(self, calls: Iterable[ModelCall]) -> None:
        """Look at the spans of one call."""
        for call in calls:
            # A span of our own is inside the other one, if there is any, and in the same trace.
            if call.provider is None or call.scope_name == OWN_OPENAI_SCOPE or not isinstance(call.usage, TokenUsage):
                continue
            key = (call.provider, call.service_name, call.operation in WITHOUT_OUTPUT)
            if key not in self._first and len(self._first) >= MAX_PROVIDERS:
                continue
            first = self._first.setdefault(key, call.scope_name)
            if first != call.scope_name:
                self._say(call.provider, sorted((first, call.scope_name), key=_distance))

    def _say(self, provider: str, scopes: Sequence[str]) -> None:
        self._notices.warn(
            f"two scopes:{provider}",
            "CALLS TO %s ARE SEEN BY TWO INSTRUMENTATIONS, %s and %s. A call is billed once where its two spans can be"
            " told to be one, which is not always certain: remove one of them%s, or name the one that bills:"
            " bill_scopes (OTEL_POLAR_BILL_SCOPES=%s)",
            provider,
            *scopes,
            _SWITCHES.get(scopes[0].rpartition(".bedrock")[0] or scopes[0], ""),
            scopes[0],
        )


_SWITCHES: Final = {"com.anthropic.sdk.python": " (the first is turned off by ANTHROPIC_OPEN_TELEMETRY=false)"}


def _distance(scope_name: str) -> tuple[int, str]:
    place = place_of(scope_name)
    return (Layer.FRAMEWORK + 1 if place is None else place.layer), scope_name
