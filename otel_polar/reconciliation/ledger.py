"""What has been recorded here: the outbox files of a directory, and what other machines exported of theirs.

An exported ledger is what ``otel-polar outbox export`` writes: a JSON object a line, with the event as it was frozen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.errors import OtelPolarError
from otel_polar.reconciliation.fact import Fact, polar_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from otel_polar.delivery.looking.seen import SeenCall
    from otel_polar.delivery.looking.view import OutboxView

RECORDED_BEFORE_S: Final = 7 * 86_400.0
"""A call is recorded when it ends. Only where a clock was days ahead is its event dated later than that."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NS_PER_US: Final = 1_000
_US_PER_S: Final = 1_000_000
_Kind = TypeVar("_Kind")


class LedgerFormatError(OtelPolarError):
    """A file is not what ``otel-polar outbox export`` writes. The message names file, line and what is wrong."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A call of a ledger, wherever it is written down.

    Args:
        file: where it is written down.
        external_id: by which Polar knows it.
        state: where it stands.
        at_unix_us: when it ended, in microseconds; of what nobody knows any more, when it was recorded.
        settled_at: when Polar had it, in Unix seconds.
        customers: who pays, by every id it names; none while nobody does.
        provider: who answered.
        model: that answered.
        tokens: input, read from cache, written to cache and output; ``None`` for what is not known.
        cost_nanos: in billionths of a dollar; ``None`` while nobody knows.
        event: as it was frozen; ``None`` while nothing is.
    """

    file: str
    external_id: str
    state: State
    at_unix_us: int
    settled_at: float | None
    customers: tuple[str, ...]
    provider: str | None
    model: str | None
    tokens: tuple[int | None, int | None, int | None, int | None]
    cost_nanos: int | None
    event: Mapping[str, Any] | None

    @property
    def fact(self) -> Fact | None:
        """The event; ``None`` where there is none, or it cannot be read."""
        event = self.event
        if event is None or read_time_us(event.get("timestamp")) is None or not isinstance(event.get("name"), str):
            return None
        metadata = event.get("metadata")
        customer = next(iter(self.customers), None)
        return Fact(self.at_unix_us, event["name"], customer, metadata if isinstance(metadata, dict) else {})


def rows_of_directory(view: OutboxView, since_unix_s: float) -> Iterator[LedgerRow]:
    """All calls of a directory's outbox files that may have ended at that time or later.

    What could not be read is in ``view.troubles`` afterwards.

    Raises:
        OutboxError: if there is no room for what was seen.
    """
    for seen in view.calls(Wanted(since=since_unix_s - RECORDED_BEFORE_S)):
        yield _row_of(seen)


def rows_of_export(path: Path) -> Iterator[LedgerRow]:
    """All calls of an exported ledger.

    Raises:
        LedgerFormatError: at the first line that is none.
        OSError: if the file cannot be read.
    """
    with path.open(encoding="utf-8", errors="backslashreplace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = _row_of_line(path.name, json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise LedgerFormatError(
                    f"{path}, line {number} is no call as `otel-polar outbox export` (as JSON lines, not CSV) writes"
                    f" it: {type(error).__name__}: {error}"
                ) from error
            yield row


def read_time_us(text: Any) -> int | None:
    """A time with an offset, in microseconds since 1970; ``None`` if it is none."""
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError, OverflowError):
        return None


def _row_of(seen: SeenCall) -> LedgerRow:
    at = None if seen.body is None else read_time_us(seen.body.get("timestamp"))
    if at is None and seen.call is not None:
        at = (seen.call.end_time_unix_nano or seen.call.start_time_unix_nano) // _NS_PER_US
    usage = getattr(seen.call, "usage", None)
    return LedgerRow(
        file=seen.file,
        external_id=seen.external_id,
        state=seen.state,
        at_unix_us=int(seen.recorded_at * _US_PER_S) if at is None else at,
        settled_at=seen.settled_at,
        customers=_customers(seen.external_customer_id, seen.customer_id),
        provider=seen.provider,
        model=seen.model,
        tokens=(
            seen.input_tokens,
            _told(seen.metadata, "cache_read_tokens", getattr(usage, "all_cache_read_tokens", None)),
            _told(seen.metadata, "cache_write_tokens", getattr(usage, "all_cache_write_tokens", None)),
            seen.output_tokens,
        ),
        cost_nanos=seen.cost_nanos,
        event=seen.body,
    )


def _row_of_line(file: str, told: Any) -> LedgerRow:
    external_id, state, event = told["external_id"], told["state"], told["event"]
    if not isinstance(external_id, str) or state not in set(State) or not isinstance(event, dict | None):
        raise ValueError("external_id, state or event is not what it has to be")
    times = (None if event is None else event.get("timestamp"), told.get("started_at"), told.get("recorded_at"))
    at = next((at for at in map(read_time_us, times) if at is not None), None)
    if at is None:
        raise ValueError("it has no time")
    metadata = (event or {}).get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    settled_us = read_time_us(told.get("settled_at"))
    return LedgerRow(
        file=file,
        external_id=external_id,
        state=State(state),
        at_unix_us=at,
        settled_at=None if settled_us is None else settled_us / _US_PER_S,
        customers=_customers(*(_as(str, told, key) for key in ("external_customer_id", "customer_id"))),
        provider=_as(str, told, "provider"),
        model=_as(str, told, "model"),
        tokens=(
            _as(int, told, "input_tokens"),
            _told(metadata, "cache_read_tokens", None),
            _told(metadata, "cache_write_tokens", None),
            _as(int, told, "output_tokens"),
        ),
        cost_nanos=_as(int, told, "cost_nanos"),
        event=event,
    )


def _customers(external_customer_id: str | None, customer_id: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (external_customer_id, customer_id and polar_id(customer_id))))


def _as(kind: type[_Kind], told: Any, key: str) -> _Kind | None:
    value = told.get(key)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{key} is not what it has to be")


def _told(metadata: Mapping[str, Any], key: str, otherwise: int | None) -> int | None:
    value = metadata.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
