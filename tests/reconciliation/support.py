"""A ledger and a Polar with the same events, and ways to make them differ."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from otel_polar.delivery.disk.files import directory_name
from otel_polar.delivery.disk.outbox import Outbox
from otel_polar.delivery.disk.rows import Decided, State
from tests.delivery.support import TOKEN, a_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Body = dict[str, Any]

HOUR_S = 3_600.0
YESTERDAY = time.time() - 26 * HOUR_S
"""Unix seconds, whatever the day: long enough ago to be compared."""


def iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def a_body(number: int, *, at: float | None = None, **changes: Any) -> Body:
    """An event as this package freezes it; *changes* are of its metadata."""
    tokens = 100 + number % 50
    metadata = {
        "provider": "openai",
        "model": "gpt-4o-mini-2024-07-18",
        "operation": "chat",
        "requests": 1,
        "input_tokens": tokens,
        "output_tokens": 10,
        "total_tokens": tokens + 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost_nanos": tokens * 150 + 6_000,
        "cost_currency": "usd",
        "price_source": "genai-prices",
        "price_approximate": False,
        "_cost": {"amount": f"{(tokens * 150 + 6_000) / 10_000_000:.12f}", "currency": "usd"},
        "generation_id": f"chatcmpl-{number:029d}",
        "duration_ms": 500,
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "_llm": {
            "vendor": "openai",
            "model": "gpt-4o-mini-2024-07-18",
            "input_tokens": tokens,
            "cached_input_tokens": 0,
            "output_tokens": 10,
            "total_tokens": tokens + 10,
        },
        **changes,
    }
    return {
        "name": "llm_usage",
        "external_customer_id": f"user_{number % 10}",
        "external_id": f"openai:chatcmpl-{number:029d}",
        "timestamp": iso(YESTERDAY + number / 8 if at is None else at),
        "metadata": {key: value for key, value in metadata.items() if value is not None},
    }


def keep(
    directory: Path,
    bodies: Sequence[Body],
    *,
    state: State = State.SENT,
    settled_at: float = YESTERDAY + HOUR_S,
    name: str = "outbox-1.db",
) -> None:
    """Have these events in an outbox file."""
    directory.mkdir(parents=True, exist_ok=True)
    outbox = Outbox(directory / name)
    for begin in range(0, len(bodies), 1_000):
        portion = bodies[begin : begin + 1_000]
        for _ in portion:
            outbox.record(a_record(), YESTERDAY)
        recorded = outbox.recorded(limit=len(portion))
        frozen = state in {State.SENT, State.READY, State.REJECTED}
        outbox.decide(
            [
                Decided(
                    row,
                    body["external_id"],
                    State.READY if frozen else state,
                    None if frozen else "why",
                    json.dumps(body) if frozen else None,
                )
                for row, body in zip(recorded, portion, strict=True)
            ],
            now=YESTERDAY,
        )
    with outbox.database.transaction() as transaction:
        if state is State.SENT:
            transaction.run_many(
                "UPDATE events SET state = 'sent', settled_at = ?, call = NULL WHERE external_id = ?",
                [(settled_at, body["external_id"]) for body in bodies],
            )
        if state is State.REJECTED:
            transaction.run_many(
                "UPDATE events SET state = 'rejected', reason = 'no' WHERE external_id = ?",
                [(body["external_id"],) for body in bodies],
            )
    outbox.close()


def ingest(url: str, bodies: Iterable[Body]) -> None:
    """Have these events on Polar."""
    waiting = list(bodies)
    for begin in range(0, len(waiting), 1_000):
        send(url, "/v1/events/ingest", {"events": waiting[begin : begin + 1_000]})


def send(url: str, path: str, body: Any) -> Any:
    request = Request(  # noqa: S310 - the local Polar
        f"{url}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urlopen(request) as answer:  # noqa: S310 - as above
        return json.load(answer)


def a_meter(name: str, aggregation: dict[str, str], *clauses: tuple[str, str, Any]) -> Any:
    """The JSON of a meter; *clauses* are property, operator and value, all of which must fit."""
    return {
        "name": name,
        "filter": {
            "conjunction": "and",
            "clauses": [{"property": one, "operator": two, "value": three} for one, two, three in clauses],
        },
        "aggregation": aggregation,
    }


def settings_of(url: str, outbox_dir: Path) -> dict[str, str]:
    """The environment of the command."""
    return {"POLAR_ACCESS_TOKEN": TOKEN, "POLAR_BASE_URL": url, "OTEL_POLAR_OUTBOX_DIR": str(outbox_dir)}


def directory_of(url: str, outbox_dir: Path) -> Path:
    """Where its ledger lies."""
    return outbox_dir / directory_name("sandbox", url, TOKEN)
