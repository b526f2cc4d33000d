"""The directory in which orders and their answers lie, beside the outbox files of one server and token.

Everything is written as a whole under its name, and read with bounds: never through a link, never from what is no
plain file, never what somebody else has put there.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_polar.delivery.orders.answers import Answer, load_answer
from otel_polar.delivery.orders.order import KEPT_S, MAX_ORDER_BYTES, Order, load_order
from otel_polar.errors import OrderError

if TYPE_CHECKING:
    from pathlib import Path

ORDERS: Final = "orders"
_ORDER: Final = ".json"
_ANSWER: Final = ".done"
_UNFINISHED: Final = ".new"
_ASIDE: Final = ".unreadable"
_ID: Final = re.compile(r"[0-9a-f]{16}")
MAX_LISTED: Final = 200
LEFT_OVER_S: Final = 3_600.0
"""An answer to an order that is gone, and a file that nobody has finished, are deleted after so long."""


class OrderFiles:
    """The orders in the directory of some outbox files."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / ORDERS

    def listed(self) -> list[str]:
        """What lies there as an order, by name without its ending: an id, if somebody of ours has written it.

        Raises:
            OSError: if the directory cannot be read.
        """
        try:
            # One look costs some microseconds, so it can be taken every second.
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(_ORDER)]
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(_ORDER) for name in names)[:MAX_LISTED]

    def read(self, order_id: str) -> Order | None:
        """An order; ``None`` if it has been withdrawn.

        Raises:
            OrderError: if it is none.
            OSError: if it cannot be read.
        """
        if not _ID.fullmatch(order_id):
            raise OrderError("its name is no order's")
        text = self._read(f"{order_id}{_ORDER}")
        return None if text is None else load_order(text, order_id)

    def is_there(self, order_id: str) -> bool:
        """Whether it has not been withdrawn."""
        return (self.path / f"{order_id}{_ORDER}").exists()

    def leave(self, order: Order) -> None:
        """Write an order down.

        Raises:
            OSError: if it cannot be written.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        _give_to_owner_of(self.path.parent, self.path)
        self._write(f"{order.id}{_ORDER}", order.dump())

    def withdraw(self, order_id: str) -> None:
        """Take an order back, and its answers with it.

        Raises:
            OSError: if it cannot be deleted.
        """
        (self.path / f"{order_id}{_ORDER}").unlink(missing_ok=True)
        for path in self.path.glob(f"{order_id}.*{_ANSWER}"):
            path.unlink(missing_ok=True)

    def answer(self, order_id: str, outbox: str, answer: Answer) -> None:
        """Write down what became of an order in the *outbox* of that name.

        Raises:
            OSError: if it cannot be written.
        """
        self._write(f"{order_id}.{outbox}{_ANSWER}", answer.dump())

    def answers(self, order_id: str) -> dict[str, Answer]:
        """What has been answered to an order so far, by the name of the outbox. What is no answer is passed over.

        Raises:
            OSError: if one cannot be read.
        """
        answers: dict[str, Answer] = {}
        for path in self.path.glob(f"{order_id}.*{_ANSWER}"):
            with suppress(OrderError):
                text = self._read(path.name)
                if text is not None:
                    answers[path.name.removesuffix(_ANSWER).partition(".")[2]] = load_answer(text)
        return answers

    def put_aside(self, name: str) -> str:
        """Rename what is no order, for a person to look at; how that went."""
        aside = f"{name}-{secrets.token_hex(2)}{_ASIDE}"
        try:
            (self.path / f"{name}{_ORDER}").rename(self.path / aside)
        except OSError as error:
            return f"it cannot be put aside: {error.strerror}"
        return f"it was put aside as {aside}"

    def tidy(self, now: float) -> None:
        """Delete what nobody waits for any more: orders that are too old, and what is left over of others."""
        with suppress(OSError):
            orders = set(self.listed())
            for path in self.path.iterdir():
                age_s = now - path.stat().st_mtime
                is_of_order = path.name.partition(".")[0] in orders
                is_left_over = path.suffix in {_ANSWER, _UNFINISHED} and not is_of_order
                if age_s > (LEFT_OVER_S if is_left_over else KEPT_S):
                    path.unlink(missing_ok=True)

    def _read(self, name: str) -> str | None:
        try:
            # Not through a link; and a pipe must not make us wait for whoever writes to it.
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if (self.path / name).is_symlink():
                raise OrderError("it is a link") from error
            raise
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OrderError("it is no plain file")
            if found.st_uid not in {os.geteuid(), 0} and found.st_uid != self.path.stat().st_uid:
                raise OrderError("it is another user's")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_ORDER_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > MAX_ORDER_BYTES:
            raise OrderError(f"it has more than {MAX_ORDER_BYTES} bytes")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise OrderError("it is no text") from error

    def _write(self, name: str, text: str) -> None:
        unfinished = self.path / f"{name}-{secrets.token_hex(4)}{_UNFINISHED}"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode=0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            _give_to_owner_of(self.path, unfinished)
            unfinished.replace(self.path / name)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise


def _give_to_owner_of(directory: Path, path: Path) -> None:
    """What an administrator leaves must be for the application to read."""
    if os.geteuid() == 0:
        owner = directory.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
