"""Which spans are one request to a model: an allow-list, for every dialect.

By convention agent and workflow spans carry the same usage attributes as the calls below them
(open-telemetry/semantic-conventions-genai, ``invoke_agent``; #19 says that adding them up gives no true total), and
every framework has more such kinds. So what is not known to be a single call is not billed, and says why; where it
carries tokens all the same and is not known to repeat others', that is said out loud.

What a span is says ``gen_ai.operation.name``; where that is missing ``openinference.span.kind``, OpenLLMetry's
``llm.request.type``, Vercel's ``ai.operationId`` (of which only ``ai.….do…`` is a request), and logfire's ``url``. The
kinds of OpenInference, LangSmith and logfire can rule out what an operation name says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_polar.billing import semconv
from otel_polar.billing.scopes import AGENT_ONLY_SCOPES, TOTAL_ONLY_SCOPES

if TYPE_CHECKING:
    from otel_polar.billing.span import Attributes, SpanRecord


@dataclass(frozen=True, slots=True)
class NoCall:
    """A span that is not one request to a model. ``reason`` is a short fixed text, fit to be counted by.

    ``repeats_others`` is true where tokens on it are nothing to warn about: those of calls that have spans of their
    own, or none that cost anything.
    """

    reason: str
    repeats_others: bool = False


class Operation(NamedTuple):
    """One request to a model. ``name`` is ``gen_ai.operation.name``'s word for it.

    ``stated`` is the emitter's own word, ``dialect`` whose convention it is. ``is_total`` marks the sum of several
    requests, which is billed only if none of them has been seen by itself.
    """

    name: str
    stated: str
    dialect: str
    is_total: bool = False


CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
EMBEDDINGS: Final = "embeddings"
RERANK: Final = "rerank"
IMAGE_GENERATION: Final = "image_generation"
SPEECH_TO_TEXT: Final = "speech_to_text"
TEXT_TO_SPEECH: Final = "text_to_speech"
VIDEO_GENERATION: Final = "video_generation"

BILLABLE_OPERATIONS: Final = {
    # gen_ai.operation.name -> the name on the event. Those the conventions list stay as they are.
    "chat": CHAT,
    "text_completion": TEXT_COMPLETION,
    "generate_content": "generate_content",
    "embeddings": EMBEDDINGS,
    "interactions.create": "generate_content",  # opentelemetry-instrumentation-google-genai
    "responses": CHAT,
    "completion": CHAT,  # litellm's call types, here and below
    "acompletion": CHAT,
    "aresponses": CHAT,
    "anthropic_messages": CHAT,
    "agenerate_content": "generate_content",
    "atext_completion": TEXT_COMPLETION,
    "embedding": EMBEDDINGS,
    "aembedding": EMBEDDINGS,
    "rerank": RERANK,
    "arerank": RERANK,
    "image_generation": IMAGE_GENERATION,  # litellm, logfire
    "aimage_generation": IMAGE_GENERATION,
    "image": IMAGE_GENERATION,  # OpenLIT
    "speech_to_text": SPEECH_TO_TEXT,  # OpenLIT
    "transcription": SPEECH_TO_TEXT,  # litellm, OpenLLMetry
    "atranscription": SPEECH_TO_TEXT,
    "text_to_speech": TEXT_TO_SPEECH,
    "video_generation": VIDEO_GENERATION,
}

BY_NAME: Final = {
    # gen_ai.operation.name
    stated: Operation(name, stated, "OpenTelemetry GenAI")
    for stated, name in BILLABLE_OPERATIONS.items()
}

OUTPUT_OF_ONE_KIND: Final = {
    # Operations whose answer is nothing but media -> what of a call's media it is
    IMAGE_GENERATION: "image_output_tokens",
    TEXT_TO_SPEECH: "audio_output_tokens",
}

WITHOUT_OUTPUT: Final = frozenset({EMBEDDINGS, RERANK})
"""Operations whose answer has no output tokens, so that none are counted."""

AGGREGATES: Final = frozenset(
    {
        *("invoke_agent", "invoke_workflow", "create_agent", "execute_tool", "plan", "retrieval", "fetch_response"),
        "agent_step",  # Vercel AI SDK 7
        *("execute_task", "handoff", "guard"),  # OpenLLMetry
        "execute_event_loop_cycle",  # Strands
        *("chain", "parser", "prompt", "tool", "retriever"),  # LangSmith
        "moderation",  # OpenLIT: free of charge
    },
)
"""Operations that are not a request that costs tokens. What tokens they carry are those of the calls below them."""

BY_KIND: Final = {
    # openinference.span.kind
    "LLM": Operation(CHAT, "LLM", "OpenInference"),
    "EMBEDDING": Operation(EMBEDDINGS, "EMBEDDING", "OpenInference"),
}
_REQUEST_TYPES: Final = {
    "chat": CHAT,
    "completion": TEXT_COMPLETION,
    "embedding": EMBEDDINGS,
    "rerank": RERANK,
}
_LANGSMITH_KINDS: Final = frozenset({"llm", "embedding"})
_VERCEL_PREFIX: Final = "ai."
_VERCEL_CALLS: Final = {
    "doGenerate": CHAT,
    "doStream": CHAT,
    "doEmbed": EMBEDDINGS,
    "doRerank": RERANK,
}

_PENDING: Final = "pending_span"
_LOGFIRE_OPENAI: Final = "logfire.openai"
_LOGFIRE_URLS: Final = {
    # logfire 5.2.0 has no operation for these requests, only their path.
    "/audio/transcriptions": SPEECH_TO_TEXT,
    "/audio/translations": SPEECH_TO_TEXT,
}
_OPENLLMETRY_OPENAI: Final = "opentelemetry.instrumentation.openai.v1"

FREE_CALLS: Final = (".retrieve", ".count_tokens")
"""How the name of a span begins (up to the model) whose request generates nothing; the first repeats old usage."""

_FETCH_OF_OPENLLMETRY: Final = "openai.response"
_FETCH_OF_OPENINFERENCE: Final = "Response"
TELLING_NAMES: Final = frozenset({_FETCH_OF_OPENLLMETRY, _FETCH_OF_OPENINFERENCE})
"""Names of spans of which some generate nothing, which other attributes tell."""

_FETCHED: Final = NoCall("fetches an answer, which was billed when it was made", repeats_others=True)
_IS_PENDING: Final = NoCall("logfire: a pending span, which is repeated when it ends", repeats_others=True)
_UNKNOWN: Final = NoCall("operation is not a known model call")
_FREE: Final = NoCall("a request that is free: retrieve or count_tokens", repeats_others=True)


def read_operation(span: SpanRecord) -> Operation | NoCall:
    """The request to a model that *span* is, or why it is none."""
    answer = _read(span)
    if isinstance(answer, NoCall) and span.scope_name in AGENT_ONLY_SCOPES:
        return replace(answer, repeats_others=False)
    return answer


def _read(span: SpanRecord) -> Operation | NoCall:
    attributes = span.attributes
    stated = attributes.get(semconv.OPERATION_NAME)
    kind = attributes.get(semconv.OPENINFERENCE_KIND)
    if span.name.partition(" ")[0].endswith(FREE_CALLS):
        return _FREE
    if kind is not None and (ruled_out := _by_openinference(span, kind, stated)) is not None:
        return ruled_out
    if isinstance(stated, str) and stated in BY_NAME:
        return _ruled_out(span, attributes) or BY_NAME[stated]
    if stated is None:
        return _without_name(span)
    if isinstance(stated, str) and stated in AGGREGATES:
        return NoCall(f"operation {stated} is not a single call", repeats_others=True)
    return _UNKNOWN


def _ruled_out(span: SpanRecord, attributes: Attributes) -> NoCall | None:
    """What other attributes say against a span that is a call by its operation name."""
    logfire_kind = attributes.get(semconv.LOGFIRE_KIND)
    if logfire_kind == _PENDING:
        return _IS_PENDING
    if logfire_kind == "span" and _is_stream_of_logfire(attributes):
        return NoCall("logfire: the tokens of a stream are on the log that follows", repeats_others=True)
    langsmith_kind = attributes.get(semconv.LANGSMITH_KIND)
    if langsmith_kind is not None and not (isinstance(langsmith_kind, str) and langsmith_kind in _LANGSMITH_KINDS):
        return NoCall("langsmith.span.kind is not llm or embedding", repeats_others=True)
    if span.name == _FETCH_OF_OPENLLMETRY and span.scope_name == _OPENLLMETRY_OPENAI:
        # responses_wrappers.py of 0.62.4: whoever fetches a response names no model.
        return _FETCHED if semconv.REQUEST_MODEL[0] not in attributes else None
    return None


def _is_stream_of_logfire(attributes: Attributes) -> bool:
    # logfire 5.2.0, _internal/integrations/llm_providers: the log that follows has the tokens, and no token is on the
    # span itself. The request is JSON text; that its prompt holds the same words changes nothing for a metered span.
    request = attributes.get("request_data")
    return (
        isinstance(request, str)
        and '"stream":true' in request.replace(" ", "")
        and not any(name in attributes for name in semconv.INPUT_TOKENS)
    )


def _by_openinference(span: SpanRecord, kind: object, stated: object) -> Operation | NoCall | None:
    """What a kind alone says; ``None`` where the operation name beside it is to be believed."""
    if not isinstance(kind, str) or kind not in BY_KIND:
        return NoCall("openinference.span.kind is not LLM or EMBEDDING", repeats_others=True)
    if stated is not None:
        return None
    # openinference-instrumentation-openai 0.1.66: responses.retrieve is a span of the same name, but without any
    # parameter of a request.
    if span.name == _FETCH_OF_OPENINFERENCE and span.attributes.get("llm.invocation_parameters") == "{}":
        return _FETCHED
    return BY_KIND[kind]


def _without_name(span: SpanRecord) -> Operation | NoCall:
    for read in (_by_request_type, _by_vercel, _by_traceloop, _by_logfire):
        if (answer := read(span)) is not None:
            return answer
    if span.name == "raw_gen_ai_request":
        return NoCall("litellm: the raw request, which is repeated by the span above it", repeats_others=True)
    return NoCall("no gen_ai.operation.name")


def _by_request_type(span: SpanRecord) -> Operation | None:
    request_type = span.attributes.get(semconv.REQUEST_TYPE)
    if not isinstance(request_type, str) or request_type not in _REQUEST_TYPES:
        return None
    return Operation(_REQUEST_TYPES[request_type], request_type, "OpenLLMetry")


def _by_vercel(span: SpanRecord) -> Operation | NoCall | None:
    operation = span.attributes.get(semconv.VERCEL_OPERATION)
    if not isinstance(operation, str) or not operation.startswith(_VERCEL_PREFIX):
        return None
    name = _VERCEL_CALLS.get(operation.rpartition(".")[2])
    if name is None:
        return NoCall("Vercel AI SDK: not a single call (ai.….do…)", repeats_others=True)
    return Operation(name, operation, "Vercel AI SDK")


def _by_traceloop(span: SpanRecord) -> Operation | NoCall | None:
    kind = span.attributes.get(semconv.TRACELOOP_KIND)
    if kind is None:
        return None
    if kind == "agent" and span.scope_name in TOTAL_ONLY_SCOPES:
        return Operation(CHAT, "agent", "OpenLLMetry", is_total=True)
    return NoCall("traceloop.span.kind is not a single call", repeats_others=True)


def _by_logfire(span: SpanRecord) -> Operation | NoCall | None:
    url = span.attributes.get("url")
    if span.attributes.get(semconv.LOGFIRE_KIND) == _PENDING:
        return _IS_PENDING
    if span.scope_name != _LOGFIRE_OPENAI or not isinstance(url, str) or url not in _LOGFIRE_URLS:
        return None
    return Operation(_LOGFIRE_URLS[url], url, "Logfire")
