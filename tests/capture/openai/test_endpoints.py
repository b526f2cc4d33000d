"""Specifies which requests cost something, against every path that the installed client can post to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import openai
import pytest

from otel_polar.capture.openai.endpoints import (
    BILLED,
    BILLED_ELSEWHERE,
    FREE_ROOTS,
    Endpoint,
    canonical_path,
    endpoint_of,
    is_fetching,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

RESOURCES: Final = Path(openai.__file__).parent / "resources"
POST: Final = re.compile(r"self\._post\(\s*(?:f|path_template\(\s*)?\"([^\"]+)\"")


def posted_paths() -> Iterator[str]:
    for module in RESOURCES.rglob("*.py"):
        yield from POST.findall(module.read_text())


def test_the_client_posts_to_many_paths() -> None:
    """Otherwise the tests below would look at nothing."""
    paths = set(posted_paths())

    assert len(paths) > 20
    assert {"/chat/completions", "/embeddings"} <= paths


@pytest.mark.parametrize("path", sorted(set(posted_paths())))
def test_every_path_the_client_posts_to_is_billed_or_known_not_to_be(path: str) -> None:
    """A new version of the client may bring an endpoint that costs something."""
    canonical = canonical_path(re.sub(r"\{\w+\}", "obj_abc123", path))

    is_free = any(canonical == root or canonical.startswith(f"{root}/") for root in FREE_ROOTS)
    assert canonical in BILLED or canonical in BILLED_ELSEWHERE or is_free


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("/chat/completions", "/chat/completions"),
        ("chat/completions", "/chat/completions"),
        ("/v1/chat/completions", "/chat/completions"),
        ("https://llm.example.com/openai/v1/chat/completions?x=1#y", "/chat/completions"),
        ("/completions", "/completions"),
        ("/responses?beta=true", "/responses"),
        ("/responses/compact", "/responses/compact"),
        ("/threads/thread_1/runs", "/threads/{}/runs"),
        ("/threads/thread_1/runs/run_2/submit_tool_outputs", "/threads/{}/runs/{}/submit_tool_outputs"),
        ("/deployments/my-gpt-4o/chat/completions", "/chat/completions"),
        ("/openai/deployments/chat/embeddings", "/embeddings"),
        ("/videos/video_1/remix", "/videos/{}/remix"),
        ("/chat/completions/chatcmpl-1", None),
        ("/evals/eval_1/runs", None),
        ("/responses/resp_1/cancel", None),
        ("/xcompletions", None),
        ("/moderations", None),
        ("", None),
    ],
)
def test_what_stands_before_a_path_and_the_ids_in_it_change_nothing(url: str, known: str | None) -> None:
    """A version, a deployment of Azure's, or another host."""
    assert endpoint_of("POST", url) == (None if known is None else BILLED[known])


def test_only_posting_makes_anything() -> None:
    """Stored chats are listed under the path at which they are made."""
    assert endpoint_of("POST", "/chat/completions") == Endpoint("chat", has_stream_options=True)
    assert endpoint_of("post", "/embeddings") == Endpoint("embeddings")
    assert endpoint_of("get", "/chat/completions") is None
    assert endpoint_of("post", "/moderations") is None
    assert is_fetching("get", "/responses/resp_abc")
    assert not is_fetching("delete", "/responses/resp_abc")
    assert not is_fetching("get", "/responses/resp_abc/input_items")
