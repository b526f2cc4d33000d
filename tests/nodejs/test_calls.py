"""Specifies what is billed for what JavaScript instrumentations really emit, against what OpenAI counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import pytest

from otel_polar.billing.customer import Customer
from otel_polar.billing.explain import BILLED, NOT_BILLED, UNATTRIBUTED, UNMETERED, Explanation, explain
from otel_polar.billing.usage import TokenUsage
from otel_polar.cli.prices import price_book
from otel_polar.service.otlp import read_json, read_protobuf
from otel_polar.settings import Settings
from tests.nodejs.node import finish, started
from tests.nodejs.vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_polar.sandbox.openai_api import Usage
    from tests.nodejs.receiver import Receiver

pytestmark = pytest.mark.slow

USER: Final = "user_42"
FAILED: Final = "no token counts: the call failed"


class Explained(Protocol):
    """Runs a call of a script and explains the spans that came, those that are no call to a model left out."""

    def __call__(
        self, script: str, name: str, *, user: str = USER, protocol: str = "http/protobuf"
    ) -> list[Explanation]:
        """In the order of their start."""
        ...


@pytest.fixture
def explained(vendor: Vendor, receiver: Receiver, tmp_path: Path) -> Explained:
    def explained(script: str, name: str, *, user: str = USER, protocol: str = "http/protobuf") -> list[Explanation]:
        environment = {
            "OPENAI_BASE_URL": vendor.server.base_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "USER_IN_BAGGAGE": user,
        }
        with started(script, name, application=tmp_path / "application", environment=environment) as process:
            if name == "until_told_to_end":
                assert process.stdout is not None
                assert process.stdout.readline() == "answered\n"
                process.terminate()
            finish(process)
        spans = []
        for request in receiver.received:
            read = read_json if request.content_type == "application/json" else read_protobuf
            spans += read(request.content).spans
        assert spans
        settings = Settings.load(environ={}, gateways=("127.0.0.1",))
        told = explain(spans, keys=settings.customer_keys, resolver=price_book(settings).price)
        return sorted(
            (each for each in told if each.verdict != NOT_BILLED), key=lambda each: each.span.start_time_unix_nano
        )

    return explained


def parts(usage: object) -> tuple[int, int, int, int]:
    assert isinstance(usage, TokenUsage), usage
    return usage.input_tokens, usage.all_cache_read_tokens, usage.output_tokens, usage.reasoning_tokens


def told(usage: Usage) -> tuple[int, int, int, int]:
    return usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens


def billed(explanations: list[Explanation]) -> list[tuple[int, int, int, int]]:
    """The tokens of each call, which user_42 pays; anything else fails the test."""
    calls = []
    for each in explanations:
        assert each.verdict == BILLED, each
        assert each.call is not None
        assert each.call.customer == Customer(external_customer_id=USER)
        assert each.price is not None
        calls.append(parts(each.call.usage))
    return calls


ASKS_FOR_A_TOOL: Final[dict[str, Callable[[Vendor], None]]] = {
    "tool": Vendor.ask_for_a_tool,
    "tool_stream": Vendor.ask_for_a_tool_in_a_stream,
}


@pytest.mark.parametrize(
    ("name", "calls", "reason"),
    [
        ("responses", 1, "generateText: an outer span repeats the tokens"),
        ("responses_stream", 1, "streamText"),
        ("chat", 1, "the older API"),
        ("chat_stream", 1, "the AI SDK asks for usage by itself"),
        ("tool", 2, "each step is a request, and the outer span has their sum"),
        ("tool_stream", 2, "the same of streams"),
        ("object_stream", 1, "streamObject"),
        ("embed", 1, "no output, and no id of an answer"),
        ("embed_many", 1, "one request for two values"),
    ],
)
def test_each_request_of_the_ai_sdk_is_billed_once_to_the_token(
    name: str, calls: int, reason: str, vendor: Vendor, explained: Explained
) -> None:
    """Its spans come in twos: around a generation, and around each request of it."""
    if name in ASKS_FOR_A_TOOL:
        ASKS_FOR_A_TOOL[name](vendor)

    assert billed(explained("vercel_calls.mjs", name)) == [told(each.usage) for each in vendor.told], reason
    assert len(vendor.told) == calls, reason


def test_generate_object_tells_totals_only(vendor: Vendor, explained: Explained) -> None:
    """Its cached tokens have the price of uncached ones; nobody can bill what is on no span."""
    vendor.answer_with_an_object()

    (tokens,) = billed(explained("vercel_calls.mjs", "object"))

    usage = vendor.told[0].usage
    assert tokens in {told(usage), (usage.input_tokens, 0, usage.output_tokens, 0)}


@pytest.mark.parametrize("script", ["vercel_calls.mjs", "openai_calls.mjs"])
def test_a_request_that_fails_is_held_and_not_billed(script: str, vendor: Vendor, explained: Explained) -> None:
    """It has no usage, and what it cost only the provider knows."""
    vendor.refuse(400)

    (call,) = explained(script, "refused")

    assert (call.verdict, call.reason) == (UNMETERED, FAILED)
    assert vendor.told == []


@pytest.mark.parametrize(
    ("script", "held", "reason"),
    [
        ("vercel_calls.mjs", 1, "the AI SDK has a span for each attempt"),
        ("openai_calls.mjs", 0, "the client's instrumentation has one for all of them"),
    ],
)
def test_a_request_that_was_made_again_is_billed_once(
    script: str, held: int, reason: str, vendor: Vendor, explained: Explained
) -> None:
    """The attempt that failed has no usage."""
    vendor.refuse(500)

    *failed, last = explained(script, "retried")

    assert [(each.verdict, each.reason) for each in failed] == [(UNMETERED, FAILED)] * held, reason
    assert [each[0::2] for each in billed([last])] == [told(each.usage)[0::2] for each in vendor.told]


def test_nothing_is_billed_of_a_stream_that_was_aborted(explained: Explained) -> None:
    """How many tokens it took is on no span; a guess is no bill."""
    assert [each.verdict for each in explained("vercel_calls.mjs", "aborted") if each.verdict != UNMETERED] == []


def test_a_process_that_is_told_to_end_sends_its_last_calls(vendor: Vendor, explained: Explained) -> None:
    """A deployment ends every process, and JavaScript's SDK has its spans in memory only."""
    assert billed(explained("vercel_calls.mjs", "until_told_to_end")) == [told(each.usage) for each in vendor.told]


