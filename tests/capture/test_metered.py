"""Specifies ``metered``: time, counts, bytes and items, each use one span and one event."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import os
import threading
from contextlib import ExitStack
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from otel_polar import BillingSampler, SpanRule, bill_to, metered
from otel_polar.capture.providers import use_tracer_provider
from otel_polar.delivery.disk.rows import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.capture.conftest import MakeApp
    from tests.capture.support import App


def np_int(value: int) -> Any:
    """A number of another library's."""

    class Int64:
        def __int__(self) -> int:
            return value

    Integral.register(Int64)
    return Int64()


@pytest.fixture(autouse=True)
def made_by_the_applications_provider(app: App) -> Iterator[None]:
    """As the instrumentor does it."""
    use_tracer_provider(app.provider)
    with bill_to("user_42"):
        yield
    use_tracer_provider(None)


def events(app: App) -> list[tuple[str, dict[str, Any]]]:
    """Name and numbers of each event."""
    ours = {"duration_ms", "duration_us", "trace_id", "span_id", "service_name"}
    return [
        (body["name"], {key: value for key, value in body["metadata"].items() if key not in ours})
        for body in app.bodies()
    ]


def states(app: App) -> list[tuple[State, str | None]]:
    return [(row.state, row.reason) for row in app.ledger()]


# --- Blocks -----------------------------------------------------------------------------------------------------------


def test_a_block_is_billed_by_its_duration_and_by_what_the_code_says(app: App) -> None:
    """Delta time and manual amounts, as Polar's own strategies have them."""
    with bill_to("alice", plan="pro"), metered("pdf_export", format="a4", pages=0) as usage:
        usage.add(pages=2)
        usage.add(pages=3, megabytes=1.5)
        usage.set(theme="dark", seats=4)
        usage.set(seats=5)

    assert events(app) == [
        ("pdf_export", {"format": "a4", "pages": 5, "megabytes": 1.5, "theme": "dark", "seats": 5, "plan": "pro"})
    ]
    (body,) = app.bodies()
    (span,) = app.exporter.get_finished_spans()
    assert body["external_customer_id"] == "alice"
    assert span.start_time is not None
    assert span.end_time is not None
    assert body["metadata"]["duration_us"] == (span.end_time - span.start_time) // 1_000


def test_a_block_that_raises_is_held_and_the_application_sees_its_error(app: App) -> None:
    """Whether it was any use is for a person to say."""
    with pytest.raises(KeyError, match="a secret"), metered("export"):
        raise KeyError("a secret")

    assert states(app) == [(State.UNMETERED, "the metered block failed")]
    (span,) = app.exporter.get_finished_spans()
    assert "secret" not in str(span.to_json())


def test_blocks_inside_blocks_and_threads_are_uses_of_their_own(app: App) -> None:
    """Also of one and the same object."""
    shared = metered("work")

    def work() -> None:
        with shared as usage:
            usage.set(n=9)

    with shared as outer:
        with shared as inner:
            inner.set(n=2)
        thread = threading.Thread(target=bill_to("user_42")(work))
        thread.start()
        thread.join()
        outer.set(n=1)

    assert [values["n"] for _, values in events(app)] == [2, 9, 1]


def test_a_call_inside_a_block_lies_in_its_span(app: App) -> None:
    """As inside any span."""
    with metered("work"):
        app.call()

    call, work = app.exporter.get_finished_spans()
    assert call.parent is not None
    assert work.context is not None
    assert call.parent.span_id == work.context.span_id
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_number_that_cannot_be_is_held(app: App) -> None:
    """Nothing is raised into the code that counts."""
    with metered("work") as usage:
        usage.add(pages=-1)

    assert states(app) == [(State.UNMETERED, "pages is negative")]


