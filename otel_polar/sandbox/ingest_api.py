"""``POST /v1/events/ingest``: two phases of checks, one transaction, and the faults a test has ordered.

The schema is checked first and hides what the second phase would find: a customer or member that does not exist.

Source: polarsource/polar, server/polar/event/service.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers
from otel_polar.sandbox.faults import CannedAnswer, FaultQueue, IngestRequest
from otel_polar.sandbox.ingest import ParsedEvent, read_batch
from otel_polar.sandbox.scalars import Problem, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from otel_polar.sandbox.store import SandboxStore


class Endpoint(Protocol):
    """An endpoint, or a guard around one."""

    async def __call__(self, request: Request, /) -> Response:
        """Answer the request."""
        ...


@dataclass(frozen=True, slots=True)
class Ingest:
    """Stores a batch, or refuses all of it."""

    store: SandboxStore

    async def __call__(self, request: Request, /) -> Response:
        """Answer with how many events were new and how many were there already."""
        body = await answers.read_json(request)
        now = datetime.fromtimestamp(self.store.now(), UTC)
        events = read_batch(body, now=now)
        if problems := self._find_strangers(events):
            return answers.semantic_error(problems)
        inserted = self.store.insert_events(events)
        return JSONResponse({"inserted": inserted, "duplicates": len(events) - inserted})

    def _find_strangers(self, events: Iterable[ParsedEvent]) -> list[Problem]:
        customer_ids = frozenset(customer.id for customer in self.store.customers())
        member_ids = self.store.member_ids()
        return [
            problem
            for index, event in enumerate(events)
            for problem in _strangers_of(event, ("body", "events", index), customer_ids, member_ids)
        ]


def _strangers_of(
    event: ParsedEvent, place: tuple[str | int, ...], customer_ids: frozenset[str], member_ids: frozenset[str]
) -> Iterable[Problem]:
    if event.organization_id is not None:
        message = "Setting organization_id is disallowed when using an organization token."
        yield Problem("organization_token", message, event.organization_id, (*place, "organization_id"))
    if event.customer_id is not None and event.customer_id not in customer_ids:
        yield Problem("customer_id", "Customer not found.", event.customer_id, (*place, "customer_id"))
    if event.member_id is not None and event.member_id not in member_ids:
        yield Problem("member_id", "Member not found.", event.member_id, (*place, "member_id"))


@dataclass(frozen=True, slots=True)
class FaultyIngest:
    """Puts the ordered fault in place of the true answer, and records every request."""

    truth: Endpoint
    faults: FaultQueue

    async def __call__(self, request: Request, /) -> Response:
        """Answer with the truth, or with the fault that waits for this request."""
        fault = self.faults.take()
        event_count = await _count_events(request)
        response = await self.truth(request) if fault is None or fault.after_commit else None
        if fault is not None:
            response = HangUp() if fault.status is None else _canned(fault)
        assert response is not None  # noqa: S101 - without a fault the truth has answered
        status = None if isinstance(response, HangUp) else response.status_code
        self.faults.record(IngestRequest(dict(request.headers), event_count, status))
        return response


def _canned(fault: CannedAnswer) -> Response:
    return Response(fault.body, fault.status or 500, dict(fault.headers))


async def _count_events(request: Request) -> int | None:
    try:
        body = await answers.read_json(request)
        return len(body["events"])
    except (RefusedError, answers.UnreadableBodyError, LookupError, TypeError):
        return None


class HangUp(Response):
    """Closes the connection instead of answering, as a crashing proxy does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection, then wait until the server has noticed."""
        del send
        scope["state"]["transport"].abort()
        while (await receive())["type"] != "http.disconnect":
            pass
