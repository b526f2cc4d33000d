"""Whether a storm did any harm: what the applications know, what Polar has, and what is left on disk, side by side."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.child import CONTENT, CUSTOMER, KNOWN_ID, TOKEN, UNKNOWN_ID
from tests.chaos.polar import NO_SUCH_CUSTOMER, NO_SUCH_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tests.chaos.polar import Event
    from tests.chaos.receipts import Call, Receipts

REASONS: Final = {"schema": NO_SUCH_TAG, "semantic": NO_SUCH_CUSTOMER}
"""By poison: what stands in the outbox of an event that Polar refuses for it."""

_SECRETS: Final = (TOKEN, CUSTOMER, CONTENT, KNOWN_ID, UNKNOWN_ID)
_NOT_IN_THE_LOG: Final = (*_SECRETS, "Fatal Python error")
_OF_THE_APPLICATION: Final = "SystemExit: 0"
"""Raised by its handler of SIGTERM; where Python cannot pass that on, such as in a fork, it prints it."""

_LEFT: Final = re.compile(
    r"outbox-[0-9a-f]{8}(\.db(-wal|-shm|\.lock)?|-[0-9a-f]{16}\.journal)|options\.(json|\d+\.new)|orders"
)
_TRACEBACK: Final = re.compile(r"^Traceback .*\n(?:[ \t].*\n|\n)*.*$", re.MULTILINE)
_OURS: Final = ("/otel_polar/", "/tests/chaos/")


@dataclass(slots=True)
class Row:
    """One event in an outbox."""

    external_id: str
    state: str
    reason: str | None
    body: str | None


@dataclass(slots=True)
class Evidence:
    """All there is to be judged."""

    receipts: Receipts
    ledger: Mapping[str, Event]
    rewritten: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """Of every outbox that is left."""

    unread: int = 0
    """Calls recorded and not decided."""

    files: list[str] = field(default_factory=list)
    deaths: int = 0
    """Processes that did not end by themselves."""

    logs: dict[str, str] = field(default_factory=dict)
    """By process."""

    readable: bytes = b""
    """What lies in the outbox directory, byte by byte."""


def problems(evidence: Evidence) -> list[str]:
    """Everything that is wrong, in words; empty if every call is billed exactly once and nothing was given away."""
    return [
        *_of_calls(evidence),
        *_of_events(evidence),
        *_of_outboxes(evidence),
        *_of_secrets(evidence),
    ]


def _of_calls(evidence: Evidence) -> Iterator[str]:
    receipts = evidence.receipts
    billed = Counter(_key(event) for event in evidence.ledger.values())
    rejected = {_key(json.loads(row.body or "{}")): row for row in evidence.rows if row.state == "rejected"}
    for key, call in receipts.calls.items():
        has_ended = key in receipts.ended
        row = rejected.get(key)
        if call.poison not in REASONS:
            if billed[key] > 1 or (has_ended and billed[key] == 0):
                yield f"{key} ({'ended' if has_ended else 'not ended'}) is in Polar {billed[key]} times"
            if row is not None:
                yield f"{key} was rejected, and is as good as any: {row.reason}"
        elif row is None:
            if has_ended:
                yield f"{key} can never be taken ({call.poison}), and is not among the rejected"
        elif REASONS[call.poison] not in (row.reason or ""):
            yield f"{key} was rejected for another reason than {call.poison}: {row.reason}"
    open_calls = Counter(key.rsplit(".", 1)[0] for key in receipts.calls if key not in receipts.ended)
    for thread, count in open_calls.items():
        if count > 1 or thread.rsplit(".", 1)[0] in receipts.finished:
            yield f"{count} calls of thread {thread} have not ended: the receipts are wrong"


def _of_events(evidence: Evidence) -> Iterator[str]:
    for external_id, event in evidence.ledger.items():
        call = evidence.receipts.calls.get(_key(event))
        if call is None:
            yield f"{external_id} is in Polar, and nobody made that call"
        elif call.poison in REASONS:
            yield f"{call.key} is in Polar, which refuses it"
        else:
            yield from _differences(call, event)
    for external_id in evidence.rewritten:
        yield f"{external_id} came again, and was not the same"


def _differences(call: Call, event: Event) -> Iterator[str]:
    """What is not as the application made it, on the event of a call."""
    metadata: dict[str, Any] = event["metadata"]
    customer = event.get("external_customer_id") or event.get("customer_id")
    llm = metadata.get("_llm", {})
    cents = Decimal(metadata.get("_cost", {}).get("amount", 0))
    for what, is_there, should_be in (
        ("customer", customer, call.customer),
        ("input tokens", metadata.get("input_tokens"), call.input_tokens),
        ("cached tokens", metadata.get("cache_read_tokens"), call.cached_tokens),
        ("output tokens", metadata.get("output_tokens"), call.output_tokens),
        ("cost in nanos", metadata.get("cost_nanos"), call.cost_nanos),
        ("cost in cents", cents, Decimal(call.cost_nanos) / 10_000_000),
        ("input tokens of _llm", llm.get("input_tokens"), call.input_tokens),
        ("cached tokens of _llm", llm.get("cached_input_tokens"), call.cached_tokens),
        ("output tokens of _llm", llm.get("output_tokens"), call.output_tokens),
    ):
        if is_there != should_be:
            yield f"{call.key}: {what} should be {should_be}, is {is_there}"


def _of_outboxes(evidence: Evidence) -> Iterator[str]:
    if evidence.unread:
        yield f"{evidence.unread} calls lie undecided on disk"
    states = Counter(row.state for row in evidence.rows)
    for state, count in states.items():
        if state not in {"sent", "rejected"}:
            yield f"{count} events are left {state}"
    sent = {row.external_id for row in evidence.rows if row.state == "sent"}
    for external_id in sent - evidence.ledger.keys():
        yield f"{external_id} is said to be sent, and is not in Polar"
    for external_id in evidence.ledger.keys() - sent:
        yield f"{external_id} is in Polar, and no outbox says so"
    for name in evidence.files:
        if not _LEFT.fullmatch(name):
            yield f"{name} is left on disk"
    outboxes = {name for name in evidence.files if name.endswith(".db")}
    locks = {name.removesuffix(".lock") for name in evidence.files if name.endswith(".lock")}
    if len(outboxes) > 1:
        yield f"more than one outbox is left: {sorted(evidence.files)}"
    # A process that dies in the moment between its file and its lock, or before a rename, leaves one of them.
    unfinished = [name for name in evidence.files if name.endswith(".new")]
    if len(locks - outboxes) + len(unfinished) > evidence.deaths:
        yield f"more is left than the dead could leave: {sorted(evidence.files)}"


def _of_secrets(evidence: Evidence) -> Iterator[str]:
    for name, log in evidence.logs.items():
        lines = log.splitlines()
        yield from (f"{name} says: {line}" for line in lines if any(word in line for word in _NOT_IN_THE_LOG))
        for traceback in _TRACEBACK.findall(log):
            is_ours = any(place in traceback for place in _OURS)
            if is_ours and not traceback.endswith(_OF_THE_APPLICATION):
                yield f"{name} says:\n{traceback}"
    if CONTENT.encode() in evidence.readable or CONTENT in json.dumps(list(evidence.ledger.values())):
        yield "content of a span was kept"
    if TOKEN.encode() in evidence.readable:
        yield "the access token was kept"


def _key(event: Event) -> str:
    return str(event.get("metadata", {}).get("call"))


def read_outboxes(directory: Path, evidence: Evidence) -> None:
    """Add what lies in every outbox below *directory*; nobody uses them any more."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    evidence.files = [path.name for path in files]
    evidence.readable = b"".join(path.read_bytes() for path in files)
    consumed: dict[str, int] = {}
    for path in files:
        # What was put aside is harm by itself.
        if path.suffix == ".db" and path.name.startswith("outbox-"):
            with closing(sqlite3.connect(path)) as connection:
                query = "SELECT external_id, state, reason, body FROM events"
                evidence.rows += [Row(*row) for row in connection.execute(query)]
                evidence.unread += connection.execute("SELECT count(*) FROM intake").fetchone()[0]
                consumed |= dict(connection.execute("SELECT segment, consumed FROM journal"))
    evidence.unread += sum(_unread_lines(path, consumed) for path in files if path.suffix == ".journal")


def _unread_lines(segment: Path, consumed: Mapping[str, int]) -> int:
    return segment.read_bytes()[consumed.get(segment.name, 0) :].count(b"\n")


def in_short(found: Iterable[str], limit: int = 12) -> str:
    """The first few of them, and how many there are."""
    lines = list(found)
    return "\n".join([f"{len(lines)} problems", *lines[:limit]])
