"""The export requests in a stored file, one after the other, whatever form it has.

::

    lines      a JSON document on each line          the Collector's file exporter, ``format: json``
    document   one JSON document, over many lines    a saved answer, a test
    lengths    4 bytes of length, big-endian, then   the file exporter, ``format: proto``
               a protobuf message, again and again
    packed     the same with each message, of either  the file exporter, ``compression: zstd``
               kind, compressed by itself
    message    one protobuf message                  TracesData

Source: open-telemetry/opentelemetry-collector-contrib, exporter/fileexporter (README.md, file_writer.go).

Damage costs what it is in: a line ends at the next line's beginning, and behind a length that cannot be one the next
place is searched for at which a length and a whole message begin. What ends in the middle, at the end of the file, may
still be being written: it is left for the next time.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_polar.service.origin import SpansFormatError
from otel_polar.service.stored.plain import StoredFileError
from otel_polar.service.stored.unpacking import ZSTD_MAGIC, NoZstdError, UnpackingError, check_zstd, unpack_zstd
from otel_polar.service.wire import frames, groups_of_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.service.stored.plain import Plain

MAX_MESSAGE_BYTES: Final = 64 * 2**20
"""Of a line, or of a message behind its length; the service takes no larger ones by default."""

MAX_DOCUMENT_BYTES: Final = 256 * 2**20
"""Of a file that is one document or one message."""

LENGTH_BYTES: Final = 4
_FIRST_TAG: Final = 0x0A
"""Field 1, ``resource_spans``, with a length: what every message that holds spans begins with."""

_HEAD_BYTES: Final = 64 * 1024
_MAX_HEAD_BYTES: Final = 4 * 2**20
_LINES_TRIED: Final = 10
_SEARCHED_BYTES: Final = 16 * 1024
"""First, behind damage: it is mostly close, and there may be much of it. Then four times as many, and so on."""

_BLANK: Final = b" \t\r\n\0"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Form(StrEnum):
    """How messages lie in a file."""

    LINES = "lines"
    DOCUMENT = "document"
    LENGTHS = "lengths"
    PACKED = "packed"
    MESSAGE = "message"


class Message(NamedTuple):
    """One request, from *begin* in the plain bytes, on that line. ``is_open``: the file ends with it, perhaps in it.

    ``is_json``: it is text, and no protobuf.
    """

    begin: int
    line: int | None
    content: bytes
    is_json: bool
    is_open: bool = False


class Damage(NamedTuple):
    """A part of the file of which nothing can be read."""

    begin: int
    line: int | None
    reason: str


class Rest(NamedTuple):
    """The end of the file, which is not written to its end yet."""

    begin: int
    line: int | None = None


def place_of(part: Part) -> str:
    """Where it begins, in words."""
    return f"byte {part.begin}" if part.line is None else f"line {part.line}"


Part: TypeAlias = "Message | Damage | Rest"


def form_of(plain: Plain) -> Form | None:
    """The form, by what the file begins with; ``None`` if there is nothing in it yet.

    Raises:
        StoredFileError: if it has none of them.
    """
    head = plain.peek(_HEAD_BYTES)
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANK)
    if text.startswith(b"{"):
        return Form.LINES if _are_lines(plain) else Form.DOCUMENT
    if not head.strip(b" \t\r\n") or (len(head) <= LENGTH_BYTES and head[:1] == b"\0"):
        return None
    if head[0] == _FIRST_TAG and not _begins_with_length(head, _PLAIN):
        return Form.MESSAGE
    if (form := _form_behind_lengths(head)) is not None:
        _check(form, plain.name)
        return form
    if b"\n{" in head:
        # The first line has lost its beginning.
        return Form.LINES
    raise StoredFileError(
        f"{plain.name} holds no spans in a known form (it begins with 0x{head[:4].hex()}): read are OTLP traces as JSON"
        " lines or as protobuf behind 4 bytes of length, as the Collector's file exporter writes them, one JSON"
        " document, one protobuf message, and gzip or zstd of these"
    )


def _form_behind_lengths(head: bytes) -> Form | None:
    if _begins_with_length(head, _PLAIN):
        return Form.LENGTHS
    # Before it is searched for a length: in what is packed there is everything.
    if _begins_with_length(head, _PACKED) or _PACKED.maybe.search(head):
        return Form.PACKED
    return Form.LENGTHS if _PLAIN.maybe.search(head) else None


def _check(form: Form, name: str) -> None:
    try:
        if form is Form.PACKED:
            check_zstd()
    except NoZstdError as error:
        raise StoredFileError(f"{name}: {error}") from error


def messages(plain: Plain, form: Form, line: int = 1) -> Iterator[Part]:
    """Everything from the file's present position on; *line* is the number of the line that begins there."""
    match form:
        case Form.LINES:
            return _lines(plain, line)
        case Form.LENGTHS:
            return _lengths(plain, _PLAIN)
        case Form.PACKED:
            return _lengths(plain, _PACKED)
        case _:
            return _whole(plain, is_json=form is Form.DOCUMENT)


