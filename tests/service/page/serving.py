"""A pipeline with its status page on a loopback port, and calls for it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.applications import Starlette

from otel_polar.billing.customer import Customer, Unattributed
from otel_polar.billing.span import SpanRecord
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.service.page import Source, create_page
from tests.delivery.support import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NOBODY: Final = Unattributed("no customer on the span, on one around it or in baggage")


class Service:
    """What ``otel-polar serve`` has behind its page."""

    def __init__(self, base_url: str, outbox_dir: Path, **options: Any) -> None:
        self.settings = settings(base_url=base_url, outbox_dir=outbox_dir, shutdown_timeout_s=1.0, **options)
        self.pipeline = Pipeline(self.settings)
        self.counters: Mapping[str, int] = {}
        self.why_not_ready: str | None = None
        self._number = 0

    def source(self, **changes: Any) -> Source:
        """What the page is given."""
        fields: dict[str, Any] = {
            "settings": self.settings,
            "outboxes": lambda: self.pipeline.outboxes,
            "telemetry": self.pipeline._telemetry,
            "counters": lambda: self.counters,
            "why_not_ready": lambda: self.why_not_ready,
            **changes,
        }
        return Source(**fields)

    def call(self, customer: str | Unattributed = "user_42", *, ago_s: float = 0.0, **attributes: Any) -> None:
        """A finished call to a model; ``.`` in names is written ``__``, and ``None`` leaves one out."""
        self._number += 1
        end = time.time_ns() - int(ago_s * 1e9)
        told = {
            "gen_ai__operation__name": "chat",
            "gen_ai__provider__name": "openai",
            "gen_ai__request__model": "gpt-4o-mini",
            "gen_ai__usage__input_tokens": 1_000,
            "gen_ai__usage__output_tokens": 100,
            **attributes,
        }
        span = SpanRecord(
            name="chat",
            trace_id=f"{self._number:032x}",
            span_id=f"{self._number:016x}",
            start_time_unix_nano=end - 1_000_000,
            end_time_unix_nano=end,
            failed=False,
            scope_name="opentelemetry.util.genai.handler",
            attributes={key.replace("__", "."): value for key, value in told.items() if value is not None},
            resource_attributes={},
        )
        payer = customer if isinstance(customer, Unattributed) else Customer(external_customer_id=customer)
        self.pipeline.take(span, payer, {})


@contextmanager
def served(source: Source) -> Iterator[str]:
    """The address of the page."""
    with create_page(source) as page:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(Starlette(routes=list(page.routes)), log_config=None, lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            listener.close()


def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """What *condition* answers, when that is true at last."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return answer
