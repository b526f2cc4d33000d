"""The bytes of a stored file, unzipped, through a window that only moves forward.

Nothing is kept but what has been looked at and not taken yet, so a file of any size takes the memory of one message.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Final

from otel_polar.errors import OtelPolarError
from otel_polar.service.unzipping import GZIP_MAGIC

if TYPE_CHECKING:
    from typing import BinaryIO

PIECE_BYTES: Final = 256 * 1024
TAIL_BYTES: Final = 4_096
"""So much of what was taken last is remembered: it tells a file from another one."""

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = zlib.MAX_WBITS | 16
_LENGTH_BYTES: Final = 4


class StoredFileError(OtelPolarError):
    """A stored file cannot be read for billing. The message names it and says what to do."""


class Plain:
    """What one file holds. ``position`` counts unzipped bytes from its beginning, ``raw_bytes`` those of the file."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        """*name* is what messages call it.

        Raises:
            StoredFileError: if it is compressed in a way that is not read here.
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
        self._window = bytearray()
        self._ahead = self._read_raw()
        self._unzipper = zlib.decompressobj(_GZIP) if self._ahead.startswith(GZIP_MAGIC) else None
        self.is_zipped = self._unzipper is not None
        _refuse_zstd(self._ahead if self._unzipper is None else self.peek(2 * _LENGTH_BYTES), name, self.is_zipped)

    def peek(self, size: int) -> bytes:
        """The next *size* bytes, fewer only at the end."""
        while len(self._window) < size and (piece := self._read()):
            self._window += piece
        return bytes(self._window[:size])

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
        if self._unzipper is None and self._file.seekable():
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
        """The next piece, unzipped; empty at the end."""
        while self.damage is None:
            raw, self._ahead = self._ahead or self._read_raw(), b""
            if self._unzipper is None:
                return raw
            if not raw:
                if not self._unzipper.eof:
                    self.damage = "the gzip ends in the middle: it is still being written, or was cut off"
                return b""
            if piece := self._unzip(raw):
                return piece
        return b""

    def _unzip(self, raw: bytes) -> bytes:
        assert self._unzipper is not None  # noqa: S101 - it is asked before
        if self._unzipper.eof:
            # Another member, as ``cat`` of two files makes them, or zeros that pad the end.
            raw = raw.lstrip(b"\0")
            if not raw:
                return b""
            self._unzipper = zlib.decompressobj(_GZIP)
        try:
            # In pieces: a few kilobytes can hold gigabytes.
            piece = self._unzipper.decompress(raw, PIECE_BYTES)
        except zlib.error as error:
            self.damage = f"the gzip is damaged ({error})"
            return b""
        self._ahead = self._unzipper.unused_data if self._unzipper.eof else self._unzipper.unconsumed_tail
        return piece


def _refuse_zstd(head: bytes, name: str, is_zipped: bool) -> None:  # noqa: FBT001 - private, and its name says it
    if head.startswith(ZSTD_MAGIC):
        unpack = f"gzip -dc {name} | zstd -dc" if is_zipped else f"zstd -dc {name}"
        raise StoredFileError(f"{name} is compressed by zstd, which is not read here: {unpack} | otel-polar replay -")
    if head[_LENGTH_BYTES:].startswith(ZSTD_MAGIC):
        raise StoredFileError(
            f"{name} holds messages that were compressed one by one, each behind its length, as the Collector's file"
            " exporter writes them with `compression: zstd`; zstd's own program cannot unpack that. Have the exporter"
            " write without `compression`, or with one stream (feature gate exporter.file.nativeCompression)"
        )
