"""What stands around every endpoint of the API: ordered faults outside, then version, rate limit, size and token."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.responses import Response

from otel_polar.sandbox import answers, security
from otel_polar.sandbox.faults import INGEST_PATH, ApiRequest, CannedAnswer, FaultQueue, IngestRequest
from otel_polar.sandbox.scalars import RefusedError, ServerFaultError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from otel_polar.sandbox.security import RateLimiter, Tokens


class Endpoint(Protocol):
    """An endpoint, or a guard around one."""

    async def __call__(self, request: Request, /) -> Response:
        """Answer the request."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before an endpoint of the API."""

    endpoint: Endpoint
    scopes: frozenset[str]
    tokens: Tokens | None
    limiter: RateLimiter

    async def __call__(self, request: Request, /) -> Response:
        """Answer with the first refusal, or let the endpoint answer."""
        version = security.api_version(request)
        if version is None:
            return security.unknown_version()
        response = await self._refuse(request) or await self._answer(request)
        response.headers["polar-version"] = version
        response.headers["x-polar-sandbox"] = "1"
        return response

    async def _refuse(self, request: Request) -> Response | None:
        token = security.bearer_token(request)
        known = security.is_known(token, self.tokens)
        refusal = self.limiter.refuse(security.ORGANIZATION_ID if known else "strangers")
        if refusal is None and request.method in {"POST", "PATCH"}:
            refusal = await security.refuse_body_size(request)
        return refusal or security.refuse_token(token, self.tokens, self.scopes)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self.endpoint(request)
        except RefusedError as error:
            return answers.schema_error(error.problems)
        except answers.UnreadableBodyError:
            return answers.unreadable_body()
        except (ServerFaultError, OverflowError):
            # OverflowError: a sum beyond a double, which PostgreSQL refuses in the middle of a query.
            return answers.server_error()


@dataclass(frozen=True, slots=True)
class Faulty:
    """Puts the ordered fault in place of the true answer, and records every request.

    It stands outside of the gate, so that refused requests are recorded too.
    """

    truth: Endpoint
    faults: FaultQueue

    async def __call__(self, request: Request, /) -> Response:
        """Answer with the truth, or with the fault that waits for this request."""
        fault = self.faults.take(request.method, request.url.path)
        is_ingest = request.url.path == INGEST_PATH
        event_count = await _count_events(request) if is_ingest else None
        if fault is not None and fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        canned = None if fault is None else fault.answer
        if canned is None:
            response = await self.truth(request)
        else:
            if canned.after_commit:
                await self.truth(request)
            response = HangUp() if canned.status is None else _canned(canned, canned.status)
        status = None if isinstance(response, HangUp) else response.status_code
        headers = dict(request.headers)
        self.faults.record(ApiRequest(request.method, request.url.path, request.url.query, headers, status))
        if is_ingest:
            self.faults.record_ingest(IngestRequest(headers, event_count, status))
        return response


def _canned(answer: CannedAnswer, status: int) -> Response:
    return Response(answer.body, status, dict(answer.headers))


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
