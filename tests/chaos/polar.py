"""A Polar that misbehaves: its ingest endpoint on loopback, the way it answers when well, and a ledger to look into.

It imports nothing of what it judges, and is written from Polar's own answers: a batch is stored as a whole or not at
all, the first event of an ``external_id`` counts for ever, an unknown customer is found only when every event is well
formed.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from tests.chaos.weather import A_DATE, FAIR, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType

Event: TypeAlias = "dict[str, Any]"

NO_SUCH_TAG: Final = "Input should be a valid string"
NO_SUCH_CUSTOMER: Final = "Customer not found."
IN_THE_FUTURE: Final = "Value error, Timestamp must be in the past."


class Polar:
    """The server and its ledger. Its door may be closed, its address stays its own until the ``with`` block ends."""

    def __init__(
        self,
        weather: Iterator[Turn],
        *,
        token: str,
        customer_ids: Collection[str],
        curses: bool = False,
    ) -> None:
        self.weather = weather
        self.token = token
        self._customer_ids = customer_ids
        self.ledger: dict[str, Event] = {}
        self.rewritten: list[str] = []
        """External ids of events that came again and were not the same: an amount that is known had been changed."""

        self.turns: Counter[str] = Counter()
        self.refused_tokens = 0
        self.is_cursed = curses
        """It fails on some events, by whatever they are in it, as long as this lasts."""

        self.on_kill: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        # Bound and never listening: while the door is closed nobody else gets the address.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._place.getsockname()
        self._door: ThreadingHTTPServer | None = None
        self._is_closing = threading.Event()
        self._outages: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Where applications find it."""
        return f"http://127.0.0.1:{self.address[1]}"

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        for outage in self._outages:
            outage.join()
        self._close()
        self._place.close()

    def calm(self) -> None:
        """From now on it behaves, and its door is open."""
        self.weather = iter(lambda: FAIR, None)
        self.is_cursed = False
        for outage in self._outages:
            outage.join()

    def next_turn(self) -> Turn:
        """What becomes of the next request."""
        with self._lock:
            turn = next(self.weather)
            self.turns[turn.kind] += 1
            return turn

    def ingest(self, events: Sequence[Event], turn: Turn) -> tuple[int, Any]:
        """Store a batch or refuse it; the true answer."""
        if detail := _malformed(events, clock_is_behind=turn.clock_is_behind):
            return 422, {"error": "RequestValidationError", "detail": detail}
        if detail := self._not_to_be_found(events):
            return 422, {"error": "PolarRequestValidationError", "detail": detail}
        if self.is_cursed and any(event["metadata"].get("poison") == "curse" for event in events):
            return 500, "Internal Server Error"
        if not turn.commits:
            return 200, {"inserted": len(events) + turn.off_by, "duplicates": 0}
        with self._lock:
            inserted = sum(self._insert(event) for event in events)
        return 200, {"inserted": inserted + turn.off_by, "duplicates": len(events) - inserted}

    def _insert(self, event: Event) -> bool:
        key = event["external_id"]
        if key not in self.ledger:
            self.ledger[key] = event
            return True
        if self.ledger[key] != event:
            self.rewritten.append(key)
        return False

    def _not_to_be_found(self, events: Sequence[Event]) -> list[Event]:
        return [
            {"type": "customer_id", "loc": ["body", "events", index, "customer_id"], "msg": NO_SUCH_CUSTOMER}
            | {"input": event["customer_id"]}
            for index, event in enumerate(events)
            if "customer_id" in event and event["customer_id"] not in self._customer_ids
        ]

    def begin_outage(self, seconds: float) -> None:
        """Close the door, and open it again after so long."""
        outage = threading.Thread(target=self._be_out, args=(seconds,))
        with self._lock:
            if any(other.is_alive() for other in self._outages):
                return
            self._outages.append(outage)
            outage.start()

    def _be_out(self, seconds: float) -> None:
        self._close()
        self._is_closing.wait(seconds)
        self._open()

    def _open(self) -> None:
        self._door = _Door(self.address, self)
        threading.Thread(target=self._door.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self) -> None:
        door = self._door
        if door is not None:
            door.shutdown()
            door.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def has_connected(self, connection: socket.socket) -> None:
        """Somebody is here."""
        with self._lock:
            self._connections.add(connection)

    def has_gone(self, connection: socket.socket) -> None:
        """They are not any more."""
        with self._lock:
            self._connections.discard(connection)


def _malformed(events: Sequence[Event], *, clock_is_behind: bool) -> list[Event]:
    """Errors of form, both variants of an event tried, as Polar does: so there is a spurious one for each."""
    now = datetime.now(UTC)
    found: list[Event] = []
    for index, event in enumerate(events):
        field = None
        if event.get("metadata", {}).get("poison") == "schema":
            field, message = ["metadata", "poison", "str"], NO_SUCH_TAG
        elif datetime.fromisoformat(event["timestamp"]) > now or (clock_is_behind and index == len(events) // 2):
            field, message = ["timestamp"], IN_THE_FUTURE
        if field is None:
            continue
        for variant, problem, text in (
            ("EventCreateCustomer", ["customer_id"], "Field required"),
            ("EventCreateCustomer", field, message),
            ("EventCreateExternalCustomer", field, message),
        ):
            loc = ["body", "events", index, variant, *problem]
            found.append({"type": "value_error", "loc": loc, "msg": text, "input": event})
    return found


class _Door(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], polar: Polar) -> None:
        self.polar = polar
        super().__init__(address, _Request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Applications die in the middle of requests: that is what this is for."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Door

    def setup(self) -> None:
        super().setup()
        self.server.polar.has_connected(self.connection)

    def finish(self) -> None:
        self.server.polar.has_gone(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *arguments: object) -> None:
        """Nothing: the turns are counted."""

    def do_POST(self) -> None:
        polar = self.server.polar
        turn = polar.next_turn()
        if turn.outage_s:
            polar.begin_outage(turn.outage_s)
        if turn.cut == "before reading":
            self._reset()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self._judge(body, turn)
        if turn.kills:
            polar.on_kill()
        if turn.delay_s:
            time.sleep(turn.delay_s)
        if turn.cut == "no answer":
            self.close_connection = True
            return
        self._answer(turn, status, answer)

    def _judge(self, body: bytes, turn: Turn) -> tuple[int, bytes]:
        polar = self.server.polar
        if self.headers["Authorization"] != f"Bearer {polar.token}":
            polar.refused_tokens += 1
            return 401, b'{"error":"invalid_token"}'
        if self.path != "/v1/events/ingest":
            return 404, b'{"detail":"Not Found"}'
        if not turn.commits and turn.body is not None:
            return turn.status, turn.body
        status, answer = polar.ingest(json.loads(body)["events"], turn)
        if status == 200 and turn.body is not None:
            return turn.status, turn.body
        return status, json.dumps(answer).encode()

    def _answer(self, turn: Turn, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in turn.headers.items():
            self.send_header(name, _in_a_second() if value == A_DATE else value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if turn.cut else body)
        # Polar's own closes the connection after an error of the server.
        if turn.cut or status == 500:
            self.close_connection = True

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _in_a_second() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
