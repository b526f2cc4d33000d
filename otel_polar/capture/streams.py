"""Files and iterables that count what goes by."""

from __future__ import annotations

import weakref
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Final, Literal

import wrapt

from otel_polar.capture.abandoned import act_safely

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from types import TracebackType

    from otel_polar.capture.metered import Usage


def count_stream(
    source: Any, *, by: Literal["bytes", "items"], usage: Usage, end: Callable[[BaseException | None], None]
) -> Any:
    """*source*, of which every byte or item is added to *usage*; *end* is called once, with the error if it broke."""
    kinds = [kind for name, kind in _KINDS.items() if hasattr(source, name)]
    return _proxy_class(tuple(kinds))(source, _Counter(by, usage, end))


class _Counter:
    """Counts into the usage, and ends it once."""

    def __init__(
        self, by: Literal["bytes", "items"], usage: Usage, end: Callable[[BaseException | None], None]
    ) -> None:
        self._by = by
        self._usage = usage
        self._end = end
        self._is_over = False

    def add(self, piece: Any) -> None:
        if self._is_over or piece is None:
            return
        if isinstance(piece, str):
            piece = piece.encode("utf-8", "surrogatepass")
        is_data = isinstance(piece, (bytes, bytearray, memoryview))
        amount = 1 if self._by == "items" else (memoryview(piece).nbytes if is_data else 0)
        if amount:
            self._usage.add(**{self._by: amount})

    def add_count(self, count: object, data: Any = None) -> None:
        """As many bytes as a method says it took; of *data* if it does not say."""
        if not isinstance(count, int) or self._by == "items" or isinstance(data, str):
            self.add(data)
        elif not self._is_over and count > 0:
            self._usage.add(bytes=count)

    def over(self, error: BaseException | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._end(None if isinstance(error, GeneratorExit) else error)


if TYPE_CHECKING:
    _Proxy = wrapt.BaseObjectProxy[Any]
else:
    # Its name takes no types while the program runs (wrapt 2.0).
    _Proxy = wrapt.BaseObjectProxy


class _Counted(_Proxy):
    """A proxy: everything that is not reading, writing or closing is the source's own."""

    def __init__(self, source: Any, counter: _Counter) -> None:
        super().__init__(source)
        self._self_counter = counter
        # Who reads no further, and closes nothing, has used what has gone by.
        weakref.finalize(self, act_safely, counter.over)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        count = _METHODS.get(name)
        # Each holds the proxy as long as it is in use itself: when the proxy is gone, all is over.
        return found if count is None or not callable(found) else _counting(found, count, self)

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        try:
            return self.__wrapped__.__exit__(kind, error, traceback)
        finally:
            self._self_counter.over(error)

    async def __aenter__(self) -> Any:
        entered = await self.__wrapped__.__aenter__()
        return self if entered is self.__wrapped__ else entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        try:
            return await self.__wrapped__.__aexit__(kind, error, traceback)
        finally:
            self._self_counter.over(error)


class _Iterable(_Counted):
    def __iter__(self) -> Iterator[Any]:
        items = iter(self.__wrapped__)
        return self if items is self.__wrapped__ else self._self_items(items)

    def _self_items(self, items: Iterable[Any]) -> Iterator[Any]:
        try:
            for item in items:
                self._self_counter.add(item)
                yield item
        except BaseException as error:
            self._self_counter.over(error)
            raise
        self._self_counter.over()


class _Iterator(_Counted):
    def __next__(self) -> Any:
        try:
            item = next(self.__wrapped__)
        except StopIteration:
            self._self_counter.over()
            raise
        except BaseException as error:
            self._self_counter.over(error)
            raise
        self._self_counter.add(item)
        return item


class _AsyncIterable(_Counted):
    def __aiter__(self) -> AsyncIterator[Any]:
        items = aiter(self.__wrapped__)
        is_own = items is self.__wrapped__
        return self if is_own else self._self_async_items(items)

    async def _self_async_items(self, items: AsyncIterable[Any]) -> AsyncIterator[Any]:
        try:
            async for item in items:
                self._self_counter.add(item)
                yield item
        except BaseException as error:
            self._self_counter.over(error)
            raise
        self._self_counter.over()


class _AsyncIterator(_Counted):
    async def __anext__(self) -> Any:
        try:
            item = await anext(self.__wrapped__)
        except StopAsyncIteration:
            self._self_counter.over()
            raise
        except BaseException as error:
            self._self_counter.over(error)
            raise
        self._self_counter.add(item)
        return item


_KINDS: Final[dict[str, type[_Counted]]] = {
    # Frameworks ask a source what it can do, so a proxy has these only if it can.
    "__iter__": _Iterable,
    "__next__": _Iterator,
    "__aiter__": _AsyncIterable,
    "__anext__": _AsyncIterator,
}


@lru_cache(maxsize=16)
def _proxy_class(kinds: tuple[type[_Counted], ...]) -> type[_Counted]:
    return type("_CountedStream", kinds or (_Counted,), {})


def _answered(counter: _Counter, answer: Any, _args: tuple[Any, ...]) -> None:
    for piece in answer if isinstance(answer, list) else (answer,):
        counter.add(piece)


def _filled(counter: _Counter, answer: Any, _args: tuple[Any, ...]) -> None:
    counter.add_count(answer)


def _written(counter: _Counter, answer: Any, args: tuple[Any, ...]) -> None:
    # A raw file may take less than it is given, and says so; one of text counts characters.
    counter.add_count(answer, args[0] if args else None)


def _lines_written(counter: _Counter, _answer: Any, args: tuple[Any, ...]) -> None:
    for line in args[0] if args else ():
        counter.add(line)


def _closed(counter: _Counter, _answer: Any, _args: tuple[Any, ...]) -> None:
    counter.over()


_METHODS: Final[dict[str, Callable[[_Counter, Any, tuple[Any, ...]], None]]] = {
    **dict.fromkeys(("read", "read1", "readline", "readlines", "readall"), _answered),
    **dict.fromkeys(("readinto", "readinto1"), _filled),
    "write": _written,
    "writelines": _lines_written,
    **dict.fromkeys(("close", "aclose"), _closed),
}


def _counting(
    method: Callable[..., Any], count: Callable[[_Counter, Any, tuple[Any, ...]], None], counted: _Counted
) -> Callable[..., Any]:
    counter = counted._self_counter  # noqa: SLF001 - of the same file

    @wraps(method)
    def counting(*args: Any, **kwargs: Any) -> Any:
        if count is _lines_written and args:
            # An iterator can be gone through once only.
            args = (list(args[0]), *args[1:])
        answer = method(*args, **kwargs)
        if hasattr(answer, "__await__"):
            return _counted_later(answer, count, counted, args)
        count(counter, answer, args)
        return answer

    counting.__self__ = counted  # type: ignore[attr-defined] # kept as long as the method is
    return counting


async def _counted_later(
    answer: Any,
    count: Callable[[_Counter, Any, tuple[Any, ...]], None],
    counted: _Counted,
    args: tuple[Any, ...],
) -> Any:
    found = await answer
    count(counted._self_counter, found, args)  # noqa: SLF001 - of the same file
    return found
