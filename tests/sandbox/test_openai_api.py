import asyncio
import http.client
import math
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from otel_polar.sandbox.openai_api import OpenAIServer, Usage

SENTENCE: Final = "The sandbox answers every question with the same sentence of twelve words."
HELLO: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "Hello there you"}]
RETRY_AT_ONCE: Final = {"retry-after-ms": "1"}


@pytest.fixture(scope="module")
def shared_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def server(shared_server: OpenAIServer) -> OpenAIServer:
    shared_server.reset()
    return shared_server


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[openai.OpenAI]:
    with connect(server) as connected:
        yield connected


def connect(server: OpenAIServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.base_url, api_key="sk-test")


def port_of(server: OpenAIServer) -> int:
    return int(server.base_url.removeprefix("http://127.0.0.1:").removesuffix("/v1"))


def post(server: OpenAIServer, path: str, content: str, *, method: str = "POST", **headers: str) -> tuple[int, str]:
    """Send what the openai client never would."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server))
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


# --- Chat completions -------------------------------------------------------------------------------------------------


def test_one_word_is_one_token(client: openai.OpenAI) -> None:
    """Whoever reads the example must be able to work out the bill."""
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert completion.choices[0].message.content == SENTENCE
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.to_dict() == {
        "prompt_tokens": 3,
        "completion_tokens": 12,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_only_text_parts_of_a_message_are_counted(client: openai.OpenAI) -> None:
    """Images have prices of their own, which a word count cannot know."""
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "be  brief\n"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "what is this"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/not words"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": []},
        ],
    )

    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 2 + 3


@pytest.mark.parametrize(
    ("limits", "content"),
    [
        ({"max_completion_tokens": 2}, "The sandbox"),
        ({"max_tokens": 13}, f"{SENTENCE} The"),  # the older name, and more than one sentence
        ({"max_completion_tokens": 1, "max_tokens": 2}, "The"),  # the newer name wins
    ],
)
def test_a_reply_is_as_long_as_its_limit(client: openai.OpenAI, limits: dict[str, Any], content: str) -> None:
    """A test chooses the number of output tokens by asking for it."""
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, **limits)

    assert completion.choices[0].message.content == content
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len(content.split())


def test_every_choice_is_paid_for_and_the_prompt_once(client: openai.OpenAI) -> None:
    """With n the input is billed once and the output n times."""
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, n=3, max_tokens=4)

    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 12)


def test_every_answer_has_an_id_of_its_own(client: openai.OpenAI) -> None:
    """The id is what makes a usage event count once."""
    ids = {client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).id for _ in range(5)}

    assert len(ids) == 5
    assert all(re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", one) for one in ids)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
        ("gpt-5-mini", "gpt-5-mini-2025-08-07"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),  # dated already
        ("ft:gpt-4o:acme", "ft:gpt-4o:acme"),  # unknown
    ],
)
def test_an_alias_is_answered_by_its_snapshot(client: openai.OpenAI, asked: str, answered: str) -> None:
    """Prices hang on the model that answered, which is seldom the name that was asked for."""
    assert client.chat.completions.create(model=asked, messages=HELLO).model == answered


@pytest.mark.parametrize(
    ("asked", "answered"),
    [({}, "default"), ({"service_tier": "auto"}, "default"), ({"service_tier": "flex"}, "flex")],
)
def test_the_service_tier_is_the_one_asked_for(client: openai.OpenAI, asked: dict[str, Any], answered: str) -> None:
    """Flex costs half and priority costs double, so the answer has to say which it was."""
    assert client.chat.completions.create(model="gpt-5-mini", messages=HELLO, **asked).service_tier == answered


def test_the_answer_has_the_time_of_the_clock() -> None:
    """A test that fixes the time fixes the whole answer."""
    with OpenAIServer(clock=lambda: 1_700_000_000.9) as server, connect(server) as client:
        completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert completion.created == 1_700_000_000


# --- Streamed chat completions ----------------------------------------------------------------------------------------


def test_a_stream_with_usage_says_it_in_a_last_chunk_without_choices(client: openai.OpenAI) -> None:
    """OpenAI sends null on all other chunks, and the total exactly once."""
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )

    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (3, 12, 15)
    assert all(chunk.to_dict()["usage"] is None for chunk in others)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in others) == SENTENCE
    assert (others[0].choices[0].delta.role, others[-1].choices[0].finish_reason) == ("assistant", "stop")
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_without_usage_never_mentions_it(client: openai.OpenAI) -> None:
    """This is the call whose tokens a meter cannot see."""
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))

    assert len(chunks) == 1 + 12 + 1
    assert not any("usage" in chunk.to_dict() for chunk in chunks)


def test_a_stream_ends_with_done(server: OpenAIServer) -> None:
    """Clients in other languages wait for it."""
    content = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": true, "max_tokens": 1}'

    status, text = post(server, "/v1/chat/completions", content, authorization="Bearer sk-test")

    frames = text.split("\n\n")
    assert status == 200
    assert frames[-2:] == ["data: [DONE]", ""]
    assert all(frame.startswith("data: {") for frame in frames[:-2])


def test_a_stream_carries_every_choice(client: openai.OpenAI) -> None:
    """The chunks of several choices come mixed, told apart by their index."""
    texts = {0: "", 1: ""}
    for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, n=2, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""

    assert texts == {0: SENTENCE, 1: SENTENCE}


def test_the_async_client_is_served_as_well(server: OpenAIServer) -> None:
    """Plain, streamed and embedded, all on one event loop."""

    async def talk() -> tuple[str | None, list[str], int]:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-test") as client:
            plain, stream, embedded = await asyncio.gather(
                client.chat.completions.create(model="gpt-4o-mini", messages=HELLO),
                client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True),
                client.embeddings.create(model="text-embedding-3-small", input="one two"),
            )
            words = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return plain.choices[0].message.content, words, embedded.usage.prompt_tokens

    content, words, tokens = asyncio.run(talk())

    assert (content, "".join(words), tokens) == (SENTENCE, SENTENCE, 2)


# --- Completions, embeddings, responses, models -----------------------------------------------------------------------


def test_a_text_completion_has_n_choices_for_each_prompt(client: openai.OpenAI) -> None:
    """The legacy endpoint takes many prompts in one call, and each is answered n times."""
    completion = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt=["one two", "three"], n=2, max_tokens=5
    )

    assert re.fullmatch(r"cmpl-[0-9A-Za-z]{29}", completion.id)
    assert [choice.text for choice in completion.choices] == ["The sandbox answers every question"] * 4
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 20)


def test_a_text_completion_can_be_streamed_with_usage(client: openai.OpenAI) -> None:
    """The legacy endpoint knows the same stream options as chat."""
    *others, last = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="one two", stream=True, stream_options={"include_usage": True}
    )

    assert "".join(chunk.choices[0].text for chunk in others) == SENTENCE
    assert others[-1].choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 2 + 12


@pytest.mark.parametrize(
    ("given", "vectors", "tokens"),
    [
        ("one two three", 1, 3),
        (["one two", "three"], 2, 3),
        ([17, 4, 99, 3], 1, 4),  # token numbers: one text
        ([[17, 4], [99]], 2, 3),  # token numbers: two texts
    ],
)
def test_embeddings_count_the_words_of_every_input(
    client: openai.OpenAI, given: Any, vectors: int, tokens: int
) -> None:
    """A batch costs what its texts cost one by one."""
    answer = client.embeddings.create(model="text-embedding-3-small", input=given)

    assert [one.index for one in answer.data] == list(range(vectors))
    assert answer.usage.to_dict() == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_an_embedding_is_the_same_in_base64_and_in_numbers(client: openai.OpenAI) -> None:
    """The client asks for base64 by itself, so the two forms must not tell apart."""
    by_default = client.embeddings.create(model="text-embedding-3-large", input="one").data[0].embedding
    in_numbers = (
        client.embeddings.create(model="text-embedding-3-large", input="one", encoding_format="float").data[0].embedding
    )

    assert by_default == in_numbers
    assert len(in_numbers) == 3_072
    assert math.isclose(math.hypot(*in_numbers), 1.0, rel_tol=1e-6)


def test_an_embedding_has_the_dimensions_asked_for(client: openai.OpenAI) -> None:
    """Shorter vectors cost the same, and a model has only so many."""
    answer = client.embeddings.create(model="text-embedding-3-small", input="one", dimensions=8)

    assert len(answer.data[0].embedding) == 8
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="text-embedding-3-small", input="one", dimensions=1_537)


def test_a_response_counts_instructions_and_input(client: openai.OpenAI) -> None:
    """Instructions are a system message by another name."""
    response = client.responses.create(
        model="gpt-5-mini",
        instructions="be brief",
        input=[
            {"role": "user", "content": "one two three"},
            {"role": "user", "content": [{"type": "input_text", "text": "four"}]},
        ],
    )

    assert re.fullmatch(r"resp_[0-9a-f]{48}", response.id)
    assert (response.model, response.service_tier) == ("gpt-5-mini-2025-08-07", "default")
    assert (response.status, response.output_text, response.instructions) == ("completed", SENTENCE, "be brief")
    assert response.usage is not None
    assert response.usage.to_dict() == {
        "input_tokens": 6,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 18,
    }


def test_a_response_cut_short_is_incomplete(client: openai.OpenAI) -> None:
    """An incomplete response is paid for like any other."""
    response = client.responses.create(model="gpt-5-mini", input="one two", max_output_tokens=3)

    assert (response.status, response.output_text) == ("incomplete", "The sandbox answers")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert response.usage.output_tokens == 3


def test_a_streamed_response_has_its_usage_in_the_last_event(client: openai.OpenAI) -> None:
    """The client's own accumulator checks the order of all events before it."""
    with client.responses.stream(model="gpt-5-mini", input="one two three") as stream:
        events = list(stream)

    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None
    assert (last.response.usage.input_tokens, last.response.usage.output_tokens) == (3, 12)
    assert last.response.output_text == SENTENCE
    first = events[0]
    assert first.type == "response.created"
    assert (first.response.status, first.response.usage) == ("in_progress", None)


