"""The bytes of a stored file, unpacked, through a window that only moves forward.

Nothing is kept but what has been looked at and not taken yet, so a file of any size takes the memory of one message.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from otel_polar.errors import OtelPolarError
from otel_polar.service.stored.unpacking import PIECE_BYTES, NoZstdError, UnpackingError, unpacker_for

if TYPE_CHECKING:
    from typing import BinaryIO

TAIL_BYTES: Final = 4_096
"""So much of what was taken last is remembered: it tells a file from another one."""


class StoredFileError(OtelPolarError):
    """A stored file cannot be read for billing. The message names it and says what to do."""


class Plain:
    """What one file holds. ``position`` counts unpacked bytes from its beginning, ``raw_bytes`` those of the file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """*name* is what messages call it.

        Raises:
            StoredFileError: if there is nothing here that could unpack it.
            OSError: if it cannot be read.
        """
        self._file = file
        self.name = name
        self.position = 0
        self.raw_bytes = 0
        self.tail = b""
        """The last ``TAIL_BYTES`` before the position."""
        self.damage: str | None = None
        """Why it ended before its end, if it did."""
        self._unsound: tuple[int, str] | None = None
        self._window = bytearray()
        self._ahead = self._read_raw()
        try:
            self._unpacker = unpacker_for(self._ahead)
        except NoZstdError as error:
            raise StoredFileError(f"{name}: {error}, or zstd -dc {name} | otel-polar replay -") from error

    def check(self) -> None:
        """Unpack it all before anything is taken: it ends, then, before a part in which there is damage.

        The checksum of a part stands at its end: up to there, a wrong number or customer looks like any other one. What
        comes through a pipe can be read once only, and is not checked.

        Raises:
            OSError: if it cannot be read.
        """
        if self._unpacker is None or not self._file.seekable():
            return
        here = self._file.tell()
        unpacker, raw = unpacker_for(self._ahead), self._ahead
        assert unpacker is not None  # noqa: S101 - it begins as it began
        try:
            while raw:
                unpacker.give(raw)
                while unpacker.piece():
                    pass
                raw = self._file.read(PIECE_BYTES)
        except UnpackingError as error:
            self._unsound = unpacker.whole_bytes, str(error)
        self._file.seek(here)

    def peek(self, size: int, begin: int = 0) -> bytes:
        """The *size* bytes that come *begin* bytes from here, fewer only at the end."""
        while len(self._window) < begin + size and (piece := self._read()):
            self._window += piece
        return bytes(self._window[begin : begin + size])

    def take(self, size: int) -> bytes:
        """The same, and move behind them."""
        content = self.peek(size)
        self._pass(content)
        return content

    def take_line(self, max_bytes: int) -> tuple[bytes | None, bool]:
        """The rest of the line, without its end, and whether it has one; ``None`` instead if it is longer."""
        searched = 0
        while (end := self._window.find(b"\n", searched)) < 0:
            searched = len(self._window)
            if searched > max_bytes:
                return None, self._pass_line()
            piece = self._read()
            if not piece:
                return self.take(searched), False
            self._window += piece
        return self.take(end + 1)[:-1], True

    def skip_to(self, position: int) -> bool:
        """Move forward; False if the file ends before."""
        if self._unpacker is None and self._file.seekable():
            # What is behind the window need not be read, but for what is to be remembered of it.
            here = self._file.tell()
            if position - TAIL_BYTES > here and self._file.seek(0, io.SEEK_END) >= position:
                here = self.raw_bytes = self.position = position - TAIL_BYTES
                self._window.clear()
                self._ahead = b""
            self._file.seek(here)
        while self.position < position:
            if not self.take(min(PIECE_BYTES, position - self.position)):
                return False
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _pass(self, content: bytes) -> None:
        del self._window[: len(content)]
        self.position += len(content)
        self.tail = (self.tail + content[-TAIL_BYTES:])[-TAIL_BYTES:]

    def _pass_line(self) -> bool:
        """Move behind the end of the line, whatever its length; whether it has one."""
        while (end := self._window.find(b"\n")) < 0:
            self._pass(bytes(self._window))
            piece = self._read()
            if not piece:
                return False
            self._window += piece
        self._pass(bytes(self._window[: end + 1]))
        return True

    def _read_raw(self) -> bytes:
        piece = self._file.read(PIECE_BYTES)
        self.raw_bytes += len(piece)
        return piece

    def _read(self) -> bytes:
        """The next piece, unpacked; empty at the end."""
        unpacker = self._unpacker
        while self.damage is None:
            try:
                if unpacker is not None and (piece := unpacker.piece()):
                    return self._sound(piece)
            except UnpackingError as error:
                self.damage = str(error)
                return b""
            raw, self._ahead = self._ahead or self._read_raw(), b""
            if unpacker is None:
                return raw
            if not raw:
                if not unpacker.is_whole:
                    self.damage = f"the {unpacker.name} ends in the middle: it is still being written, or was cut off"
                return b""
            unpacker.give(raw)
        return b""

    def _sound(self, piece: bytes) -> bytes:
        """As much of the next piece as is in front of what was found damaged."""
        if self._unsound is None:
            return piece
        end, reason = self._unsound
        sound = piece[: max(0, end - self.position - len(self._window))]
        if len(sound) < len(piece):
            self.damage = reason
        return sound