def test_a_call_whose_counts_did_not_fit_on_its_span_is_held(explained: Explained) -> None:
    """JavaScript's SDK takes no more than 128 attributes, and counts come last: some may be there, and others not."""
    (call,) = explained("vercel_calls.mjs", "crowded")

    assert call.span.dropped_attributes > 0
    assert call.verdict == UNMETERED


@pytest.mark.parametrize(
    ("name", "user", "payer", "reason"),
    [
        ("of_metadata", "", "from-metadata", "the AI SDK's own way"),
        ("of_metadata", USER, USER, "who was authenticated wins over a tag"),
        ("chat", "", None, "a call is never given to somebody by a guess"),
        ("of_stranger", "", None, "whoever sends a header cannot name who pays"),
        ("of_stranger", USER, USER, "nor take the place of who was authenticated"),
    ],
)
def test_who_pays_stands_on_the_span(
    name: str, user: str, payer: str | None, reason: str, explained: Explained
) -> None:
    """Baggage is no part of OTLP; the BaggageSpanProcessor copies it."""
    (call,) = explained("vercel_calls.mjs", name, user=user)

    assert call.call is not None
    if payer is None:
        assert call.verdict == UNATTRIBUTED, reason
    else:
        assert call.call.customer == Customer(external_customer_id=payer), reason


@pytest.mark.parametrize("name", ["chat", "chat_stream", "responses", "responses_stream", "embed"])
def test_each_call_of_openais_client_is_billed_once_with_its_totals(
    name: str, vendor: Vendor, explained: Explained
) -> None:
    """The instrumentation of version 0.21 tells no cached and no reasoning tokens; a later one may."""
    (tokens,) = billed(explained("openai_calls.mjs", name))

    (answer,) = vendor.told
    assert tokens[0::2] == told(answer.usage)[0::2]


def test_a_stream_of_openais_client_that_does_not_ask_for_usage_is_held(explained: Explained) -> None:
    """Nobody is told what it took; the example asks."""
    (call,) = explained("openai_calls.mjs", "chat_stream_without_usage")

    assert call.verdict == UNMETERED


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_both_forms_of_otlp_are_read_alike(
    protocol: str, vendor: Vendor, receiver: Receiver, explained: Explained
) -> None:
    """JavaScript writes ids in hexadecimal digits and 64-bit integers as numbers or text."""
    tokens = billed(explained("vercel_calls.mjs", "responses", protocol=protocol))

    kind = "application/json" if protocol == "http/json" else "application/x-protobuf"
    assert {request.content_type for request in receiver.received} == {kind}
    assert tokens == [told(each.usage) for each in vendor.told]