def test_what_is_not_recorded_is_said(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """Usage that nobody hears of is never billed."""
    use_tracer_provider(make_app(sampler=ALWAYS_OFF).provider)
    with metered("work") as usage:
        usage.add(n=1)
    assert "metered('work') is not billed" in caplog.text

    recorded = make_app(sampler=BillingSampler(ALWAYS_OFF, record="genai"))
    use_tracer_provider(recorded.provider)
    with metered("work"):
        pass
    assert [row.state for row in recorded.ledger()] == [State.SENT]


def test_a_block_may_end_in_another_thread_or_context_than_it_began_in(app: App) -> None:
    """Web frameworks run the two halves of a generator where it suits them."""

    def halves() -> Iterator[None]:
        with metered("work") as usage:
            yield
            usage.set(n=1)

    generator = contextvars.copy_context().run(lambda: _begun(halves()))
    thread = threading.Thread(target=lambda: contextvars.Context().run(list, generator))
    thread.start()
    thread.join()

    assert events(app) == [("work", {"n": 1})]


def _begun(generator: Iterator[None]) -> Iterator[None]:
    next(generator)
    return generator


def test_blocks_of_one_object_that_overlap_are_told_apart(app: App) -> None:
    """Two generators in turn, each with its own count."""
    shared = metered("work")

    def counting(amounts: list[int]) -> Iterator[None]:
        with shared as usage:
            for amount in amounts:
                usage.add(n=amount)
                yield

    first, second = counting([1]), counting([1, 2])
    next(first)
    next(second)
    list(first)
    list(second)

    assert sorted(values["n"] for _, values in events(app)) == [1, 3]


def test_uses_of_one_object_by_way_of_a_stack_are_told_apart_by_their_tasks(app: App) -> None:
    """A stack enters and leaves by frames of its own."""
    shared = metered("job")

    async def work(user: str, number: int, first: asyncio.Event, then: asyncio.Event) -> None:
        with bill_to(user), ExitStack() as stack:
            usage = stack.enter_context(shared)
            first.set()
            await then.wait()
            usage.set(n=number)

    async def both() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(work("alice", 1, one, two), work("bob", 2, two, one))

    asyncio.run(both())

    told = {body["external_customer_id"]: body["metadata"]["n"] for body in app.bodies()}
    assert told == {"alice": 1, "bob": 2}


@pytest.mark.parametrize("kind", ["stream", "block"])
def test_a_forked_child_does_not_end_what_its_parent_began(app: App, kind: str) -> None:
    """Its count would be sent under the parent's id."""
    if kind == "stream":
        file: Any = metered("work").stream(io.BytesIO(b"x" * 10))
        file.read(4)
        child = os.fork()
        if child == 0:
            file.close()
            os._exit(sum(outbox.waiting() for outbox in app.pipeline.outboxes))
        _, status = os.waitpid(child, 0)
        file.read()
        file.close()
    else:
        with metered("work") as usage:
            child = os.fork()
            usage.set(bytes=10 if child else 4)
        if child == 0:
            os._exit(sum(outbox.waiting() for outbox in app.pipeline.outboxes))
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert events(app) == [("work", {"bytes": 10})]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Decimal(3), 3),
        (Decimal("1.5"), 1.5),
        (Fraction(1, 2), 0.5),
        (np_int(7), 7),
        (2**63 - 1, 2**63 - 1),
        (0, 0),
    ],
)
def test_numbers_of_any_kind_are_numbers(app: App, value: Any, sent: float) -> None:
    """Also of the libraries that have their own."""
    with metered("work") as usage:
        usage.add(n=value)

    assert events(app) == [("work", {"n": sent})]


@pytest.mark.parametrize("value", [10**30, None, "3", True, object(), Decimal("NaN"), Decimal("Infinity"), -1])
def test_what_is_no_number_that_can_be_sent_holds_the_event_and_raises_nothing(app: App, value: Any) -> None:
    """An event without the number that was meant would bill nothing for it."""
    with metered("work") as usage:
        usage.add(n=value)

    ((state, reason),) = states(app)
    assert state is State.UNMETERED
    assert reason is not None
    assert reason.startswith("n is ")


# --- Decorated --------------------------------------------------------------------------------------------------------


def test_functions_and_coroutine_functions_are_billed_for_each_call(app: App) -> None:
    """And stay themselves."""

    @metered("add")
    def add(a: int, *, b: int) -> int:
        """Add."""
        return a + b

    @metered("wait")
    async def wait(what: str) -> str:
        await asyncio.sleep(0)
        return what

    async def both() -> list[str]:
        return list(await asyncio.gather(wait("x"), wait("y")))

    assert (add(1, b=2), add.__doc__, asyncio.run(both())) == (3, "Add.", ["x", "y"])
    assert [name for name, _ in events(app)] == ["add", "wait", "wait"]


