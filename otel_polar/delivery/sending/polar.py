"""polar-sdk behind one function: a request with events, and how it ended (see :mod:`otel_polar.delivery.outcome`).

The SDK's exceptions alone do not tell: a ``Retry-After`` that is a date or a garbled answer escapes as ``ValueError``,
server errors lose their headers, a success with an HTML page escapes as ``JSONDecodeError`` (polar-sdk 1.0.2,
``polar/base.py``). So the response itself is kept, and sorted here; what was raised only matters where there is none.

Importing polar-sdk takes about a second: this module is imported by the delivery thread only.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from polar.base import resolve_base_url
from polar.v2026_10.client import SERVERS, Polar
from polar.v2026_10.services.events import EventsSync

from otel_polar.delivery.outcome import Accepted, Denied, Failed, Invalid, RateLimited, TooLarge
from otel_polar.delivery.sending.polar_http import RememberingClient
from otel_polar.polar_api.polar_clock import PolarClock
from otel_polar.polar_api.retry_after import read_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_polar.delivery.outcome import Outcome
    from otel_polar.settings import Settings

MAX_REASON_CHARACTERS: Final = 300

_PORTS: Final = {"https": 443, "http": 80}
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_DENIED: Final = frozenset({401, 403, 404})
_TOO_LARGE: Final = frozenset({411, 413})
_UNPROCESSABLE: Final = 422
_RATE_LIMITED: Final = 429
_DAMAGED: Final = "the stored event is damaged: it is not what was written"
_LOC_OF_EVENT: Final = ["body", "events"]
_EVENT_INDEX: Final = 2


class PolarClient:
    """Polar's ingest endpoint, for one thread of one process. Made anew after a fork: sockets must not be shared."""

    def __init__(self, settings: Settings) -> None:
        base_url = resolve_base_url(SERVERS, settings.server, settings.base_url)
        self.address = urlsplit(base_url)._replace(netloc=urlsplit(base_url).netloc.rpartition("@")[2]).geturl()
        """Where requests go, without a password that may be in it."""
        parts = urlsplit(base_url)
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS.get(parts.scheme)
        self._client = RememberingClient(
            base_url,
            Polar.version,
            settings.access_token or "",
            settings.request_timeout_s,
        )
        self._events = EventsSync(self._client)
        self.clock = PolarClock()
        """What Polar's answers say about the time."""

    @property
    def last_status(self) -> int | None:
        """The HTTP status of the last request; ``None`` if there was none, or no answer."""
        response = self._client.last_response
        return None if response is None else response.status_code

    def ingest(self, bodies: Sequence[str]) -> Outcome:
        """Send events, each a JSON object as it lies in the outbox. Never raises."""
        self._client.forget()
        if foreign := [place for place, body in enumerate(bodies) if not isinstance(body, str) or not body.isascii()]:
            # Written in ASCII: anything else is damage, though Polar might take it.
            return Invalid(dict.fromkeys(foreign, _DAMAGED))
        reason = "the SDK made no request"
        try:
            # They are JSON already, and are not made from what they say a second time.
            self._events.ingest(events=bodies)  # type: ignore[arg-type]  # texts, not dicts
        except Exception as error:  # noqa: BLE001 - the SDK leaks many kinds, and the thread must live
            reason = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS]
        response = self._client.last_response
        if response is None:
            outcome: Outcome = Failed(reason, answered=False)
        else:
            # JSON is UTF-8, whatever charset the answer claims: of some, decoding raises.
            text = response.content.decode(errors="replace")
            outcome = sort_response(response.status_code, response.headers, text, sent=len(bodies))
        # Anybody on the way may answer in Polar's place, but not these.
        if response is not None and isinstance(outcome, Accepted | Invalid):
            self.clock.hear(response.headers.get("date"), time.monotonic())
        if isinstance(outcome, (Failed, Invalid)) and (damaged := _damaged(bodies)):
            return Invalid(dict.fromkeys(damaged, _DAMAGED))
        return outcome

    def close(self) -> None:
        """Close the connections."""
        self._client.__exit__()


