"""Specifies that ``without-content.yaml`` lets all of the usage out, and nothing of what was said."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from otel_polar.billing import semconv
from otel_polar.billing.agents import read_run
from otel_polar.billing.customer import NOBODY, CustomerKeys, read_any_user
from otel_polar.billing.measurement import read_measurements
from otel_polar.billing.provider_usage import INPUT_PARTS, OUTPUT_PARTS, WHOLE
from otel_polar.billing.reading import read_call
from otel_polar.billing.scopes import INPUT_WITHOUT_CACHE
from otel_polar.service.otlp import read_protobuf
from tests.collector.examples import EXAMPLES, ExampleCollector, Sink, a_sink, to_sink
from tests.servers.child import wait_until
from tests.service.messages import pairs, request, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.billing.span import SpanRecord

pytestmark = [pytest.mark.slow]

CORPUS: Final = sorted((Path(__file__).parents[1] / "corpus").glob("*.jsonl.gz"))
WORD: Final = "Xylophon-4711"
"""What was said."""

TEXTS: Final[tuple[tuple[str, Any], ...]] = (
    # What is read of a text that may hold content must be the same without it.
    ("llm.invocation_parameters", {"service_tier": "flex", "system": WORD}),
    ("llm.invocation_parameters", {"speed": "fast", "tools": [{"description": WORD}], "inference_geo": "us"}),
    ("llm.invocation_parameters", {"extra_body": {"serviceTier": "priority"}, "stop": [WORD]}),
    ("llm.invocation_parameters", {"system": json.dumps({"service_tier": "flex", "word": WORD})}),
    ("llm.invocation_parameters", {}),
    ("llm.invocation_parameters", {"service_tier": "default", "stop": ["\\", '"', WORD, "{}"]}),
    (
        "ai.response.providerMetadata",
        {
            "anthropic": {
                "usage": {
                    "input_tokens": 21,
                    "cache_creation_input_tokens": 300,
                    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
                    "service_tier": "batch",
                    "server_tool_use": {"web_search_requests": 2},
                },
                "cacheCreationInputTokens": 300,
                "citations": [{"cited_text": WORD}],
            },
        },
    ),
    (
        "ai.response.providerMetadata",
        {
            "openai": {
                "logprobs": [{"token": WORD, "bytes": [88, 121]}],
                "usage": {
                    "input_tokens_details": {"cached_tokens": 64, "audio_tokens": 3},
                    "output_tokens_details": {"note": WORD, "reasoning_tokens": 32},
                },
            },
        },
    ),
    ("ai.response.providerMetadata", {"google": {"quoted": json.dumps({"cacheCreationInputTokens": 7, WORD: 1})}}),
    ("request_data", {"messages": [{"content": WORD}], "stream": True}),
    ("request_data", {"messages": [{"content": WORD}], "stream": False}),
    ("url", f"https://example.com/?question={WORD}"),
    ("url", "/audio/transcriptions"),
)
CALLS: Final[dict[str, dict[str, Any]]] = {
    # By what must be kept in the text.
    "llm.invocation_parameters": {"openinference.span.kind": "LLM", "llm.token_count.prompt": 500},
    "ai.response.providerMetadata": {"ai.operationId": "ai.generateText.doGenerate", "ai.usage.inputTokens": 900},
    "request_data": {"gen_ai.operation.name": "chat", "logfire.span_type": "span"},
    "url": {"gen_ai.system": "openai"},
}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """Where the spans go to."""
    with a_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def agent(binary: Path, sink: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleCollector]:
    """The Collector of the example."""
    home = tmp_path_factory.mktemp("without-content")
    with ExampleCollector(binary, home, "without-content", to_sink(sink, home)) as agent:
        yield agent


def through(agent: ExampleCollector, sink: Sink, spans: TracesData, count: int) -> list[SpanRecord]:
    """What comes out of *spans*: so many, in which nothing is left of what was said."""
    sink.bodies.clear()
    agent.take(spans)
    wait_until(lambda: len(sink.spans) >= count, f"{count} spans have come")

    for body in sink.bodies:
        assert WORD.encode() not in body
    return sink.spans


def transform() -> Any:
    """What strips."""
    return yaml.safe_load((EXAMPLES / "without-content.yaml").read_text())["processors"]["transform/without-content"]


def kept_attributes(of: str) -> set[str]:
    """The attributes that the file lets through, of a ``span`` or ``resource``."""
    (statement,) = (each for each in transform()["trace_statements"] if each.startswith(f"keep_keys({of}."))
    names = re.findall(r'"([^"]+)"', statement)
    assert len(names) == len(set(names))
    return set(names)


def told(record: SpanRecord) -> str:
    """All that otel-polar reads of a span."""
    keys = CustomerKeys()
    users = (read_any_user(record.attributes, keys), read_any_user(record.resource_attributes, keys))
    return repr((read_call(record), users, read_run(record.attributes), record.process))


def is_ours(record: SpanRecord) -> bool:
    """Whether a span is let through."""
    return not (semconv.MODEL_CALL_MARKERS | {semconv.EVENT_NAME}).isdisjoint(record.attributes)


def said(value: Any) -> Any:
    """A value in which something was said, of whatever kind it is; numbers stay what they are."""
    if isinstance(value, list):
        return tuple(said(item) for item in value)
    return f"{value} {WORD}" if isinstance(value, str) else value


def corpus_span(flat: dict[str, Any], is_content: Any) -> Span:
    """A recorded span, with something said wherever something can be."""
    attributes = {key: said(value) if is_content(key) else value for key, value in flat["attributes"].items()}
    attributes = {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
    return Span(
        name=flat["name"],
        trace_id=bytes.fromhex(flat["trace_id"]),
        span_id=bytes.fromhex(flat["span_id"]),
        parent_span_id=bytes.fromhex(flat["parent_span_id"] or ""),
        start_time_unix_nano=flat["start_ns"],
        end_time_unix_nano=flat["end_ns"],
        dropped_attributes_count=flat["dropped_attributes"],
        trace_state=f"said={WORD}",
        status=Status(code=Status.StatusCode.Value(f"STATUS_CODE_{flat['status']}"), message=WORD),
        attributes=pairs({**attributes, **SAID}),
        events=[
            Span.Event(name="gen_ai.user.message", attributes=pairs({"content": WORD})),
            Span.Event(name="exception", attributes=pairs({"exception.message": WORD})),
            Span.Event(name=""),
        ],
    )


SAID: Final = dict.fromkeys(
    # Where emitters put content, besides what the corpus has.
    (
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions"),
        *("gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.content", "gen_ai.completion.0.content"),
        *("gen_ai.completion.0.tool_calls.0.arguments", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
        *("llm.input_messages.0.message.content", "llm.output_messages.0.message.content", "llm.prompts.0.prompt.text"),
        *("llm.tools.0.tool.json_schema", "input.value", "output.value", "metadata", "tool.parameters"),
        *("traceloop.entity.input", "traceloop.entity.output", "traceloop.prompt.template"),
        *("ai.prompt", "ai.prompt.messages", "ai.prompt.tools", "ai.response.text", "ai.response.toolCalls"),
        *("ai.response.object", "ai.response.reasoning", "ai.toolCall.args", "ai.toolCall.result", "ai.value"),
        *("logfire.msg", "logfire.json_schema", "response_data", "all_messages_events", "pydantic_ai.all_messages"),
        *("exception.message", "error.message", "llm.openai.messages", "retrieval.documents.0.document.content"),
        *("mlflow.spanInputs", "langfuse.observation.input", "gen_ai.content.prompt", "what.comes.next.year"),
    ),
    WORD,
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_the_usage_of_every_recorded_span_comes_through_and_nothing_of_what_was_said(
    path: Path, agent: ExampleCollector, sink: Sink
) -> None:
    """Otherwise the privacy of some is paid for with calls that nobody pays for."""
    if path.name == "truth.jsonl.gz":
        return
    kept = kept_attributes("span")
    with gzip.open(path, "rt") as file:
        flats = [json.loads(line) for line in file]
    resource = {"service.name": "chat-api", "process.pid": 7, "process.command_line": WORD}
    spans = request(*(corpus_span(flat, lambda key: key not in kept) for flat in flats), resource=resource)
    scopes = [request(resource=resource, scope=flat["scope"]) for flat in flats]
    for one, flat_span in zip(scopes, spans.resource_spans[0].scope_spans[0].spans, strict=True):
        one.resource_spans[0].scope_spans[0].spans.append(flat_span)
        one.resource_spans[0].scope_spans[0].scope.attributes.extend(pairs({"said": WORD}))
    sent = TracesData(resource_spans=[each for one in scopes for each in one.resource_spans])
    content = sent.SerializeToString()
    assert WORD.encode() in content
    expected = [record for record in read_protobuf(content).spans if is_ours(record)]

    come = through(agent, sink, sent, len(expected))

    assert Counter(map(told, come)) == Counter(map(told, expected))


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_of_a_text_that_may_hold_content_only_what_billing_reads_is_left(
    name: str, text: Any, agent: ExampleCollector, sink: Sink
) -> None:
    """In some dialects a service tier, cached tokens or a stream are told nowhere else."""
    written = text if isinstance(text, str) else json.dumps(text)
    attributes = {**CALLS[name], name: written, "userId": "alice"}
    sent = request(span(attributes=pairs(attributes)), scope="logfire.openai" if name == "url" else "ai")
    (expected,) = read_protobuf(sent.SerializeToString()).spans

    (come,) = through(agent, sink, sent, 1)

    assert told(come) == told(expected)


def test_a_text_of_another_type_is_not_let_through(agent: ExampleCollector, sink: Sink) -> None:
    """Attributes can hold lists and maps, in which nothing is looked for."""
    names = ("llm.invocation_parameters", "ai.response.providerMetadata", "request_data", "url")
    attributes = {"gen_ai.operation.name": "chat", **{name: {"said": (WORD,)} for name in names}}

    (come,) = through(agent, sink, request(span(attributes=pairs(attributes))), 1)

    assert come.attributes.keys() == {"gen_ai.operation.name"}


def test_usage_of_your_own_comes_through_with_all_its_numbers(agent: ExampleCollector, sink: Sink) -> None:
    """Their names are yours, so that no list can have them."""
    attributes = {
        "otel_polar.event.name": "pdf_export",
        "otel_polar.event.metadata.pages": 12,
        "otel_polar.event.metadata.format": "a4",
        "userId": "alice",
        "input.value": WORD,
    }
    sent = request(span(attributes=pairs(attributes)))
    (expected,) = read_protobuf(sent.SerializeToString()).spans

    (come,) = through(agent, sink, sent, 1)

    assert read_measurements(come, (), NOBODY, {}) == read_measurements(expected, (), NOBODY, {})
    assert come.attributes.keys() == attributes.keys() - {"input.value"}


def test_what_stays_is_what_billing_reads() -> None:
    """The list in the file is as long as the code, and no longer."""
    keys = CustomerKeys()
    tables = [value for name, value in vars(semconv).items() if name.isupper() and name != "MODEL_CALL_MARKERS"]
    of_tables = {name for table in tables for name in ([table] if isinstance(table, str) else table)}
    elsewhere = {"url", "request_data", *INPUT_WITHOUT_CACHE.values()}
    names_of_runs = {"gen_ai.agent.name", "gen_ai.workflow.name", "agent.name", "traceloop.entity.name"}
    on_resources = {"service.namespace", "service.instance.id", "host.name", "host.id", "container.id"}
    on_resources |= {"service.name", "k8s.pod.uid", "k8s.pod.name", "process.pid", semconv.SDK_LANGUAGE}

    on_spans = of_tables | elsewhere | names_of_runs | keys.all_attributes
    assert kept_attributes("span") == on_spans - {
        semconv.SERVICE_NAME,
        semconv.SDK_LANGUAGE,
        semconv.EVENT_METADATA_PREFIX,
    }
    assert kept_attributes("resource") == on_resources | keys.all_attributes


def test_whatever_counts_in_a_text_is_a_part_that_is_left() -> None:
    """A count that is read tomorrow must not be taken away today."""
    statements = "".join(transform()["trace_statements"])
    (suffixes, words) = re.findall(r"\\w\{0,30\}\(\?:([\w|]+)\)\|([\w|]+)\|", statements)[0]

    for key in {**INPUT_PARTS, **OUTPUT_PARTS, **WHOLE}:
        assert re.search(rf"({suffixes})$|^({words})$|^(flex|priority)", key), key
