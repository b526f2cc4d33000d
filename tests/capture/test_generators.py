"""Specifies decorated generators: the right customer at every step, and nothing left behind in the consumer."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace

from otel_polar import bill_to, metered
from otel_polar.capture.providers import use_tracer_provider
from tests.capture.support import HELD, members

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from tests.capture.support import App


@pytest.fixture
def words(app: App) -> Callable[[str], Iterator[str]]:
    """A stream of a model's answer, with a call before, between and after its words."""

    @bill_to("alice")
    def stream(first: str) -> Iterator[str]:
        app.call()
        yield first
        app.call()
        yield "b"
        app.call()

    return stream


def test_each_step_is_billed_to_the_generators_customer_and_what_lies_between_to_the_consumers(
    app: App, words: Callable[[str], Iterator[str]]
) -> None:
    """A generator runs in the context of its consumer, and would bill it."""
    with bill_to("bob"):
        for _ in words("a"):
            app.call()
            assert members() == {"userId": "bob"}

    assert app.payers() == ["alice", "bob", "alice", "bob", "alice"]


def test_a_generator_given_up_early_leaves_nothing_behind(app: App, words: Callable[[str], Iterator[str]]) -> None:
    """Its end may come at any time, in any block."""
    stream = words("a")
    next(stream)
    with bill_to("bob"):
        stream.close()  # type: ignore[attr-defined] # it is a generator
        app.call()
    app.call()

    assert app.payers() == ["alice", "bob", HELD]


def test_a_generator_may_be_consumed_by_another_thread(app: App, words: Callable[[str], Iterator[str]]) -> None:
    """Web frameworks hand each step of a stream to a thread of a pool."""
    stream = words("a")

    def step() -> None:
        next(stream)
        app.call()

    for _ in range(2):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()

    assert app.payers() == ["alice", HELD, "alice", HELD]


def test_a_decorated_generator_sends_throws_and_returns_as_before() -> None:
    """Whoever drives it must not notice."""

    @bill_to("alice")
    def echo() -> Generator[object, object, str]:
        heard: object = None
        while True:
            try:
                heard = yield heard
            except KeyError as error:
                heard = error
            if heard == "end":
                return "returned"

    def drive() -> Generator[object, object, str]:
        return (yield from echo())

    generator = drive()
    error = KeyError("a")
    assert next(generator) is None
    assert generator.send("x") == "x"
    assert generator.throw(error) is error
    with pytest.raises(StopIteration) as stop:
        generator.send("end")
    assert stop.value.value == "returned"
    with pytest.raises(ValueError, match="not caught"):
        _raise_in(echo())


def _raise_in(generator: Generator[object, object, str]) -> None:
    next(generator)
    generator.throw(ValueError("not caught"))


def test_a_span_around_a_yield_is_the_parent_of_what_comes_after_it_and_of_nothing_else(app: App) -> None:
    """OpenTelemetry's own blocks inside a generator are kept apart as well."""

    @bill_to("alice")
    def stream() -> Iterator[str]:
        with app.tracer.start_as_current_span("inside") as span:
            yield "a"
            assert trace.get_current_span() is span

    for _ in stream():
        assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_partial_of_a_generator_function_is_one(app: App, words: Callable[[str], Iterator[str]]) -> None:
    """functools.partial hides what it wraps."""
    stream = bill_to("carol")(functools.partial(words.__wrapped__, "a"))  # type: ignore[attr-defined] # wrapt's
    list(stream())

    assert app.payers() == ["carol"] * 3


def test_an_asynchronous_generator_is_billed_step_by_step(app: App) -> None:
    """As the synchronous one; it may wait for others meanwhile."""

    @bill_to("alice")
    async def stream() -> AsyncIterator[str]:
        app.call()
        await asyncio.sleep(0)
        yield "a"
        app.call()

    async def consume() -> None:
        with bill_to("bob"):
            async for _ in stream():
                app.call()

    asyncio.run(consume())

    assert app.payers() == ["alice", "bob", "alice"]