def test_a_generator_is_one_use_from_its_first_step_to_its_end(app: App) -> None:
    """Also if it is given up; what it does in between is the consumer's."""

    @metered("stream")
    def numbers() -> Iterator[int]:
        yield from range(3)

    @metered("async_stream")
    async def async_numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def collect() -> list[int]:
        return [number async for number in async_numbers()]

    assert list(numbers()) == [0, 1, 2]
    assert asyncio.run(collect()) == [0, 1, 2]
    given_up = numbers()
    next(given_up)
    assert trace.get_current_span() is trace.INVALID_SPAN
    given_up.close()  # type: ignore[attr-defined] # it is a generator
    numbers()

    assert [name for name, _ in events(app)] == ["stream", "async_stream", "stream"]


# --- Streams ----------------------------------------------------------------------------------------------------------


def test_the_bytes_of_a_file_are_counted_however_it_is_read(app: App) -> None:
    """What goes by counts, once, whatever the method."""
    content = b"line one\nline two\nline three\n"
    for read in (
        lambda file: file.read(),
        lambda file: [file.read(4), file.read1(4), file.readline(), file.read()],
        lambda file: file.readinto(bytearray(100)),
        list,
        lambda file: [next(file), next(file), next(file)],
        lambda file: list(iter(lambda: file.read(3), b"")),
    ):
        with metered("download").stream(io.BytesIO(content)) as file:
            read(file)
    file = metered("upload").stream(io.BytesIO())
    file.write(content)
    assert (file.getvalue(), file.tell()) == (content, len(content))
    file.close()
    assert file.closed

    assert events(app) == [("download", {"bytes": len(content)})] * 6 + [("upload", {"bytes": len(content)})]


def test_text_counts_by_its_bytes(app: App) -> None:
    """What is sent are bytes."""
    assert list(metered("text").stream(["é", "🙂"])) == ["é", "🙂"]

    assert events(app) == [("text", {"bytes": 6})]


def test_items_are_counted_where_items_are_asked_for(app: App) -> None:
    """Of a list, a generator, or an asynchronous one."""

    async def async_items() -> AsyncIterator[int]:
        for number in range(4):
            yield number

    async def collect() -> list[int]:
        return [item async for item in metered("rows").stream(async_items(), count="items")]

    assert list(metered("rows").stream([1, 2, 3], count="items")) == [1, 2, 3]
    assert list(metered("rows").stream(iter([1, 2]), count="items")) == [1, 2]
    assert asyncio.run(collect()) == [0, 1, 2, 3]

    assert [values["items"] for _, values in events(app)] == [3, 2, 4]


def test_a_stream_that_is_given_up_is_billed_for_what_went_by(app: App) -> None:
    """Closed, dropped, or left in the middle of a loop."""
    closed = metered("closed").stream(io.BytesIO(b"x" * 10))
    closed.read(4)
    closed.close()
    dropped = metered("dropped").stream(iter([b"ab", b"cd"]))
    next(dropped)
    del dropped
    for _ in metered("left").stream([b"abc", b"def"]):
        break
    gc.collect()

    assert events(app) == [("closed", {"bytes": 4}), ("dropped", {"bytes": 2}), ("left", {"bytes": 3})]


def test_a_stream_that_breaks_is_held_with_what_went_by(app: App) -> None:
    """The application sees its own error."""

    def breaking() -> Iterator[bytes]:
        yield b"abc"
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        list(metered("download").stream(breaking()))

    assert states(app) == [(State.UNMETERED, "the metered block failed")]
    (span,) = app.exporter.get_finished_spans()
    assert (span.attributes or {})["otel_polar.event.metadata.bytes"] == 3


def test_lines_partial_writes_and_text_count_as_what_went_by(app: App) -> None:
    """Whatever the method says of itself."""
    with metered("lines").stream(io.BytesIO(b"one\ntwo\n")) as file:
        assert file.readlines() == [b"one\n", b"two\n"]
    with metered("written").stream(io.BytesIO()) as file:
        file.writelines(line for line in (b"one\n", b"two\n"))
    with metered("text").stream(io.StringIO()) as text:
        text.write("é\n")

    class Raw(io.RawIOBase):
        def write(self, data: Any) -> int:
            return min(4, len(data))

    raw = metered("raw").stream(Raw())
    rest = b"0123456789"
    while rest:
        rest = rest[raw.write(rest) or 0 :]
    raw.close()

    assert [values["bytes"] for _, values in events(app)] == [8, 8, 3, 10]


