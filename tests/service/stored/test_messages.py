"""Specifies which files are read, and that damage costs no more than what it is in."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_polar.service.stored.messages import Damage, Form, Message, Part, Rest, form_of, messages, place_of
from otel_polar.service.stored.plain import Plain, StoredFileError
from tests.service.messages import as_json
from tests.service.stored.recordings import fixed, lengths, lines

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS = fixed(range(5))
CONTENTS = [message.SerializeToString() for message in REQUESTS]


def parts(content: bytes) -> list[Part]:
    plain = Plain(io.BytesIO(content), "spans")
    form = form_of(plain)
    return [] if form is None else list(messages(plain, form))


def whole(content: bytes) -> list[bytes]:
    return [part.content for part in parts(content) if isinstance(part, Message)]


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (lines(REQUESTS), Form.LINES),
        (lines(REQUESTS[:1]), Form.LINES),
        (lines(REQUESTS)[:-1], Form.LINES),
        (b"\xef\xbb\xbf" + lines(REQUESTS), Form.LINES),
        (b'{"resourceSpans": [\n' + lines(REQUESTS), Form.LINES),
        (b'ribute"}]}\n' + lines(REQUESTS), Form.LINES),
        (b'{\n  "resourceSpans": [\n  ]\n}\n', Form.DOCUMENT),
        (lengths(REQUESTS), Form.LENGTHS),
        (lengths(REQUESTS)[:5], Form.LENGTHS),
        (CONTENTS[0], Form.MESSAGE),
        (b"", None),
        (b"\n", None),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_form_is_told_by_what_is_in_a_file(
    content: bytes, form: Form | None, pack: Callable[[bytes], bytes]
) -> None:
    """Names are whatever somebody gave them, and a rotated file is zipped without being asked."""
    assert form_of(Plain(io.BytesIO(pack(content)), "spans")) is form


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_message_is_read(pack: Callable[[bytes], bytes]) -> None:
    """As lines, and behind their lengths."""
    assert whole(pack(lengths(REQUESTS))) == CONTENTS
    assert whole(pack(lines(REQUESTS))) == [as_json(message) for message in REQUESTS]
    assert whole(pack(CONTENTS[0])) == CONTENTS[:1]


def test_several_gzips_one_behind_the_other_are_one() -> None:
    """That is what ``cat`` of two of them makes."""
    assert whole(gzip.compress(lengths(REQUESTS[:2])) + gzip.compress(lengths(REQUESTS[2:])) + bytes(9)) == CONTENTS


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x28\xb5\x2f\xfd....", "zstd -dc spans | otel-polar replay -"),
        # Without the time of day, which would be part of the test's name, another one for each worker.
        (gzip.compress(b"\x28\xb5\x2f\xfd....", mtime=0), "gzip -dc spans | zstd -dc | otel-polar replay -"),
        (b"\0\0\0\x09\x28\xb5\x2f\xfd.....", "one by one"),
    ],
)
def test_zstd_is_refused_with_the_way_out(content: bytes, told: str) -> None:
    """The exporter can compress by it, and Python cannot unpack it."""
    with pytest.raises(StoredFileError, match="zstd") as refused:
        Plain(io.BytesIO(content), "spans")

    assert told in str(refused.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04....", b"time,model\n", b"\xff" * 100, b"[1, 2]"])
def test_what_is_something_else_is_refused(content: bytes) -> None:
    """Nothing is billed of a file that nobody understands."""
    with pytest.raises(StoredFileError, match="no spans in a known form"):
        parts(content)


def test_a_length_that_cannot_be_one_costs_its_message_only() -> None:
    """Somebody's editor, or a disk, has been at it."""
    content = bytearray(lengths(REQUESTS))
    second = 4 + len(CONTENTS[0])
    content[second : second + 4] = b"\xff\xff\xff\xff"

    found = parts(bytes(content))

    assert [part.content for part in found if isinstance(part, Message)] == [CONTENTS[0], *CONTENTS[2:]]
    (damage,) = (part for part in found if isinstance(part, Damage))
    assert place_of(damage) == f"byte {second}"


def test_bytes_that_are_missing_cost_their_message_only() -> None:
    """Its length leads into the next one, which is found all the same."""
    content = lengths(REQUESTS)
    cut = 4 + len(CONTENTS[0]) + 30

    assert whole(content[:cut] + content[cut + 7 :]) == [CONTENTS[0], *CONTENTS[2:]]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_a_message_that_is_being_written_is_left(size: int) -> None:
    """The exporter writes a few thousand bytes at a time, whatever they are."""
    begin = 4 + len(CONTENTS[0])

    found = parts(lengths(REQUESTS)[: begin + size])

    assert found[-1] == Rest(begin)
    assert len(found) == 2


def test_a_last_line_without_an_end_may_be_one() -> None:
    """Whoever reads it finds out; a line that is whole is not left for ever because nobody ended it."""
    *_, before, last = parts(lines(REQUESTS)[:-1])

    assert isinstance(before, Message)
    assert isinstance(last, Message)
    assert (before.is_open, last.is_open) == (False, True)


@given(st.binary(max_size=200), st.integers(0, 2_000), st.sampled_from([lines, lengths]))
def test_nothing_that_is_put_into_a_file_stops_reading(put: bytes, place: int, write: Callable[..., bytes]) -> None:
    """Bad input costs what it is in, and is an error or a part like others; never a crash, and never for ever."""
    content = write(REQUESTS)
    try:
        found = parts(content[:place] + put + content[place:])
    except StoredFileError:
        return

    assert len(found) <= len(REQUESTS) + put.count(b"\n") + put.count(b"\0") + 5


def test_reading_on_begins_where_it_is_told() -> None:
    """A resumed file is not read from its beginning; what is before the place is not needed."""
    content = lengths(REQUESTS)
    plain = Plain(io.BytesIO(content), "spans")

    assert plain.skip_to(len(content) - len(CONTENTS[-1]) - 4)
    assert [part.content for part in messages(plain, Form.LENGTHS) if isinstance(part, Message)] == CONTENTS[-1:]
    assert plain.tail == content[-4_096:]
