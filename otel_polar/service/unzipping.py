"""gzip and deflate, as far as a limit: a few kilobytes of them can hold gigabytes."""

from __future__ import annotations

import zlib
from typing import Final

from otel_polar.service.origin import SpansFormatError

GZIP_MAGIC: Final = b"\x1f\x8b"
_ANY_HEADER: Final = zlib.MAX_WBITS | 32
"""Of gzip or of zlib, whichever it is."""

PIECE_BYTES: Final = 64 * 1024
MAX_MEMBERS: Final = 1_000
"""Senders write one."""


class TooLargeError(SpansFormatError):
    """More than may be taken at once."""


def unzip(content: bytes, *, max_bytes: int) -> bytes:
    """What gzip or zlib *content* holds, also in several members, as ``cat`` of two files makes them.

    Raises:
        TooLargeError: if that is more than *max_bytes*.
        SpansFormatError: if it is damaged or cut off.
    """
    parts: list[bytes] = []
    position, room, members = 0, max_bytes + 1, 0
    decompressor = None
    while position < len(content):
        if decompressor is None:
            members += 1
            if members > MAX_MEMBERS:
                raise TooLargeError(f"{len(content)} bytes of gzip with more than {MAX_MEMBERS} members")
            decompressor = zlib.decompressobj(_ANY_HEADER)
        # In pieces: what is behind the end of a member is copied, and there may be an end every twenty bytes.
        piece = content[position : position + PIECE_BYTES]
        try:
            part = decompressor.decompress(piece, room)
        except zlib.error as error:
            raise SpansFormatError(f"{len(content)} bytes of gzip are damaged or cut off ({error})") from error
        parts.append(part)
        room -= len(part)
        if room <= 0:
            raise TooLargeError(f"{len(content)} bytes of gzip hold more than {max_bytes}")
        position += len(piece) - len(decompressor.unused_data)
        if decompressor.eof:
            decompressor = None
            # What pads the end of a file is not another member.
            while content.startswith(b"\0", position):
                piece = content[position : position + PIECE_BYTES]
                position += len(piece) - len(piece.lstrip(b"\0"))
    if decompressor is not None:
        raise SpansFormatError(f"{len(content)} bytes of gzip are damaged or cut off (no end)")
    return parts[0] if len(parts) == 1 else b"".join(parts)
