"""What is known of those who make spans of model calls: which of the calls they leave out, and which numbers are wrong.

It was learnt from recorded spans with the true usage beside them, which are in tests/corpus: ``source`` is the file.
Where otel-polar mends something by itself, it is not told here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Emitter:
    """One who makes spans of model calls.

    Args:
        distribution: the name of the package.
        client: whose calls; emitters of one client make several spans of one call.
        omits: what is missing on its spans, or wrong; a part of a sentence.
        do: what to do about that.
        source: the recorded spans.
        hooks_help: the hooks of the ``openai`` client fill that in.
        has_calls: it has spans of model calls at all.
        since: the version from which on it makes spans, for a library that is a client in the first place.
    """

    distribution: str
    client: str
    omits: str
    source: str
    do: str = ""
    hooks_help: bool = False
    has_calls: bool = True
    since: str | None = None


_INCLUDE_USAGE: Final = "stream_options={'include_usage': True} for streams; PolarInstrumentor asks for it by itself"
_PROVIDER_TOO: Final = "instrument the client of the provider, too"

EMITTERS: Final = (
    Emitter(
        "opentelemetry-instrumentation-openai-v2",
        "openai",
        "no spans of the Responses API, of .parse(), images and audio; no cached tokens; no tokens of streams",
        "scenario-openai-v2.jsonl.gz",
        do="PolarInstrumentor, whose hooks complete them",
        hooks_help=True,
    ),
    Emitter(
        "opentelemetry-instrumentation-genai-openai",
        "openai",
        "no spans of completions, images and audio; no tokens of streams that did not ask for usage",
        "scenario-genai-openai.jsonl.gz",
        do=_INCLUDE_USAGE,
        hooks_help=True,
    ),
    Emitter(
        "opentelemetry-instrumentation-openai",
        "openai",
        "no tokens of raw responses and of streams that did not ask for usage; no span of a cancelled call",
        "scenario-tl-openai.jsonl.gz",
        do=_INCLUDE_USAGE,
        hooks_help=True,
    ),
    Emitter(
        "openinference-instrumentation-openai",
        "openai",
        "no ids of answers, by which a call is known again; no tokens of images, audio and streams without usage",
        "scenario-oi-openai.jsonl.gz",
        do=_INCLUDE_USAGE,
        hooks_help=True,
    ),
    Emitter(
        "opentelemetry-instrumentation-genai-anthropic",
        "anthropic",
        "of a stream that is closed early only the first few output tokens; no one-hour cache writes of their own",
        "scenario-genai-anthropic.jsonl.gz",
    ),
    Emitter(
        "opentelemetry-instrumentation-anthropic",
        "anthropic",
        "a few output tokens too many for streams; no span of a stream that is closed early, or of parse()",
        "scenario-tl-anthropic.jsonl.gz",
    ),
    Emitter(
        "openinference-instrumentation-anthropic",
        "anthropic",
        "no ids of answers, by which a call is known again",
        "scenario-oi-anthropic.jsonl.gz",
    ),
    Emitter(
        "anthropic",
        "anthropic",
        "no output tokens of a stream that is closed early; no tokens with with_streaming_response, or of batches",
        "scenario-anthropic-sdk-native.jsonl.gz",
        do="ANTHROPIC_OPEN_TELEMETRY=false where another instrumentation is to make the spans",
        since="1.14",
    ),
    Emitter(
        "opentelemetry-instrumentation-botocore",
        "bedrock",
        "only guesses of the tokens of InvokeModel for Cohere and Mistral, and no cache there",
        "botocore.jsonl.gz",
        do="use Converse",
    ),
    Emitter(
        "opentelemetry-instrumentation-google-genai",
        "google",
        "only the last turn of automatic function calling; no tokens of embeddings",
        "scenario-afc-genai-google.jsonl.gz",
        do="call functions yourself, or one turn at a time",
    ),
    Emitter(
        "opentelemetry-instrumentation-google-generativeai",
        "google",
        "no thinking tokens among the output; no span of a stream that is closed early, or of embeddings",
        "scenario-tl-google.jsonl.gz",
        do="opentelemetry-instrumentation-google-genai in its place",
    ),
    Emitter(
        "opentelemetry-instrumentation-genai-langchain",
        "langchain",
        "no embeddings; a model call inside another one is swallowed",
        "scenario-official-nested-suppression.jsonl.gz",
        do=_PROVIDER_TOO,
    ),
    Emitter(
        "opentelemetry-instrumentation-langchain",
        "langchain",
        "no ids of answers of streams and the Responses API, so beside another emitter they are known by time only",
        "scenario-tl-langchain+tl-openai.jsonl.gz",
    ),
    Emitter(
        "openinference-instrumentation-langchain",
        "langchain",
        "no ids of answers; no thinking tokens of Gemini",
        "scenario-oi-langchain+oi-openai.jsonl.gz",
    ),
    Emitter(
        "litellm",
        "litellm",
        "who pays, for streams (its spans begin in another thread); no tokens of streams that did not ask for usage",
        "scenario-litellm-otel-callback.jsonl.gz",
        do="carry the user in metadata, as a span attribute; and stream_options={'include_usage': True}",
    ),
    Emitter(
        "langsmith",
        "langchain",
        "who pays, on spans that begin in a background thread",
        "scenario-langsmith-otel.jsonl.gz",
        do="name the user on the span around the call, too",
    ),
    Emitter(
        "openlit",
        "openlit",
        "true token counts of streams that did not ask for usage (it invents them); no span of one closed early",
        "scenario-openlit.jsonl.gz",
        do=_INCLUDE_USAGE,
    ),
    *(
        Emitter(
            f"opentelemetry-instrumentation-genai-{framework}",
            framework,
            "every model call: it has spans of agents and tools only",
            source,
            do=_PROVIDER_TOO,
            has_calls=False,
        )
        for framework, source in (
            ("agno", "genai-agno.unlabelled.jsonl.gz"),
            ("llama-index", "genai-llama-index.jsonl.gz"),
            ("openai-agents", "scenario-genai-openai-agents.jsonl.gz"),
            ("qwen-agent", "genai-qwen-agent.jsonl.gz"),
        )
    ),
)