def test_events_of_a_response_are_named_and_numbered(client: openai.OpenAI) -> None:
    """Clients resume a broken stream by the number of the last event they saw."""
    events = list(client.responses.create(model="gpt-5-mini", input="one", stream=True, max_output_tokens=2))

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert [event.sequence_number for event in events] == list(range(10))


def test_models_are_listed_with_their_snapshots(client: openai.OpenAI) -> None:
    """Tools ask for this list before anything else."""
    names = [model.id for model in client.models.list()]

    assert {"gpt-4o-mini", "gpt-4o-mini-2024-07-18", "text-embedding-3-small"} <= set(names)
    assert names == sorted(names)


# --- Usage said outright ----------------------------------------------------------------------------------------------


def test_a_test_can_say_the_usage_outright() -> None:
    """Caching and reasoning come from the vendor; no words could show them."""
    seen: list[tuple[str, str]] = []

    def usage(endpoint: str, body: dict[str, Any]) -> Usage | None:
        seen.append((endpoint, body["model"]))
        cached = Usage(1_000, cached_tokens=800, output_tokens=50, reasoning_tokens=20)
        return cached if body["model"] == "gpt-5-mini" else None

    with OpenAIServer(usage=usage) as server, connect(server) as client:
        told = client.chat.completions.create(model="gpt-5-mini", messages=HELLO).usage
        response = client.responses.create(model="gpt-5-mini", input="one").usage
        counted = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).usage

    assert told is not None
    assert told.prompt_tokens_details is not None
    assert told.completion_tokens_details is not None
    assert (told.prompt_tokens, told.prompt_tokens_details.cached_tokens) == (1_000, 800)
    assert (told.completion_tokens, told.completion_tokens_details.reasoning_tokens) == (50, 20)
    assert response is not None
    assert (response.input_tokens_details.cached_tokens, response.output_tokens_details.reasoning_tokens) == (800, 20)
    assert counted is not None
    assert counted.total_tokens == 15
    assert seen == [
        ("/v1/chat/completions", "gpt-5-mini"),
        ("/v1/responses", "gpt-5-mini"),
        ("/v1/chat/completions", "gpt-4o-mini"),
    ]


