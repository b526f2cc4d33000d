"""``ModelCall``: one billable call to a model, the same whatever emitter and dialect told of it.

A call is identified to Polar, for ever, by :func:`external_id`: by the provider's own response id where that is strong,
so that a client and a proxy that saw the same call name the same event; otherwise by where and when its span started.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_polar.billing.response_id import is_safe, is_strong_id, issuer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.billing.customer import Customer, Unattributed
    from otel_polar.billing.usage import TokenUsage, Unmetered

TagValue: TypeAlias = str | int | float | bool

NO_TAGS: Final[Mapping[str, TagValue]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NotBilled:
    """A span that is not a billable call. ``reason`` is a short fixed text, fit to be counted by.

    ``suspicious`` is true where the span carries token counts that nothing else is known to carry, so that not billing
    it should be said.
    """

    reason: str
    suspicious: bool = False


# Not a dataclass: one is made for every call on the caller's thread, and a frozen dataclass takes seven times as long.
class ModelCall(NamedTuple):
    """One call to a model: who pays, what was used, and where it was seen. Never anything of its content.

    ``trace_id``, ``span_id`` and ``parent_span_id`` are lower-case hex; times are Unix nanoseconds, comparable between
    calls of the same ``process``. Absent names are ``None``. ``is_total`` marks the sum of several requests of an
    emitter that has no spans for them. ``service_tier`` is what the provider said it answered in, and
    ``requested_service_tier`` what was asked for where nothing says that. ``reported_cost_usd`` is a number as text,
    from a span whose word on it is trusted. ``is_estimated`` marks tokens that are a guess of ours.
    ``parent_event_id`` is the event of the agent's run that the call is part of. ``is_assigned``: a person has said who
    pays, and no span of the call has a say in it any more.
    """

    trace_id: str
    span_id: str
    start_time_unix_nano: int
    end_time_unix_nano: int
    scope_name: str
    operation: str
    provider: str | None
    request_model: str | None
    response_model: str | None
    response_id: str | None
    service_tier: str | None
    server_address: str | None
    service_name: str | None
    usage: TokenUsage | Unmetered
    customer: Customer | Unattributed
    tags: Mapping[str, TagValue] = NO_TAGS
    parent_span_id: str | None = None
    process: str = ""
    dialect: str = ""
    is_total: bool = False
    requested_service_tier: str | None = None
    reported_cost_usd: str | None = None
    is_estimated: bool = False
    parent_event_id: str | None = None
    is_assigned: bool = False

    @property
    def model(self) -> str | None:
        """The model that answered, else the one that was asked for."""
        return self.response_model or self.request_model

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds from the span's start to its end, at least 0."""
        return max(0, self.end_time_unix_nano - self.start_time_unix_nano) // 1_000_000

    @property
    def strong_id(self) -> str | None:
        """The provider's id of the answer, if no other answer can have it."""
        return self.response_id if self.response_id is not None and is_strong_id(self.response_id) else None


def external_id(call: ModelCall) -> str:
    """The key by which Polar knows this call again, the same on every retry, restart and redelivery.

    The start time stands beside trace and span id because an application that seeds :mod:`random` repeats its span
    ids in every process (opentelemetry-sdk, ``RandomIdGenerator``).
    """
    if (response_id := call.strong_id) is not None:
        provider = issuer(response_id) or call.provider
        return f"{provider if provider is not None and is_safe(provider) else 'unknown'}:{response_id}"
    return f"{call.trace_id}-{call.span_id}-{call.start_time_unix_nano:x}"
