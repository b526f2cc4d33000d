"""The export requests in a stored file, one after the other, whatever form it has.

::

    lines      a JSON document on each line          the Collector's file exporter, ``format: json``
    document   one JSON document, over many lines    a saved answer, a test
    lengths    4 bytes of length, big-endian, then   the file exporter, ``format: proto``
               a protobuf message, again and again
    message    one protobuf message                  TracesData

Source: open-telemetry/opentelemetry-collector-contrib, exporter/fileexporter (README.md, file_writer.go).

Damage costs what it is in: a line ends at the next line's beginning, and behind a length that cannot be one the next
place is searched for at which a length and a whole message begin. What ends in the middle, at the end of the file, may
still be being written: it is left for the next time.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_polar.service.origin import SpansFormatError
from otel_polar.service.stored.plain import StoredFileError
from otel_polar.service.wire import frames, groups_of_spans

if TYPE_CHECKING:
    from collections.abc import Iterator

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
# A length of less than 16 MiB and the first tag. Of those that are longer, damage costs all up to the next shorter one.
_MAYBE_MESSAGE: Final = re.compile(rb"(?=\x00[\x00-\xff]{3}\x0a)", re.DOTALL)
_BLANK: Final = b" \t\r\n\0"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Form(StrEnum):
    """How messages lie in a file."""

    LINES = "lines"
    DOCUMENT = "document"
    LENGTHS = "lengths"
    MESSAGE = "message"

    @property
    def is_json(self) -> bool:
        """Whether they are text."""
        return self in (Form.LINES, Form.DOCUMENT)


class Message(NamedTuple):
    """One request, from *begin* in the plain bytes, on that line. ``is_open``: the file ends with it, perhaps in it."""

    begin: int
    line: int | None
    content: bytes
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
    if head[0] == _FIRST_TAG and not _begins_with_length(head):
        return Form.MESSAGE
    if _begins_with_length(head) or _MAYBE_MESSAGE.search(head):
        return Form.LENGTHS
    if b"\n{" in head:
        # The first line has lost its beginning.
        return Form.LINES
    raise StoredFileError(
        f"{plain.name} holds no spans in a known form (it begins with 0x{head[:4].hex()}): read are OTLP traces as JSON"
        " lines or as protobuf behind 4 bytes of length, as the Collector's file exporter writes them, one JSON"
        " document, one protobuf message, and gzip of these"
    )


def messages(plain: Plain, form: Form, line: int = 1) -> Iterator[Part]:
    """Everything from the file's present position on; *line* is the number of the line that begins there."""
    match form:
        case Form.LINES:
            return _lines(plain, line)
        case Form.LENGTHS:
            return _lengths(plain)
        case _:
            return _whole(plain)


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


def _begins_with_length(head: bytes) -> bool:
    length = int.from_bytes(head[:LENGTH_BYTES])
    return 0 < length <= MAX_MESSAGE_BYTES and head[LENGTH_BYTES : LENGTH_BYTES + 1] in (b"\x0a", b"")


def _lines(plain: Plain, line: int) -> Iterator[Part]:
    while True:
        begin = plain.position
        content, is_ended = plain.take_line(MAX_MESSAGE_BYTES)
        if content is None:
            yield Damage(begin, line, f"a line of more than {MAX_MESSAGE_BYTES} bytes")
        elif content.strip(_BLANK):
            yield Message(begin, line, content.strip(_BLANK), is_open=not is_ended)
        if not is_ended:
            return
        line += 1


def _whole(plain: Plain) -> Iterator[Part]:
    content = plain.take(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise StoredFileError(
            f"{plain.name} is one document of more than {MAX_DOCUMENT_BYTES} bytes: write it as JSON lines, with a"
            " request on each"
        )
    yield Message(0, None, content, is_open=plain.damage is not None or not _is_closed(content))


def _is_closed(content: bytes) -> bool:
    return content.rstrip(_BLANK).endswith(b"}") or content[:1] == b"\x0a"


def _lengths(plain: Plain) -> Iterator[Part]:
    while head := plain.peek(LENGTH_BYTES):
        begin = plain.position
        length = int.from_bytes(head)
        is_possible = len(head) == LENGTH_BYTES and 0 < length <= MAX_MESSAGE_BYTES
        ahead = plain.peek(LENGTH_BYTES + length + LENGTH_BYTES + 1)[LENGTH_BYTES:] if is_possible else b""
        content, behind = ahead[:length], ahead[length:]
        if is_possible and len(content) == length and _is_message(content, behind):
            plain.take(LENGTH_BYTES + length)
            yield Message(begin, None, content)
            continue
        is_cut = len(head) < LENGTH_BYTES or (is_possible and len(content) < length)
        at = _next_message(plain)
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
        if behind and not _begins_with_length(behind):
            # Then either this one ends elsewhere or the next one is damaged.
            spans = [frame for group in groups for frame in group.spans]
            return all(number for _, begin, end in spans for number, _, _ in frames(content, begin, end))
    except SpansFormatError:
        return False
    return True


def _next_message(plain: Plain) -> int | None:
    """How many bytes ahead the next whole message begins, as far as one can be looked for."""
    window = plain.peek(MAX_MESSAGE_BYTES)
    for found in _MAYBE_MESSAGE.finditer(window, 1):
        at = found.start()
        length = int.from_bytes(window[at : at + LENGTH_BYTES])
        content = window[at + LENGTH_BYTES : at + LENGTH_BYTES + length]
        if len(content) == length and _is_message(content, window[at + LENGTH_BYTES + length : at + length + 9]):
            return at
    return None