def test_a_usage_rule_that_fails_says_so_in_the_answer() -> None:
    """A fault in a test's own function must not look like a fault of the code under test."""

    def usage(_endpoint: str, _body: dict[str, Any]) -> Usage:
        raise LookupError("no such case")

    with OpenAIServer(usage=usage) as server, connect(server) as client:
        impatient = client.with_options(max_retries=0)
        with pytest.raises(openai.InternalServerError, match="no such case"):
            impatient.chat.completions.create(model="gpt-4o-mini", messages=HELLO)


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_the_client_retries_through_queued_answers(server: OpenAIServer, client: openai.OpenAI) -> None:
    """A retried call is two requests and one bill."""
    server.answer_next(429, {"error": {"message": "Slow down", "type": "requests"}}, RETRY_AT_ONCE)
    server.answer_next(500, "<html>oops</html>", RETRY_AT_ONCE)

    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert completion.choices[0].message.content == SENTENCE
    assert len(server.requests) == 3


def test_a_queued_answer_is_given_as_it_stands(server: OpenAIServer, client: openai.OpenAI) -> None:
    """What a test hands over is what the client sees, status, body and headers."""
    server.answer_next(418, {"error": {"message": "I am a teapot", "code": "tea"}}, {"x-request-id": "req_tea"})

    with pytest.raises(openai.APIStatusError, match="I am a teapot") as caught:
        client.models.list()

    assert (caught.value.status_code, caught.value.code, caught.value.request_id) == (418, "tea", "req_tea")


