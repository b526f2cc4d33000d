"""What the tests of delivery share: a clock that stands still, calls, settings, and a sender's far end."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otel_polar.billing.call import ModelCall
from otel_polar.billing.customer import Customer
from otel_polar.billing.usage import TokenUsage
from otel_polar.delivery.disk.record import dump_call
from otel_polar.delivery.disk.rows import Decided, Recorded, State
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.outcome import Outcome
    from otel_polar.delivery.pipeline import Pipeline

TOKEN = "polar_oat_test"
NOON = 1_790_856_000.0
"""2026-10-01T12:00:00Z."""

DATE_OF_NOON = "Thu, 01 Oct 2026 12:00:00 GMT"
"""As Polar's answers say it."""

START_UNIX_NANO = 1_790_855_999_000_000_000


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


def a_call(number: int = 0, **changes: Any) -> ModelCall:
    """A billable call; each *number* is another one."""
    fields: dict[str, Any] = {
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "start_time_unix_nano": START_UNIX_NANO,
        "end_time_unix_nano": START_UNIX_NANO + 500_000_000,
        "scope_name": "opentelemetry.util.genai.handler",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "response_id": None,
        "service_tier": None,
        "server_address": None,
        "service_name": None,
        "usage": TokenUsage(uncached_input_tokens=100, visible_output_tokens=10),
        "customer": Customer(external_customer_id="user_42"),
        **changes,
    }
    return ModelCall(**fields)


def a_record(number: int = 0, **changes: Any) -> str:
    """The same call as it lies in the intake."""
    return dump_call(a_call(number, **changes))


def settings(**options: Any) -> Settings:
    """Settings that read nothing from the environment."""
    return Settings.load({}, **{"access_token": TOKEN, "settle_s": 0.0, "linger_s": 0.0, **options})


def ready(outbox: Outbox, numbers: Sequence[int], *, now: float = NOON, body: str | None = None) -> None:
    """Put events into the ledger that are ready to be sent, one per number."""
    for number in numbers:
        outbox.record(a_record(number), now)
    outbox.decide(
        [
            Decided(recorded, f"event-{number}", State.READY, body=body or a_body(number))
            for recorded, number in zip(outbox.recorded(limit=10_000), numbers, strict=True)
        ],
        now=now,
    )


def a_body(number: int) -> str:
    """A frozen event that Polar takes."""
    return json.dumps(
        {
            "name": "llm_usage",
            "external_customer_id": "user_42",
            "external_id": f"event-{number}",
            "timestamp": "2026-10-01T11:59:59.000000Z",
            "metadata": {"input_tokens": number},
        },
    )


def a_recorded(seq: int = 1, *, call: str | None = None) -> Recorded:
    """A row of the intake."""
    return Recorded(seq=seq, recorded_at=NOON, call=call or a_record())


@dataclass
class FarEnd:
    """Answers a sender's batches from a list, and remembers them. The last answer is given again and again."""

    outcomes: list[Outcome] = field(default_factory=list)
    batches: list[list[str]] = field(default_factory=list)

    def __call__(self, bodies: Sequence[str]) -> Outcome:
        self.batches.append([json.loads(body)["external_id"] for body in bodies])
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


PAGE_BYTES = 4_096


def damage_page(path: Path, *, page: int) -> None:
    """Overwrite a page of an outbox file, as a bad sector would: it opens, and a part of it cannot be read."""
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)


def damage_last_page(path: Path) -> None:
    """Overwrite the last page, which holds rows."""
    damage_page(path, page=path.stat().st_size // PAGE_BYTES - 1)


@contextmanager
def full_disk(outbox: Outbox) -> Iterator[None]:
    """Let the journal of an outbox be on a disk without room."""
    journal = outbox.journal
    assert journal is not None
    assert outbox.path is not None
    with journal.lock:
        journal.close()
        journal._current = outbox.path.with_name(f"{outbox.path.stem}-full.journal")
        journal._current.touch()
        journal._descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        yield
    finally:
        # The next call begins another segment.
        journal.close()


def let_go(pipeline: Pipeline) -> None:
    """Give its file up, as the operating system does when a process ends."""
    storage = pipeline._storage
    assert storage._own is not None
    storage._own.release()
    storage._own = None