def sort_response(status: int, headers: Mapping[str, str], text: str, *, sent: int) -> Outcome:
    """What an answer to a batch of *sent* events means."""
    if status == _OK:
        return _sort_success(text, sent)
    if status == _UNPROCESSABLE:
        return _sort_unprocessable(text, sent)
    if status == _RATE_LIMITED:
        return RateLimited(read_retry_after(headers.get("retry-after"), datetime.now(UTC)))
    if status in _TOO_LARGE:
        return TooLarge()
    if status in _DENIED and (status == _UNAUTHORIZED or _is_polars(text)):
        return Denied(f"{status} {_error_name(text)}".rstrip())
    return Failed(f"HTTP status {status}", answered=True)


def _sort_success(text: str, sent: int) -> Outcome:
    answer = _read_json(text)
    inserted = answer.get("inserted") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(inserted, int):
        return Failed("HTTP status 200 with a body that is not Polar's", answered=True)
    duplicates = answer.get("duplicates")
    if not isinstance(duplicates, int):
        # An older API version does not count them: whatever was not inserted was there.
        duplicates = sent - inserted
    if inserted < 0 or duplicates < 0 or inserted + duplicates != sent:
        # Sending again is safe, settling is not: the events may be nowhere.
        return Failed(f"{sent} events sent, but answered {inserted} inserted, {duplicates} duplicates", answered=True)
    return Accepted(inserted=inserted, duplicates=duplicates)


def _sort_unprocessable(text: str, sent: int) -> Outcome:
    answer = _read_json(text)
    detail = answer.get("detail") if isinstance(answer, dict) else None
    reasons: dict[int, list[str]] = {}
    early: set[int] = set()
    for problem in detail if isinstance(detail, list) else []:
        loc = problem.get("loc") if isinstance(problem, dict) else None
        if not isinstance(loc, list) or loc[:_EVENT_INDEX] != _LOC_OF_EVENT or len(loc) <= _EVENT_INDEX:
            continue
        if loc[-1] == "organization_id":
            # About the token, not the event: rejecting for it would bury everything.
            return Denied("422: an organization access token is needed, not a personal one")
        index = loc[_EVENT_INDEX]
        if not isinstance(index, int) or not 0 <= index < sent:
            continue
        message = str(problem.get("msg", ""))
        if "Timestamp must be in the past" in message:
            early.add(index)
        reasons.setdefault(index, []).append(_reason(loc[_EVENT_INDEX + 1 :], message))
    if not reasons:
        return Failed("HTTP status 422 that names no event", answered=True)
    return Invalid(
        reasons={
            index: "; ".join(dict.fromkeys(messages))[:MAX_REASON_CHARACTERS]
            for index, messages in reasons.items()
            if index not in early
        },
        early=frozenset(early),
    )


def _reason(location: list[object], message: str) -> str:
    # Both variants of an event are tried, so each problem stands once under the variant's name: leave it out.
    fields = [str(part) for part in location if not str(part).startswith("EventCreate")]
    return f"{'.'.join(fields)}: {message}" if fields else message


def _is_polars(text: str) -> bool:
    """Whether a refusal is in Polar's own form: an error's name, or FastAPI's detail for a path that is not there."""
    answer = _read_json(text)
    return isinstance(answer, dict) and (isinstance(answer.get("error"), str) or answer.get("detail") == "Not Found")


def _error_name(text: str) -> str:
    answer = _read_json(text)
    name = answer.get("error") if isinstance(answer, dict) else None
    return name if isinstance(name, str) and name.isidentifier() else ""


def _damaged(bodies: Sequence[str]) -> list[int]:
    """Which of the events are no JSON objects any more, by their places."""
    return [place for place, body in enumerate(bodies) if not isinstance(_read_json(body), dict)]


def _read_json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
