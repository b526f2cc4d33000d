"""Price lists as genai-prices publishes them, and a server on loopback that does."""

from __future__ import annotations

import dataclasses
import json
import threading
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from genai_prices.types import ClauseAnd, ClauseOr, ModelPrice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genai_prices.types import Provider


def published(providers: Sequence[Provider]) -> bytes:
    """The lists in the JSON that ``UpdatePrices`` fetches."""
    return json.dumps([_raw(provider) for provider in providers]).encode()


def _raw(value: Any) -> Any:  # noqa: PLR0911 - one line a type
    if isinstance(value, ModelPrice):
        return {key: _raw(price) for key, price in vars(value).items() if price is not None}
    if isinstance(value, ClauseOr):
        return {"or": _raw(value.or_)}
    if isinstance(value, ClauseAnd):
        return {"and": _raw(value.and_)}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _raw(each) for name, each in fields.items() if each is not None and name != "extractors"}
    if isinstance(value, (list, tuple)):
        return [_raw(each) for each in value]
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, (date, time)) else value


class PriceListServer:
    """Answers with ``content``, or with the status ``status`` if that is not 200."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.status = 200
        self.requests = 0
        self.url = ""


@contextmanager
def serving(content: bytes) -> Iterator[PriceListServer]:
    """A server on a port of its own choosing, stopped at the end."""
    state = PriceListServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests += 1
            self.send_response(state.status)
            self.end_headers()
            self.wfile.write(state.content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v2/data.json"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