def test_web_frameworks_and_clients_see_what_a_stream_is(app: App, tmp_path: Path) -> None:
    """They ask whether it can be iterated over, and how."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cd"

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await StreamingResponse(metered("sync").stream(iter([b"ab", b"cd"])))(
            {"type": "http", "asgi": {"spec_version": "2.4"}}, _receive, send
        )

    sync = metered("sync").stream(iter([b"ab"]))
    later = metered("async").stream(chunks())
    assert (hasattr(sync, "__iter__"), hasattr(sync, "__aiter__")) == (True, False)
    assert (hasattr(later, "__iter__"), hasattr(later, "__aiter__")) == (False, True)
    list(sync)
    response = TestClient(answer).get("/")
    assert response.content == b"abcd"

    async def upload() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=request.content))
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.post("http://x/", content=later)).content == b"abcd"

    asyncio.run(upload())
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    with metered("file").stream(path.open("rb")) as file:
        assert isinstance(file, io.BufferedReader)
        assert file.name == str(path)
        assert file.readinto(bytearray(4)) == 4

    assert [(name, values["bytes"]) for name, values in events(app)] == [
        ("sync", 2),
        ("sync", 4),
        ("async", 4),
        ("file", 4),
    ]


def test_an_asynchronous_file_is_counted(app: App) -> None:
    """Such as aiofiles has them."""

    class AsyncFile:
        is_closed = False

        async def read(self) -> bytes:
            return b"abc"

        async def readinto(self, buffer: bytearray) -> int:
            return len(buffer)

        async def aclose(self) -> None:
            self.is_closed = True

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_error: object) -> None:
            await self.aclose()

    async def use() -> bool:
        source = AsyncFile()
        file: Any = metered("download").stream(source)
        assert await file.read() == b"abc"
        await file.aclose()
        async with metered("block").stream(AsyncFile()) as opened:
            assert await opened.readinto(bytearray(5)) == 5
        return source.is_closed

    assert asyncio.run(use())
    assert events(app) == [("download", {"bytes": 3}), ("block", {"bytes": 5})]


# --- Spans that exist anyway ------------------------------------------------------------------------------------------


def test_a_rule_bills_spans_that_exist_anyway_and_no_others(make_app: MakeApp) -> None:
    """To whom calls to a model are billed, with the same tags; a call to a model stays one, too."""
    app = make_app(
        tags="plan",
        span_rules=[
            SpanRule(event_name="report", span_name="render *", metadata={"pages": "page.count"}),
            SpanRule(event_name="any_chat", span_name="chat *"),
        ],
    )
    with bill_to("alice", plan="pro"):
        app.tracer.start_span("render x", attributes={"page.count": 7}).end()
        app.tracer.start_span("GET /").end()
        app.call()

    assert [(body["name"], body["external_customer_id"], body["metadata"]["plan"]) for body in app.bodies()] == [
        ("report", "alice", "pro"),
        ("any_chat", "alice", "pro"),
        ("llm_usage", "alice", "pro"),
    ]
    assert app.bodies()[0]["metadata"]["pages"] == 7


def test_usage_with_nobody_to_bill_is_held_or_dropped(make_app: MakeApp) -> None:
    """As a call to a model."""
    held, dropping = make_app(), make_app(on_unattributed="drop")
    for app in (held, dropping):
        use_tracer_provider(app.provider)
        with bill_to(None), metered("work"):
            pass

    assert [state for state, _ in states(held)] == [State.UNATTRIBUTED]
    assert dropping.ledger() == []
    assert dropping.pipeline.counts["dropped: unattributed"] == 1


def test_usage_survives_a_restart(make_app: MakeApp) -> None:
    """It lies in the same outbox: what one process recorded, the next one sends."""
    app = make_app(settle_s=3_600.0)
    use_tracer_provider(app.provider)
    with metered("work") as usage:
        usage.set(n=1)

    assert app.outbox.counts() == {State.RECORDED: 1}
    assert events(app) == [("work", {"n": 1})]