def _are_lines(plain: Plain) -> bool:
    """Whether a line stands for itself: of a document that was printed over many lines, none does."""
    head = plain.peek(_HEAD_BYTES)
    while head.count(b"\n") < _LINES_TRIED and len(head) < _MAX_HEAD_BYTES:
        more = plain.peek(2 * len(head))
        if len(more) == len(head):
            break
        head = more
    lines = [line for line in head.split(b"\n") if line.strip(_BLANK)]
    if len(lines) == 1:
        # Or one that is being written, or is longer than can be looked at here.
        return True
    return any(_is_object(line) for line in lines[:_LINES_TRIED])


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.strip(_BLANK).decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _begins_with_length(head: bytes, framing: _Framing) -> bool:
    length = int.from_bytes(head[:LENGTH_BYTES])
    begins = head[LENGTH_BYTES : LENGTH_BYTES + len(framing.magic)]
    return 0 < length <= MAX_MESSAGE_BYTES and framing.magic.startswith(begins)


def _lines(plain: Plain, line: int) -> Iterator[Part]:
    while True:
        begin = plain.position
        content, is_ended = plain.take_line(MAX_MESSAGE_BYTES)
        if content is None:
            yield Damage(begin, line, f"a line of more than {MAX_MESSAGE_BYTES} bytes")
        elif content.strip(_BLANK):
            yield Message(begin, line, content.strip(_BLANK), is_json=True, is_open=not is_ended)
        if not is_ended:
            return
        line += 1


def _whole(plain: Plain, *, is_json: bool) -> Iterator[Part]:
    content = plain.take(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise StoredFileError(
            f"{plain.name} is one document of more than {MAX_DOCUMENT_BYTES} bytes: write it as JSON lines, with a"
            " request on each"
        )
    yield Message(0, None, content, is_json, is_open=plain.damage is not None or not _is_closed(content))


def _is_closed(content: bytes) -> bool:
    return content.rstrip(_BLANK).endswith(b"}") or content[:1] == b"\x0a"


def _lengths(plain: Plain, framing: _Framing) -> Iterator[Part]:
    while head := plain.peek(LENGTH_BYTES):
        begin = plain.position
        length = int.from_bytes(head)
        is_possible = len(head) == LENGTH_BYTES and 0 < length <= MAX_MESSAGE_BYTES
        ahead = plain.peek(LENGTH_BYTES + length + LENGTH_BYTES + 1)[LENGTH_BYTES:] if is_possible else b""
        content, behind = ahead[:length], ahead[length:]
        message = framing.read(content, behind) if is_possible and len(content) == length else None
        if message is not None:
            plain.take(LENGTH_BYTES + length)
            yield Message(begin, None, message, is_json=message[:1] == b"{")
            continue
        is_cut = len(head) < LENGTH_BYTES or (is_possible and len(content) < length)
        at = _next_message(plain, framing)
        if at is None and is_cut:
            yield Rest(begin)
            return
        # Not by its length, which may be what is damaged.
        plain.skip_to(begin + at if at is not None else _END)
        yield Damage(begin, None, "not a message with its length before it")


_END: Final = 2**63


def _is_message(content: bytes, behind: bytes) -> bool:
    """Whether it is one from its beginning to its end, and not one that has lost bytes and eaten into the next."""
    if content[:1] != b"\x0a":
        return False
    try:
        groups = list(groups_of_spans(content))
        if behind and not _begins_with_length(behind, _PLAIN):
            # Then either this one ends elsewhere or the next one is damaged.
            spans = [frame for group in groups for frame in group.spans]
            return all(number for _, begin, end in spans for number, _, _ in frames(content, begin, end))
    except SpansFormatError:
        return False
    return True


def _next_message(plain: Plain, framing: _Framing) -> int | None:
    """How many bytes ahead the next whole message begins, as far as one can be looked for."""
    begin, size = 1, _SEARCHED_BYTES
    while True:
        window = plain.peek(size)
        for found in framing.maybe.finditer(window, begin):
            at = found.start()
            length = int.from_bytes(window[at : at + LENGTH_BYTES])
            ahead = plain.peek(length + LENGTH_BYTES + 1, at + LENGTH_BYTES)
            content, behind = ahead[:length], ahead[length:]
            if len(content) == length and framing.read(content, behind) is not None:
                return at
        if len(window) < size or size >= MAX_MESSAGE_BYTES:
            return None
        # One may begin before the window's end without being seen there.
        begin, size = size - LENGTH_BYTES - len(framing.magic) + 1, 4 * size


def _read_plain(content: bytes, behind: bytes) -> bytes | None:
    return content if _is_message(content, behind) else None


def _read_packed(content: bytes, _: bytes) -> bytes | None:
    # Its frame says where it ends, and has a checksum if the Collector wrote it: what follows need not be looked at.
    with suppress(UnpackingError):
        return unpack_zstd(content, max_bytes=MAX_MESSAGE_BYTES)
    return None


class _Framing(NamedTuple):
    """How messages behind their lengths begin, where one may begin, and what one is; ``None`` if it is none."""

    magic: bytes
    maybe: re.Pattern[bytes]
    read: Callable[[bytes, bytes], bytes | None]


# A length of less than 16 MiB and the first bytes. Of longer ones, damage costs all up to the next shorter one.
_PLAIN: Final = _Framing(b"\x0a", re.compile(rb"(?=\x00[\x00-\xff]{3}\x0a)", re.DOTALL), _read_plain)
_PACKED: Final = _Framing(
    ZSTD_MAGIC, re.compile(rb"(?=\x00[\x00-\xff]{3}" + re.escape(ZSTD_MAGIC) + rb")", re.DOTALL), _read_packed
)