def test_a_cut_stream_breaks_after_the_chunks_it_was_given(server: OpenAIServer, client: openai.OpenAI) -> None:
    """The customer has read half an answer that the vendor will charge for."""
    server.cut_stream_after(4)
    stream = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True)

    words = [next(stream).choices[0].delta.content for _ in range(4)]
    with pytest.raises(openai.APIConnectionError):
        next(stream)

    assert words == ["", "The", " sandbox", " answers"]


def test_only_the_next_stream_is_cut(server: OpenAIServer, client: openai.OpenAI) -> None:
    """A plain call does not use the fault up, and the stream after the cut one is whole."""
    server.cut_stream_after(0)

    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    with pytest.raises(openai.APIConnectionError):
        list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))
    whole = list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))

    assert len(whole) == 14


def test_reset_forgets_requests_and_faults(server: OpenAIServer, client: openai.OpenAI) -> None:
    """Tests that share a server start from nothing."""
    client.models.list()
    server.answer_next(500, "{}")
    server.cut_stream_after(0)

    server.reset()

    assert server.requests == []
    assert len(list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))) == 14


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_no_bearer_token_is_401(server: OpenAIServer) -> None:
    """An SDK set up without a key must fail here as it fails there."""
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Basic c2s="}):
        status, text = post(server, "/v1/models", "", method="GET", **headers)

        assert status == 401
        assert "You didn't provide an API key" in text


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/v1/chat/completions", "{}", "you must provide a model parameter"),
        ("/v1/chat/completions", '{"model": 4}', "you must provide a model parameter"),
        ("/v1/chat/completions", '{"model": "gpt-4o"}', "Missing required parameter: 'messages'."),
        ("/v1/completions", '{"model": "gpt-4o"}', "Missing required parameter: 'prompt'."),
        ("/v1/completions", '{"model": "gpt-4o", "prompt": {"a": 1}}', "'prompt' must be text"),
        ("/v1/responses", '{"model": "gpt-4o", "input": ""}', "Missing required parameter: 'input'."),
        ("/v1/embeddings", '{"model": "m", "input": ["a", 1]}', "'input' must be text"),
        ("/v1/embeddings", "[]", "We could not parse the JSON body"),
        ("/v1/embeddings", "\x00", "We could not parse the JSON body"),
        ("/v1/chat/completions", '{"model": "m", "messages": [1], "n": true}', "Invalid type for 'n'"),
        ("/v1/chat/completions", '{"model": "m", "messages": [1], "n": 0}', "Invalid 'n'"),
        ("/v1/chat/completions", '{"model": "m", "messages": [1], "max_tokens": 128001}', "Invalid 'max_tokens'"),
    ],
)
def test_a_malformed_request_is_400_and_says_which_field(
    server: OpenAIServer, path: str, content: str, message: str
) -> None:
    """Nothing that OpenAI would refuse may pass here, or the demo would teach it."""
    status, text = post(server, path, content, authorization="Bearer sk-test")

    assert status == 400
    assert message in text
    assert '"type":"invalid_request_error"' in text


