"""``SeenCall``: a call as it lies in an outbox file, read beside the process that owns the file.

What is known of it stands in two places: in the call as it was recorded, which is forgotten some minutes after Polar
has it, and in the event as it was frozen, which a held call does not have yet. The event says what Polar is told, so
it is believed first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_polar.billing.call import ModelCall, external_id
from otel_polar.billing.customer import Customer
from otel_polar.billing.usage import TokenUsage
from otel_polar.delivery.deciding.decide import unreadable_id
from otel_polar.delivery.disk.record import load_record
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from otel_polar.billing.measurement import Measurement

_NANOSECONDS: Final = 1_000_000_000
_ANOTHER_SPAN: Final = "another span of "
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One row of a ledger, or a call that is recorded and nothing else yet (state ``RECORDED``).

    Args:
        file: the outbox file's name, such as ``outbox-3f9a1c2e.db``.
        external_id: by which Polar knows it; of a call that is not decided yet, the one it will have by itself.
        state: where it stands.
        reason: why it is held, rejected, a duplicate, or tried again.
        recorded_at: Unix seconds.
        settled_at: Unix seconds: when Polar had it, or since when it is known that it cannot be sent.
        call: as it was recorded; ``None`` if it was forgotten, because it was sent long ago, or is unreadable.
        body: the event as it was frozen; ``None`` while nothing is.
    """

    file: str
    external_id: str
    state: State
    reason: str | None
    recorded_at: float
    settled_at: float | None
    call: ModelCall | Measurement | None
    body: Mapping[str, Any] | None

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The event's metadata; empty while there is no event."""
        metadata = self._told.get("metadata")
        return metadata if isinstance(metadata, Mapping) else _NOTHING

    @property
    def external_customer_id(self) -> str | None:
        """Your id of who pays."""
        return self._who("external_customer_id")

    @property
    def customer_id(self) -> str | None:
        """Polar's id of who pays."""
        return self._who("customer_id")

    @property
    def member_id(self) -> str | None:
        """The member of the customer, by your id or Polar's, as the customer is."""
        if self.body is not None:
            return _text(self._told.get("external_member_id", self._told.get("member_id")))
        return None if self._customer is None else self._customer.member_id

    @property
    def customer(self) -> str | None:
        """Who pays, by whichever id; ``None`` if nobody does."""
        return self.customer_id or self.external_customer_id

    @property
    def event_name(self) -> str | None:
        """The name of the event; of a call that has none yet, only where it is usage that is no call to a model."""
        if (name := _text(self._told.get("name"))) is not None:
            return name
        return None if self.call is None or isinstance(self.call, ModelCall) else self.call.event_name

    @property
    def provider(self) -> str | None:
        """Who answered."""
        if isinstance(self.call, ModelCall):
            return self.call.provider
        return _text(self.metadata.get("provider"))

    @property
    def model(self) -> str | None:
        """The model that answered, else the one that was asked for; ``None`` where it is no call to a model."""
        if isinstance(self.call, ModelCall):
            return self.call.model
        return _text(self.metadata.get("model"))

    @property
    def cost_nanos(self) -> int | None:
        """What it cost, in billionths of a dollar; ``None`` where nobody knows, or it is not on the event."""
        return whole(self.metadata.get("cost_nanos"))

    @property
    def charge_nanos(self) -> int | None:
        """What is to be charged for it, in billionths of a dollar; ``None`` without a markup."""
        return whole(self.metadata.get("charge_nanos"))

    @property
    def input_tokens(self) -> int | None:
        """All tokens that went in, those from and to a cache too; ``None`` if unknown."""
        usage = self._usage
        return whole(self.metadata.get("input_tokens")) if usage is None else usage.input_tokens

    @property
    def output_tokens(self) -> int | None:
        """All tokens that came out; ``None`` if unknown."""
        usage = self._usage
        return whole(self.metadata.get("output_tokens")) if usage is None else usage.output_tokens

    @property
    def started_at(self) -> float | None:
        """When the call began, in Unix seconds; ``None`` once the call is forgotten."""
        return None if self.call is None else self.call.start_time_unix_nano / _NANOSECONDS

    @property
    def trace_id(self) -> str | None:
        """Of its span: 32 hexadecimal digits."""
        return _text(self.metadata.get("trace_id")) if self.call is None else self.call.trace_id

    @property
    def span_id(self) -> str | None:
        """16 hexadecimal digits."""
        return _text(self.metadata.get("span_id")) if self.call is None else self.call.span_id

    @property
    def duplicate_of(self) -> str | None:
        """The external id of the call that this is another span of."""
        if self.state is not State.DUPLICATE or self.reason is None or not self.reason.startswith(_ANOTHER_SPAN):
            return None
        return self.reason.removeprefix(_ANOTHER_SPAN)

    @property
    def _told(self) -> Mapping[str, Any]:
        return _NOTHING if self.body is None else self.body

    @property
    def _customer(self) -> Customer | None:
        return self.call.customer if self.call is not None and isinstance(self.call.customer, Customer) else None

    @property
    def _usage(self) -> TokenUsage | None:
        return self.call.usage if isinstance(self.call, ModelCall) and isinstance(self.call.usage, TokenUsage) else None

    def _who(self, field: str) -> str | None:
        if self.body is not None:
            return _text(self.body.get(field))
        return None if self._customer is None else _text(getattr(self._customer, field))


class SeenRow(NamedTuple):
    """A call as it is written in its file, not understood yet."""

    file: str
    external_id: str
    state: str
    reason: str | None
    recorded_at: float
    settled_at: float | None
    call: str | None
    body: str | None

    def understood(self) -> SeenCall:
        """As far as it can be; never raises."""
        file, external_id, state, reason, recorded_at, settled_at, call, body = self
        loaded = _loaded(call or "")
        return SeenCall(file, external_id, State(state), reason, recorded_at, settled_at, loaded, read_body(body))


def id_of_recorded(call: str) -> str:
    """The external id that a call of the intake or the journal has by itself, as it will be when it is decided."""
    loaded = _loaded(call)
    if loaded is None:
        return unreadable_id(call)
    return external_id(loaded) if isinstance(loaded, ModelCall) else loaded.external_id


def read_body(body: str | None) -> Mapping[str, Any] | None:
    """A frozen event; ``None`` if there is none, or it is damaged."""
    if body is None:
        return None
    try:
        told = json.loads(body)
    except (ValueError, TypeError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def whole(value: object) -> int | None:
    """A whole number; bool is an int in Python, and True is not one token."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _loaded(call: str) -> ModelCall | Measurement | None:
    if not call:
        return None
    try:
        return load_record(call)
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
