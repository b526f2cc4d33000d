"""What ``otel-polar demo`` does: real calls of the real ``openai`` client, billed by the real engine, and then checked.

Nothing here knows what an event should cost: the tokens are those the client itself got from the endpoint, and the cost
is what arrived. A table worked out by hand stands in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openai import OpenAI
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from polar.v2026_10 import Polar

from otel_polar import PolarSpanProcessor, bill_to
from otel_polar.sandbox.openai_api import OpenAIServer, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

ACCESS_TOKEN: Final = "polar_oat_demo"  # noqa: S105 - the sandbox takes any
FLUSH_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class DemoCall:
    """One call to make, and the tokens the endpoint will say it took."""

    user: str
    plan: str
    kind: str
    model: str
    text: str
    input_tokens: int
    output_tokens: int = 0


CALLS: Final = (
    DemoCall("alice", "pro", "chat", "gpt-4o-mini", "Summarise this contract.", 812, 142),
    DemoCall("alice", "pro", "stream", "gpt-4o", "Draft a reply to the supplier.", 1_200, 350),
    DemoCall("alice", "pro", "embeddings", "text-embedding-3-small", "All clauses of the contract", 2_400),
    DemoCall("bob", "free", "chat", "gpt-4o-mini", "What is a usage event?", 95, 40),
    DemoCall("bob", "free", "stream", "gpt-4o-mini", "Explain it to a child.", 310, 220),
    DemoCall("carol", "pro", "chat", "gpt-4.1-mini", "Review this pull request.", 5_000, 800),
    DemoCall("carol", "pro", "embeddings", "text-embedding-3-large", "The whole diff", 900),
)


@dataclass(frozen=True, slots=True)
class UserTotal:
    """What one user used: as the client saw it, and as it arrived at Polar. Costs are billionths of a dollar."""

    user: str
    calls: int
    events: int
    client_tokens: int
    input_tokens: int
    output_tokens: int
    cost_nanos: int

    @property
    def adds_up(self) -> bool:
        """One event per call, with the client's tokens, and a cost."""
        same_tokens = self.client_tokens == self.input_tokens + self.output_tokens
        return self.calls == self.events and same_tokens and self.cost_nanos > 0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The totals of every user, and whether every event was delivered."""

    totals: tuple[UserTotal, ...]
    delivered: bool

    @property
    def adds_up(self) -> bool:
        """Whether everything arrived and every user's total is right."""
        return self.delivered and all(total.adds_up for total in self.totals)


def run_demo(polar: SandboxServer, outbox_dir: Path) -> DemoResult:
    """Make all calls against a local endpoint, deliver, and compare."""
    provider = TracerProvider(resource=Resource.create({"service.name": "otel-polar-demo"}))
    processor = PolarSpanProcessor(access_token=ACCESS_TOKEN, base_url=polar.url, outbox_dir=outbox_dir)
    provider.add_span_processor(processor)
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    users = tuple(dict.fromkeys(call.user for call in CALLS))
    tokens = dict.fromkeys(users, 0)
    try:
        _create_customers(polar.url, users)
        with OpenAIServer(usage=_usage_of) as endpoint, OpenAI(base_url=endpoint.base_url, api_key="demo") as client:
            for call in CALLS:
                with bill_to(call.user, plan=call.plan):
                    tokens[call.user] += _make(client, call)
        delivered = processor.force_flush(int(FLUSH_TIMEOUT_S * 1_000))
    finally:
        instrumentor.uninstrument()
        provider.shutdown()
    events = polar.events()
    return DemoResult(totals=tuple(_total(user, tokens[user], events) for user in users), delivered=delivered)


def _create_customers(base_url: str, users: Iterable[str]) -> None:
    # As an application does at sign-up: Polar never bills usage that came before its customer existed.
    with Polar(ACCESS_TOKEN, base_url=base_url) as polar:
        for user in users:
            polar.customers.create(external_id=user, email=f"{user}@example.com", name=user.title())


def _usage_of(_endpoint: str, body: dict[str, Any]) -> Usage | None:
    text = body["input"] if "input" in body else body["messages"][0]["content"]
    text = text if isinstance(text, str) else text[0]
    for call in CALLS:
        if call.text == text:
            return Usage(input_tokens=call.input_tokens, output_tokens=call.output_tokens)
    return None


def _make(client: OpenAI, call: DemoCall) -> int:
    """Make the call; the tokens the client was told."""
    if call.kind == "embeddings":
        return client.embeddings.create(model=call.model, input=call.text).usage.total_tokens
    if call.kind == "chat":
        completion = client.chat.completions.create(
            model=call.model,
            messages=[{"role": "user", "content": call.text}],
        )
        return completion.usage.total_tokens if completion.usage is not None else 0
    chunks = client.chat.completions.create(
        model=call.model,
        messages=[{"role": "user", "content": call.text}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return sum(chunk.usage.total_tokens for chunk in chunks if chunk.usage is not None)


def _total(user: str, client_tokens: int, events: list[dict[str, Any]]) -> UserTotal:
    metadata = [event["metadata"] for event in events if event["external_customer_id"] == user]
    return UserTotal(
        user=user,
        calls=sum(call.user == user for call in CALLS),
        events=len(metadata),
        client_tokens=client_tokens,
        input_tokens=sum(values["input_tokens"] for values in metadata),
        output_tokens=sum(values["output_tokens"] for values in metadata),
        cost_nanos=sum(values["cost_nanos"] for values in metadata),
    )