def test_an_error_is_the_one_the_client_knows(client: openai.OpenAI) -> None:
    """The fields of OpenAI's error object arrive on the client's exception."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o-mini", messages=[])

    assert (caught.value.param, caught.value.code) == ("messages", "missing_required_parameter")
    assert caught.value.type == "invalid_request_error"
    assert re.fullmatch(r"req_[0-9a-f]{32}", caught.value.request_id or "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/v1/images/generations", 404), ("GET", "/", 404), ("GET", "/v1/responses", 405)],
)
def test_unknown_paths_and_methods_are_refused(server: OpenAIServer, method: str, path: str, status: int) -> None:
    """An endpoint this server does not have must not look like one that failed."""
    answered, text = post(server, path, "{}", method=method, authorization="Bearer sk-test")

    assert answered == status
    assert path in text


# --- What was received, and running it --------------------------------------------------------------------------------


def test_requests_are_kept_as_the_vendor_saw_them(server: OpenAIServer, client: openai.OpenAI) -> None:
    """What a wrapper adds to a call is seen only on the other side of the wire."""
    client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers={"X-Tenant": "acme"})
    post(server, "/nowhere", "not json", method="PUT")

    first, second = server.requests
    assert (first.method, first.path) == ("POST", "/v1/chat/completions")
    assert first.body == {"model": "gpt-4o", "messages": HELLO}
    assert (first.headers["x-tenant"], first.headers["authorization"]) == ("acme", "Bearer sk-test")
    assert (second.method, second.path, second.body) == ("PUT", "/nowhere", None)


def test_many_threads_may_call_at_once(server: OpenAIServer, client: openai.OpenAI) -> None:
    """Every call is answered and kept, none twice."""

    def ask(_number: int) -> str:
        return client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(ask, range(40)))

    assert len(set(ids)) == len(server.requests) == 40


def test_a_server_that_has_stopped_leaves_no_thread_and_no_port() -> None:
    """Hundreds of tests start one each."""
    before = set(threading.enumerate())
    with OpenAIServer() as server, connect(server) as client:
        client.models.list()
        port = port_of(server)

    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_two_servers_keep_apart() -> None:
    """What one test queues must not reach another test's client."""
    with OpenAIServer() as one, OpenAIServer() as other, connect(other) as client:
        one.answer_next(500, "{}")
        client.models.list()

        assert (len(one.requests), len(other.requests)) == (0, 1)


def test_a_server_stops_although_a_client_has_stopped_reading() -> None:
    """A reader that hangs must not hang the test run, nor leave a socket open."""
    with OpenAIServer() as server:
        client = connect(server)
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True, max_tokens=128_000)
        next(stream)
        port = port_of(server)

    with client, stream, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
