"""Which requests of the ``openai`` client cost something, by their path.

A test holds these tables against every path the installed client can post to, so that a new endpoint is noticed.

Source: the OpenAI API reference, https://platform.openai.com/docs/api-reference; openai-python 3.54.0, ``resources``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit


class Endpoint(NamedTuple):
    """``operation`` in OpenTelemetry's words; ``has_stream_options`` where a stream can be asked for its usage."""

    operation: str
    has_stream_options: bool = False


BILLED: Final = {
    "/chat/completions": Endpoint("chat", has_stream_options=True),
    "/completions": Endpoint("text_completion", has_stream_options=True),
    "/responses": Endpoint("chat"),
    "/responses/compact": Endpoint("chat"),
    "/decisions": Endpoint("chat"),
    "/embeddings": Endpoint("embeddings"),
    "/images/generations": Endpoint("image_generation"),
    "/images/edits": Endpoint("image_generation"),
    "/images/variations": Endpoint("image_generation"),
    "/audio/speech": Endpoint("text_to_speech"),
    "/audio/transcriptions": Endpoint("speech_to_text"),
    "/audio/translations": Endpoint("speech_to_text"),
    "/videos": Endpoint("video_generation"),
    "/videos/edits": Endpoint("video_generation"),
    "/videos/extensions": Endpoint("video_generation"),
    "/videos/{}/remix": Endpoint("video_generation"),
    # Their usage is told by a stream, or later (assistants; the run of a thread).
    "/threads/runs": Endpoint("chat"),
    "/threads/{}/runs": Endpoint("chat"),
    "/threads/{}/runs/{}/submit_tool_outputs": Endpoint("chat"),
}
"""Posted to, each is one call to a model."""

BILLED_ELSEWHERE: Final = {
    "/batches": "the results are files; see otel_polar.service_tier in the README",
    "/evals/{}/runs": "the provider runs them later",
    "/fine_tuning/alpha/graders/run": "the usage is of several models",
    "/fine_tuning/jobs": "training, not a call",
    "/fine_tuning/jobs/{}/resume": "training, not a call",
    "/agents/sessions": "the provider's own agents: turns run later",
    "/agents/sessions/{}/events": "the provider's own agents: turns run later",
    "/agents/automations/{}/invocations": "the provider's own agents: turns run later",
    "/containers": "by the hour",
    "/vector_stores": "by the day",
    "/live/sessions": "by its duration, over a WebSocket or WebRTC",
    "/live/sessions/{}/accept": "by its duration, over a WebSocket or WebRTC",
    "/live/sessions/{}/fork": "by its duration, over a WebSocket or WebRTC",
    "/realtime/calls": "over WebRTC or a telephone, not through this process",
    "/realtime/calls/{}/accept": "over WebRTC or a telephone, not through this process",
}
"""What costs something, but not by the answer to this request; and why."""

FETCHED: Final = "/responses/{}"
"""Asked for with GET: a response that was made in the background has its usage only here."""

FREE_ROOTS: Final = (
    *("/agents", "/assistants", "/audio/voice_consents", "/audio/voices", "/batches", "/chat/completions", "/chatkit"),
    *("/containers", "/content_provenance_checks", "/conversations", "/evals", "/files", "/fine_tuning", "/live"),
    *("/moderations", "/organization", "/projects", "/realtime", "/responses", "/skills", "/threads", "/uploads"),
    *("/vaults", "/vector_stores", "/videos/characters", "/webhook_endpoints"),
)
"""What else can be posted below these paths costs nothing by itself."""

_WORDS: Final = frozenset(
    word for path in (*BILLED, *BILLED_ELSEWHERE, *FREE_ROOTS) for word in path.strip("/").split("/")
)


@lru_cache(maxsize=1024)
def canonical_path(url: str) -> str:
    """A path, or the path of an address, as in the tables: without query, and with ``{}`` for each id."""
    path = urlsplit(url).path.strip("/")
    return "".join(f"/{part if part in _WORDS else '{}'}" for part in path.split("/") if part)


@lru_cache(maxsize=1024)
def _match(url: str, paths: tuple[str, ...]) -> str | None:
    """The longest of *paths* that a path ends in: before it may stand a version, or a deployment of Azure's."""
    path = canonical_path(url)
    return max((known for known in paths if path.endswith(known)), key=len, default=None)


def endpoint_of(method: str, url: str) -> Endpoint | None:
    """The endpoint that a request goes to, if it is billed by its answer."""
    matched = _match(url, _BILLED_PATHS) if method.lower() == "post" else None
    return None if matched is None else BILLED[matched]


def is_fetching(method: str, url: str) -> bool:
    """Whether a request fetches a response that was made before."""
    return method.lower() == "get" and canonical_path(url).endswith(FETCHED)


_BILLED_PATHS: Final = tuple(BILLED)
