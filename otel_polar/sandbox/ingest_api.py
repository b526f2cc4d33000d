"""``POST /v1/events/ingest``: two phases of checks, one transaction.

The schema is checked first and hides what the second phase would find: a customer or member that does not exist.

Source: polarsource/polar, server/polar/event/service.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers
from otel_polar.sandbox.ingest import ParsedEvent, read_batch
from otel_polar.sandbox.scalars import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from otel_polar.sandbox.store import SandboxStore


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
        customer_ids = self.store.customer_ids()
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
