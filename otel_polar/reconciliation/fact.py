"""``Fact``: an event as both sides tell it, and what makes it the same one on both.

Polar does not tell the ``external_id`` of an event. What both sides have is its content, and ours has trace and span::

    close identity   trace, span, generation id and name; without a trace: time, name and all metadata
    loose identity   trace and span; without a trace: time and name

Two events with one close identity are the same event, differing perhaps; so are two with one loose identity if neither
has another partner. Who pays is part of neither: that somebody else does is to be found. Times are compared to the
millisecond, which is all that Polar's listing promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_US_PER_MS: Final = 1_000
_DIGEST_BYTES: Final = 16
_KEY: Final = itemgetter(0)
_STRUCTURED: Final = {
    "_cost": ("amount", "currency"),
    "_llm": ("vendor", "model", "input_tokens", "cached_input_tokens", "output_tokens", "total_tokens"),
}
"""What Polar keeps of its own keys, as far as we send it; what it adds to them is its own affair."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An event: when (microseconds since 1970), its name, who pays, and its metadata as they were sent or listed."""

    at_unix_us: int
    name: str
    customer: str | None
    metadata: Mapping[str, Any]

    @property
    def at_unix_ms(self) -> int:
        """When, as exactly as both sides tell it."""
        return self.at_unix_us // _US_PER_MS

    @property
    def is_traced(self) -> bool:
        """Whether its metadata name the span it comes from; ``map_metadata`` may have removed that."""
        return all(isinstance(self.metadata.get(key), str) for key in ("trace_id", "span_id"))

    @property
    def content(self) -> bytes:
        """All that is compared but the customer, who may be named in two ways: 16 bytes, equal for equal events."""
        return _digest(self.at_unix_ms, self.name, *sorted(_plain(self.metadata), key=_KEY))

    @property
    def close_identity(self) -> bytes:
        """16 bytes, the same on both sides unless the event is another one."""
        told = self.metadata
        if self.is_traced:
            return _digest("span", told["trace_id"], told["span_id"], told.get("generation_id"), self.name)
        return self.content

    @property
    def loose_identity(self) -> bytes:
        """16 bytes, the same for what may be one event that was changed beyond its close identity."""
        if self.is_traced:
            return _digest("span", self.metadata["trace_id"], self.metadata["span_id"])
        return _digest("time", self.at_unix_ms, self.name)

    @property
    def cost_nanos(self) -> int:
        """What it cost in billionths of a dollar; 0 where it does not say."""
        return _whole(self.metadata.get("cost_nanos"))

    @property
    def charge_nanos(self) -> int:
        """What is charged for it in billionths of a dollar; 0 where it does not say."""
        return _whole(self.metadata.get("charge_nanos"))


@dataclass(frozen=True, slots=True)
class Field:
    """Something that the two sides tell differently; ``None`` on a side that does not tell it."""

    name: str
    here: Any
    there: Any


def polar_id(customer_id: str) -> str:
    """An id of Polar's as Polar writes it, which reads it in more ways than one."""
    try:
        return str(UUID(customer_id))
    except ValueError:
        return customer_id


def differing_fields(here: Fact, there: Fact) -> tuple[Field, ...]:
    """What is not the same, by name; empty if the two are equal."""
    ours, theirs = _told(here), _told(there)
    names = [*ours, *(name for name in theirs if name not in ours)]
    return tuple(
        Field(name, ours.get(name), theirs.get(name)) for name in names if not _same(ours.get(name), theirs.get(name))
    )


def _told(fact: Fact) -> dict[str, Any]:
    return {
        "timestamp_ms": fact.at_unix_ms,
        "name": fact.name,
        "customer": fact.customer,
        **dict(_plain(fact.metadata)),
    }


def _plain(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Metadata in one form: what either side may write in two ways is written in one."""
    for key, value in metadata.items():
        if key[:1] != "_":
            if value is not None:
                yield key, int(value) if value.__class__ is float and value.is_integer() else value
        elif isinstance(value, dict):
            for part in _STRUCTURED.get(key, ()):
                if value.get(part) is not None:
                    yield f"{key}.{part}", _amount(value[part]) if part == "amount" else _number(value[part])


def _number(value: Any) -> Any:
    # JSON has one kind of number, Python two.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _amount(value: Any) -> Any:
    """An amount as Polar keeps it, in a double, whichever way it was written."""
    try:
        return float(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        return value


def _same(one: Any, other: Any) -> bool:
    # True is not the number 1.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _digest(*parts: Any) -> bytes:
    # Of what JSON can say Python writes each in one way, and True not as 1; and it does so at half the cost of JSON.
    return blake2b(repr(parts).encode(errors="backslashreplace"), digest_size=_DIGEST_BYTES).digest()
