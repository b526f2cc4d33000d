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
    method: str | None = None,
    timeout_s: float = 10,
) -> Answer:
    """Send one request without the SDK, which refuses to send what a broken client would."""
    parts = urlsplit(server.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    sent = {"content-type": "application/json", **(headers or {})}
    if token is not None:
        sent.setdefault("authorization", f"Bearer {token}")
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
        response = connection.getresponse()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def patch(server: SandboxServer, path: str, **fields: Any) -> Answer:
    """Change something."""
    return call(server, path, json.dumps(fields).encode(), method="PATCH")


def post(server: SandboxServer, path: str, **fields: Any) -> Answer:
    """Create something."""
    return call(server, path, json.dumps(fields).encode())


def refusals(answer: Answer) -> list[tuple[str, list[str | int], str]]:
    """The type, the place and the message of each entry of a 422."""
    assert answer.status == 422, answer.body
    return [(item["type"], item["loc"], item["msg"]) for item in answer.json["detail"]]


def ingest(server: SandboxServer, *events: Any, **options: Any) -> Answer:
    """Send a batch."""
    return call(server, "/v1/events/ingest", json.dumps({"events": events}).encode(), **options)
