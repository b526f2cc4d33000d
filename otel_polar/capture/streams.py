"""Files and iterables that count what goes by."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

import wrapt

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from types import TracebackType

    from otel_polar.capture.metered import Usage

_READS = ("read", "read1", "readline", "readall")


def count_stream(
    source: Any, *, by: Literal["bytes", "items"], usage: Usage, end: Callable[[BaseException | None], None]
) -> Any:
    """*source*, of which every byte or item is added to *usage*; *end* is called once, with the error if it broke."""
    return _Counted(source, _Counter(by, usage, end))


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

    def add_bytes(self, count: int) -> None:
        if not self._is_over and count > 0:
            self._usage.add(**{self._by: count if self._by == "bytes" else 1})

    def over(self, error: BaseException | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._end(None if isinstance(error, GeneratorExit) else error)


class _Counted(wrapt.ObjectProxy[Any]):
    """A proxy: everything that is not reading, writing or closing is the source's own."""

    def __init__(self, source: Any, counter: _Counter) -> None:
        super().__init__(source)
        self._self_counter = counter
        # Who reads no further, and closes nothing, has used what has gone by.
        weakref.finalize(self, counter.over)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name in _READS and callable(found):
            return self._self_counting(found)
        return found

    def write(self, data: Any) -> Any:
        written = self.__wrapped__.write(data)
        self._self_counter.add(data)
        return written

    def readinto(self, buffer: Any) -> Any:
        count = self.__wrapped__.readinto(buffer)
        self._self_counter.add_bytes(count or 0)
        return count

    def close(self) -> Any:
        try:
            close = getattr(self.__wrapped__, "close", None)
            return None if close is None else close()
        finally:
            self._self_counter.over()

    async def aclose(self) -> None:
        try:
            aclose = getattr(self.__wrapped__, "aclose", None)
            if aclose is not None:
                await aclose()
        finally:
            self._self_counter.over()

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

    def __iter__(self) -> Iterator[Any]:
        items = iter(self.__wrapped__)
        return self if items is self.__wrapped__ else self._self_items(items)

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

    def __aiter__(self) -> AsyncIterator[Any]:
        items = aiter(self.__wrapped__)
        return self if items is self.__wrapped__ else self._self_async_items(items)

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

    # Each of these holds the proxy as long as it is in use itself: when the proxy is gone, all is over.

    def _self_counting(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            data = read(*args, **kwargs)
            if hasattr(data, "__await__"):
                return self._self_later(data)
            self._self_counter.add(data)
            return data

        return counting

    async def _self_later(self, data: Any) -> Any:
        found = await data
        self._self_counter.add(found)
        return found

    def _self_items(self, items: Iterable[Any]) -> Iterator[Any]:
        try:
            for item in items:
                self._self_counter.add(item)
                yield item
        except BaseException as error:
            self._self_counter.over(error)
            raise
        self._self_counter.over()

    async def _self_async_items(self, items: AsyncIterable[Any]) -> AsyncIterator[Any]:
        try:
            async for item in items:
                self._self_counter.add(item)
                yield item
        except BaseException as error:
            self._self_counter.over(error)
            raise
        self._self_counter.over()
