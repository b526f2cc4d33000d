"""``ModelCall``: one billable call to a model, and the decision whether a span is one.

The decision is an allow-list. By convention, agent and workflow spans carry the same usage attributes as the calls
below them (open-telemetry/semantic-conventions-genai, ``invoke_agent``), so anything not known to be a single call is
not billed: it is answered with :class:`NotBilled` and the reason, and counted by whoever asked.

A call is identified to Polar, for ever, by :func:`external_id`: by the provider's own response id where that is strong,
so that a client and a proxy that saw the same call name the same event; otherwise by where and when its span started.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_polar.billing import semconv
from otel_polar.billing.customer import NOBODY, Customer, Unattributed
from otel_polar.billing.usage import TokenUsage, Unmetered, read_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.billing.span import SpanRecord

TagValue: TypeAlias = str | int | float | bool

BILLABLE_OPERATIONS: Final[frozenset[str]] = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Operations that are one request to a model (gen_ai.operation.name, semantic-conventions-genai registry)."""

MAX_NAME_CHARACTERS: Final = 200
"""Model, provider and the like are cut here: a longer one names nothing, and must not fill the disk."""

_STRONG_ID_CHARACTERS: Final = 16
_STRONG_ID_DISTINCT_CHARACTERS: Final = 8
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_SEPARATORS: Final = re.compile(r"[_.:\-]")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class NotBilled:
    """A span that is not a billable call. ``reason`` is a short fixed text, fit to be counted by.

    ``suspicious`` is true where the span carries token counts all the same, so that not billing it should be said.
    """

    reason: str
    suspicious: bool = False


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call to a model: who pays, what was used, and where it was seen. Never anything of its content.

    ``trace_id`` and ``span_id`` are lower-case hex; times are Unix nanoseconds. Absent names are ``None``.
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
    tags: Mapping[str, TagValue] = field(default_factory=dict)

    @property
    def model(self) -> str | None:
        """The model that answered, else the one that was asked for."""
        return self.response_model or self.request_model

    @property
    def duration_ms(self) -> int:
        """Whole milliseconds from the span's start to its end, at least 0."""
        return max(0, self.end_time_unix_nano - self.start_time_unix_nano) // 1_000_000


def read_call(
    span: SpanRecord,
    customer: Customer | Unattributed = NOBODY,
    tags: Mapping[str, TagValue] | None = None,
) -> ModelCall | NotBilled:
    """The model call that *span* is, or why it is not one."""
    attributes = span.attributes
    operation = attributes.get(semconv.OPERATION_NAME)
    if not isinstance(operation, str) or operation not in BILLABLE_OPERATIONS:
        return _not_billed(operation, span)
    return ModelCall(
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_time_unix_nano=span.start_time_unix_nano,
        end_time_unix_nano=span.end_time_unix_nano,
        scope_name=span.scope_name,
        operation=operation,
        provider=_read_first(span, semconv.PROVIDER_NAME),
        request_model=_read_name(span, semconv.REQUEST_MODEL),
        response_model=_read_name(span, semconv.RESPONSE_MODEL),
        response_id=_read_response_id(span),
        service_tier=_read_first(span, semconv.SERVICE_TIER),
        server_address=_read_name(span, semconv.SERVER_ADDRESS),
        service_name=_read_service_name(span),
        usage=read_usage(span),
        customer=customer,
        tags={} if tags is None else tags,
    )


def external_id(call: ModelCall) -> str:
    """The key by which Polar knows this call again, the same on every retry, restart and redelivery.

    The start time stands beside trace and span id because an application that seeds :mod:`random` repeats its span
    ids in every process (opentelemetry-sdk, ``RandomIdGenerator``).
    """
    if call.response_id is not None and is_strong_id(call.response_id):
        return f"{_safe_provider(call.provider)}:{call.response_id}"
    return f"{call.trace_id}-{call.span_id}-{call.start_time_unix_nano:x}"


def is_strong_id(response_id: str) -> bool:
    """Whether a response id was minted at random: a UUID, or a run of at least 16 letters and digits mixed.

    A short or constant-looking id (Ollama mints ``chatcmpl-0`` to ``chatcmpl-998``) would make two calls one.
    """
    if not _SAFE_ID.fullmatch(response_id):
        return False
    if (uuid := _UUID.search(response_id)) is not None:
        return len(set(uuid[0])) >= _STRONG_ID_DISTINCT_CHARACTERS
    return any(_is_random(part) for part in _SEPARATORS.split(response_id))


def _is_random(part: str) -> bool:
    if len(part) < _STRONG_ID_CHARACTERS or len(set(part)) < _STRONG_ID_DISTINCT_CHARACTERS or not part.isalnum():
        return False
    # Without a digit it may be made of words, as constants in stand-ins are. One of 170 random runs of 29 has none,
    # too; its call is then known by its span, which is safe.
    return any(character.isdigit() for character in part) and any(character.isalpha() for character in part)


def _safe_provider(provider: str | None) -> str:
    return provider if provider is not None and _SAFE_ID.fullmatch(provider) else "unknown"


def _not_billed(operation: object, span: SpanRecord) -> NotBilled:
    suspicious = isinstance(read_usage(span), TokenUsage)
    if operation is None:
        return NotBilled("no gen_ai.operation.name", suspicious=suspicious)
    # Agents and workflows repeat the usage of the calls below them: that they carry tokens is nothing to warn about.
    if isinstance(operation, str) and operation in _AGGREGATES:
        return NotBilled(f"operation {operation} is not a single call")
    return NotBilled("operation is not a known model call", suspicious=suspicious)


_AGGREGATES: Final[frozenset[str]] = frozenset(
    {
        "invoke_agent",
        "invoke_workflow",
        "create_agent",
        "agent_step",
        "execute_tool",
        "plan",
        "retrieval",
        "fetch_response",
    },
)


def _read_first(span: SpanRecord, names: semconv.Names) -> str | None:
    for name in names:
        if (value := _read_name(span, name)) is not None:
            return value
    return None


def _read_name(span: SpanRecord, name: str) -> str | None:
    value = span.attributes.get(name)
    if not isinstance(value, str) or not value:
        return None
    limit = span.attribute_length_limit
    if limit is not None and len(value) >= limit:
        # What the span limits have cut may read like another name: gpt-4o-mini like gpt-4o, at another price.
        return None
    return value[:MAX_NAME_CHARACTERS]


def _read_response_id(span: SpanRecord) -> str | None:
    value = _read_name(span, semconv.RESPONSE_ID)
    # As long as a name may be, it may have been cut, and two different ids would be one call.
    return value if value is not None and len(value) < MAX_NAME_CHARACTERS else None


def _read_service_name(span: SpanRecord) -> str | None:
    value = span.resource_attributes.get(semconv.SERVICE_NAME)
    return value[:MAX_NAME_CHARACTERS] if isinstance(value, str) else None
