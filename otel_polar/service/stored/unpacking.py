"""What gzip or zstd has packed, a piece at a time; what is packed in several parts, one behind the other, is one.

A few kilobytes can hold gigabytes, so no piece is larger than ``PIECE_BYTES``.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from otel_polar.service.unzipping import GZIP_MAGIC

if TYPE_CHECKING:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor
    else:
        from backports.zstd import ZstdDecompressor

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
PIECE_BYTES: Final = 256 * 1024
_STEP_BYTES: Final = 16 * 1024
"""Given at once: what is behind the end of a part is copied by whoever unpacks it, and there may be many ends."""

_GZIP: Final = zlib.MAX_WBITS | 16


class UnpackingError(ValueError):
    """What was packed is damaged. The message says how, and by what it was packed."""


class NoZstdError(ImportError):
    """There is nothing that could unpack zstd. The message says what to install."""


class Unpacker(Protocol):
    """Is given what is packed, in order, whenever it has no more pieces of what it was given before."""

    name: str
    """By what it was packed."""
    whole_bytes: int
    """How many bytes the parts held that have ended, of which each has a checksum at its end."""

    @property
    def is_whole(self) -> bool:
        """Whether what it was given ends where a part ends."""

    def give(self, packed: bytes) -> None:
        """Unpack this next."""

    def piece(self) -> bytes:
        """The next piece; empty if more has to be given.

        Raises:
            UnpackingError: if it is damaged.
        """


class Gzip:
    """Several members, as ``cat`` of two files makes them, and zeros that pad the end of a file."""

    name = "gzip"

    def __init__(self) -> None:
        self.whole_bytes = 0
        self._bytes = 0
        self._given = b""
        self._at = 0
        self._member = zlib.decompressobj(_GZIP)

    @property
    def is_whole(self) -> bool:
        """See :class:`Unpacker`."""
        return self._member.eof

    def give(self, packed: bytes) -> None:
        """See :class:`Unpacker`."""
        self._given, self._at = packed, 0

    def piece(self) -> bytes:
        """See :class:`Unpacker`."""
        while step := self._given[self._at : self._at + _STEP_BYTES]:
            if self._member.eof:
                self._at += len(step) - len(step.lstrip(b"\0"))
                if self._given[self._at : self._at + 1] in (b"", b"\0"):
                    continue
                step = self._given[self._at : self._at + _STEP_BYTES]
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(step, PIECE_BYTES)
            except zlib.error as error:
                raise UnpackingError(f"the gzip is damaged ({error})") from error
            left = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._at += len(step) - len(left)
            self._bytes += len(piece)
            if self._member.eof:
                self.whole_bytes = self._bytes
            if piece:
                return piece
        return b""


class Zstd:
    """Several frames, as the Collector's file exporter writes one for each request where it rotates files.

    Source: open-telemetry/opentelemetry-collector-contrib, exporter/fileexporter (compression_writer.go).
    """

    name = "zstd"

    def __init__(self) -> None:
        """Prepare.

        Raises:
            NoZstdError: if that cannot be, for want of a library.
        """
        self.whole_bytes = 0
        self._bytes = 0
        self._given = b""
        self._at = 0
        self._frame = _new_frame()

    @property
    def is_whole(self) -> bool:
        """See :class:`Unpacker`."""
        return self._frame.eof

    def give(self, packed: bytes) -> None:
        """See :class:`Unpacker`."""
        self._given, self._at = packed, 0

    def piece(self) -> bytes:
        """See :class:`Unpacker`."""
        while self._at < len(self._given) or not (self._frame.eof or self._frame.needs_input):
            if self._frame.eof:
                self._frame = _new_frame()
            step = self._given[self._at : self._at + _STEP_BYTES] if self._frame.needs_input else b""
            try:
                piece = self._frame.decompress(step, PIECE_BYTES)
            except Exception as error:
                # Its ZstdError can only be named where it is there; anything else is as much a reason to stop.
                raise UnpackingError(f"the zstd is damaged ({error})") from error
            self._at += len(step)
            self._bytes += len(piece)
            if self._frame.eof:
                self._at -= len(self._frame.unused_data)
                self.whole_bytes = self._bytes
            if piece:
                return piece
        return b""


def unpacker_for(head: bytes) -> Unpacker | None:
    """For a file that begins like this; ``None`` if it is not packed.

    Raises:
        NoZstdError: if it is, and there is nothing that could unpack it.
    """
    if head.startswith(GZIP_MAGIC):
        return Gzip()
    return Zstd() if head.startswith(ZSTD_MAGIC) else None


def check_zstd() -> None:
    """Nothing, if zstd can be unpacked.

    Raises:
        NoZstdError: if it cannot.
    """
    _new_frame()


def unpack_zstd(packed: bytes, *, max_bytes: int) -> bytes:
    """All that *packed* holds.

    Raises:
        UnpackingError: if it is damaged, cut off, or holds more than *max_bytes*.
        NoZstdError: as :func:`check_zstd`.
    """
    unpacker = Zstd()
    unpacker.give(packed)
    content = bytearray()
    while piece := unpacker.piece():
        content += piece
        if len(content) > max_bytes:
            raise UnpackingError(f"the zstd holds more than {max_bytes} bytes")
    if not unpacker.is_whole:
        raise UnpackingError("the zstd is cut off")
    return bytes(content)


def _new_frame() -> ZstdDecompressor:
    try:
        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdDecompressor  # noqa: PLC0415 - not every Python is built with it
        else:
            from backports.zstd import ZstdDecompressor  # noqa: PLC0415 - of the extra `cli`
    except ImportError as error:
        raise NoZstdError(
            "zstd cannot be unpacked here: pip install 'otel-polar[cli]', or '.[cli]' in a clone"
        ) from error
    return ZstdDecompressor()
