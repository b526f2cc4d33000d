"""What the tests of the sandbox share: a frozen clock, a valid event, and the bare wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_polar.sandbox import SandboxServer

TOKEN = "polar_oat_test"
NOON = 1_790_856_000.0
"""2026-10-01T12:00:00Z."""


def event(**fields: Any) -> dict[str, Any]:
    """A valid event of an external customer, with *fields* on top."""
    return {"name": "llm_usage", "external_customer_id": "user_42", **fields}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    server: SandboxServer,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    token: str | None = TOKEN,
) -> Answer:
    """Send one request without the SDK, which refuses to send what a broken client would."""
    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    sent = {"content-type": "application/json", **(headers or {})}
    if token is not None:
        sent.setdefault("authorization", f"Bearer {token}")
    try:
        connection.request("GET" if body is None else "POST", path, body, sent)
        response = connection.getresponse()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def ingest(server: SandboxServer, *events: Any, **options: Any) -> Answer:
    """Send a batch."""
    return call(server, "/v1/events/ingest", json.dumps({"events": events}).encode(), **options)