def test_an_asynchronous_generator_closed_early_in_another_task_leaks_to_nobody(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that disconnects ends the stream in the task of the server, whose next request is another user's."""

    @bill_to("alice")
    async def stream() -> AsyncIterator[str]:
        with app.tracer.start_as_current_span("answer"):
            try:
                yield "a"
                yield "b"
            finally:
                app.call()

    async def serve() -> None:
        words = stream()
        await asyncio.create_task(anext(words))  # type: ignore[arg-type] # it is a coroutine
        await words.aclose()  # type: ignore[attr-defined] # it is a generator
        assert baggage.get_all() == {}
        app.call()
        with bill_to("bob"):
            app.call()

    asyncio.run(serve())

    assert app.payers() == ["alice", HELD, "bob"]
    assert "Failed to detach context" not in caplog.text


def test_an_asynchronous_generator_that_is_cancelled_or_raises_does_so(app: App) -> None:
    """Errors and cancellation reach it, and its consumer."""

    @bill_to("alice")
    async def waiting() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.sleep(3_600)
        finally:
            app.call()

    @bill_to("alice")
    async def failing() -> AsyncIterator[str]:
        yield "a"
        raise KeyError("b")

    async def consume() -> None:
        words = waiting()
        await anext(words)
        task = asyncio.ensure_future(anext(words))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(KeyError):
            _ = [word async for word in failing()]

    asyncio.run(consume())

    assert app.payers() == ["alice"]


def test_other_context_variables_are_those_of_the_call(app: App) -> None:
    """A generator of a request keeps what the request had set."""
    variable = contextvars.ContextVar("variable", default="nothing")

    @bill_to("alice")
    def stream() -> Iterator[str]:
        app.call()
        yield variable.get()

    variable.set("request 1")
    words = stream()
    variable.set("request 2")

    assert next(words) == "request 1"


def test_an_asynchronous_generator_left_open_at_the_end_of_the_loop_is_closed_once(app: App) -> None:
    """The loop closes what it knows of, all at the same time."""
    complaints: list[dict[str, Any]] = []

    @bill_to("alice")
    async def stream() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            app.call()

    kept: list[AsyncIterator[str]] = []

    async def begin() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, about: complaints.append(about))
        kept.append(stream())
        await anext(kept[0])

    asyncio.run(begin())

    assert complaints == []
    assert app.payers() == ["alice"]


def test_what_is_sent_and_thrown_into_a_metered_generator_reaches_it(app: App) -> None:
    """As without the decorator."""

    @metered("echo")
    async def echo() -> AsyncGenerator[object, object]:
        heard: object = None
        while True:
            try:
                heard = yield heard
            except ValueError as error:
                heard = error

    async def drive() -> list[object]:
        generator = echo()
        error = ValueError("a")
        answers = [await generator.asend(None), await generator.asend("x"), await generator.athrow(error) is error]
        await generator.aclose()
        return answers

    use_tracer_provider(app.provider)
    with bill_to("alice"):
        assert asyncio.run(drive()) == [None, "x", True]
    use_tracer_provider(None)
    assert app.payers() == ["alice"]


def test_a_generator_that_does_not_stop_behaves_as_it_would() -> None:
    """Python says so itself."""

    @bill_to("alice")
    def stubborn() -> Iterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                yield 5

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        generator.close()  # type: ignore[attr-defined] # it is a generator


def test_what_a_plain_function_hands_out_to_be_run_later_is_billed_to_its_customer(app: App) -> None:
    """Such as a wrapper that is no coroutine function, around one that is."""

    async def call() -> str:
        await asyncio.sleep(0)
        app.call()
        return "answer"

    def steps() -> Iterator[int]:
        app.call()
        yield 1

    async def async_steps() -> AsyncIterator[int]:
        app.call()
        yield 1

    class Later:
        async def __call__(self) -> str:
            return await call()

    alice = bill_to("alice")

    async def consume() -> None:
        with bill_to("bob"):
            assert await alice(lambda: call())() == "answer"  # noqa: PLW0108 - a plain function
            assert await alice(Later())() == "answer"
            assert [item async for item in alice(lambda: async_steps())()] == [1]  # noqa: PLW0108 - as above
            assert list(alice(lambda: steps())()) == [1]  # noqa: PLW0108 - as above

    asyncio.run(consume())

    assert app.payers() == ["alice"] * 4


@bill_to("alice")
def decorated(number: int) -> int:
    """A function that another process can find."""
    return number + 1


def test_a_decorated_function_can_be_pickled_and_copied() -> None:
    """Pools of processes send functions by their names."""
    assert pickle.loads(pickle.dumps(decorated)) is decorated  # noqa: S301 - our own
    assert copy.deepcopy(decorated) is decorated
    assert copy.copy(decorated)(1) == 2
