"""An application at work in a thread, while others do what they like to the servers behind it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from tests.servers.child import wait_until

if TYPE_CHECKING:
    from random import Random
    from types import TracebackType

    from tests.collector.application import Application

_PAUSE_S = 0.02
_BURST = 8


class Traffic:
    """Calls, a few at a time, for as long as the ``with`` block lasts; after it all of them are acknowledged."""

    def __init__(self, application: Application, random: Random) -> None:
        self._application = application
        self._random = random
        self._acknowledged = 0
        self._ends = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()
        self._application.shutdown()
        if error is None and self._error is not None:
            raise self._error

    def wait_for_more(self, count: int) -> None:
        """Return when so many more calls are acknowledged."""
        enough = self._acknowledged + count
        wait_until(lambda: self._acknowledged >= enough or self._error is not None, f"{count} more calls")

    def _work(self) -> None:
        try:
            while not self._ends.wait(self._random.uniform(0, _PAUSE_S)):
                self._application.deliver_calls(self._random.randint(1, _BURST))
                self._acknowledged = len(self._application.calls)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is seen
            self._error = error
