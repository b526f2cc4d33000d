"""Specifies which files are read, and that damage costs no more than what it is in."""

from __future__ import annotations

import gzip
import io
import sys
from typing import TYPE_CHECKING

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from otel_polar.service.stored.messages import (
    MAX_MESSAGE_BYTES,
    Damage,
    Form,
    Message,
    Part,
    Rest,
    form_of,
    messages,
    place_of,
)
from otel_polar.service.stored.plain import Plain, StoredFileError
from tests.service.messages import as_json
from tests.service.stored.recordings import fixed, lengths, lines, packed

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS = fixed(range(5))
CONTENTS = [message.SerializeToString() for message in REQUESTS]


def parts(content: bytes) -> list[Part]:
    plain = Plain(io.BytesIO(content), "spans")
    form = form_of(plain)
    return [] if form is None else list(messages(plain, form))


def zstd_with_checksum(content: bytes) -> bytes:
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


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
        (packed(REQUESTS), Form.PACKED),
        (packed(REQUESTS, TracesData.SerializeToString), Form.PACKED),
        (packed(REQUESTS)[:6], Form.PACKED),
        (packed(REQUESTS)[3:], Form.PACKED),
        (CONTENTS[0], Form.MESSAGE),
        (b"", None),
        (b"\n", None),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_the_form_is_told_by_what_is_in_a_file(
    content: bytes, form: Form | None, pack: Callable[[bytes], bytes]
) -> None:
    """Names are whatever somebody gave them, and a rotated file is zipped without being asked."""
    assert form_of(Plain(io.BytesIO(pack(content)), "spans")) is form


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_every_message_is_read(pack: Callable[[bytes], bytes]) -> None:
    """As lines, and behind their lengths, however the file is packed."""
    assert whole(pack(lengths(REQUESTS))) == CONTENTS
    assert whole(pack(lines(REQUESTS))) == [as_json(message) for message in REQUESTS]
    assert whole(pack(packed(REQUESTS))) == [as_json(message) for message in REQUESTS]
    assert whole(pack(packed(REQUESTS, TracesData.SerializeToString))) == CONTENTS
    assert whole(pack(CONTENTS[0])) == CONTENTS[:1]


def test_what_is_text_and_what_is_not_is_told_by_each_message() -> None:
    """The Collector packs both in the same way, and somebody may have changed the format of a file that goes on."""
    mixed = packed(REQUESTS[:1]) + packed(REQUESTS[1:], TracesData.SerializeToString)

    assert [part.is_json for part in parts(mixed) if isinstance(part, Message)] == [True, False, False, False, False]


def test_several_gzips_one_behind_the_other_are_one() -> None:
    """That is what ``cat`` of two of them makes."""
    assert whole(gzip.compress(lengths(REQUESTS[:2])) + gzip.compress(lengths(REQUESTS[2:])) + bytes(9)) == CONTENTS


def test_several_zstds_one_behind_the_other_are_one() -> None:
    """The Collector writes one for each request where it rotates files, and another one after each restart."""
    assert whole(b"".join(zstd.compress(line + b"\n") for line in lines(REQUESTS).splitlines())) == [
        as_json(message) for message in REQUESTS
    ]


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_packed_file_that_is_cut_off_gives_what_it_has(pack: Callable[[bytes], bytes], cut: int) -> None:
    """It may still be being written: the rest is left for the next time, and nothing is made of half a message."""
    plain = Plain(io.BytesIO(pack(lines(REQUESTS[:2])) + pack(lines(REQUESTS[2:]))[:-cut]), "spans")
    form = form_of(plain)
    assert form is not None
    found = [part for part in messages(plain, form) if isinstance(part, Message) and not part.is_open]

    assert [part.content for part in found][:2] == [as_json(message) for message in REQUESTS[:2]]
    assert plain.damage is not None
    assert "ends in the middle" in plain.damage


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_packed_file_that_is_damaged_gives_what_comes_before(pack: Callable[[bytes], bytes]) -> None:
    """Behind it nothing can be unpacked any more."""
    plain = Plain(io.BytesIO(pack(lines(REQUESTS[:2])) + b"\x28\xb5\x2f\xfd\xff\xff" + bytes(99)), "spans")
    form = form_of(plain)
    assert form is not None
    found = [part.content for part in messages(plain, form) if isinstance(part, Message)]

    assert found == [as_json(message) for message in REQUESTS[:2]]
    assert plain.damage is not None
    assert "is damaged" in plain.damage


@pytest.mark.parametrize("pack", [gzip.compress, zstd_with_checksum])
def test_of_a_part_that_is_damaged_nothing_is_read_whose_checksum_comes_too_late(
    pack: Callable[[bytes], bytes],
) -> None:
    """A flipped bit made another number of tokens, or another customer, who was billed before the checksum was seen."""
    numbers = [as_json(message) + b"\n" for message in fixed(range(2_000))]
    sound, damaged = pack(b"".join(numbers[:3])), bytearray(pack(b"".join(numbers[3:])))
    read: list[bytes] = []
    for place in range(40, len(damaged) - 20, len(damaged) // 50):
        damaged[place] ^= 1
        plain = Plain(io.BytesIO(sound + damaged), "spans")
        plain.check()
        form = form_of(plain)
        assert form is not None
        read += [part.content + b"\n" for part in messages(plain, form) if isinstance(part, Message)]
        assert plain.damage is not None
        damaged[place] ^= 1

    assert read
    assert set(read) == set(numbers[:3])


@pytest.mark.parametrize("pack", [gzip.compress, zstd_with_checksum])
def test_a_check_changes_nothing_of_what_is_sound(pack: Callable[[bytes], bytes]) -> None:
    """Whether it is whole, or is still being written."""
    content = pack(lines(REQUESTS[:2])) + pack(lines(REQUESTS[2:]))
    for end in (len(content), len(content) - 5):
        checked, unchecked = Plain(io.BytesIO(content[:end]), "spans"), Plain(io.BytesIO(content[:end]), "spans")
        checked.check()

        assert checked.peek(10**6) == unchecked.peek(10**6) != b""
        assert checked.damage == unchecked.damage


def test_damage_costs_a_packed_message_only() -> None:
    """Each has a checksum, and the next one is found by how it begins."""
    content = bytearray(packed(REQUESTS))
    begin = 4 + int.from_bytes(content[:4])
    content[begin + 60] ^= 0xFF

    first, damage, *others = parts(bytes(content))

    assert isinstance(damage, Damage)
    assert place_of(damage) == f"byte {begin}"
    assert [part.content for part in (first, *others) if isinstance(part, Message)] == [
        as_json(message) for message in (REQUESTS[0], *REQUESTS[2:])
    ]


def test_a_packed_message_that_holds_more_than_any_may_is_damage() -> None:
    """A few kilobytes can hold gigabytes."""
    bomb = zstd.compress(b"{" + b" " * MAX_MESSAGE_BYTES)
    content = packed(REQUESTS[:1]) + len(bomb).to_bytes(4) + bomb + packed(REQUESTS[1:])

    assert [type(part) for part in parts(content)] == [Message, Damage, Message, Message, Message, Message]


@pytest.mark.parametrize("content", [zstd.compress(lines(REQUESTS[:1])), packed(REQUESTS[:1])])
def test_without_the_library_for_zstd_it_is_refused_with_the_way_out(
    content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes with the extra for the command, and the command may be there without."""
    monkeypatch.setitem(sys.modules, "backports.zstd", None)

    with pytest.raises(StoredFileError, match=r"spans: zstd cannot be unpacked here: pip install 'otel-polar\[cli\]'"):
        parts(content)


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


@pytest.mark.parametrize("away_bytes", [1, 16_370, 16_380, 16_384, 20_000, 70_000])
@pytest.mark.parametrize("write", [lengths, packed])
def test_the_next_message_is_found_however_far_it_is(write: Callable[..., bytes], away_bytes: int) -> None:
    """It is looked for nearby first, for a file with damage in many places would be read for hours."""
    sound = write(REQUESTS[:1])
    found = parts(sound + b"\xff" * away_bytes + sound)

    assert [type(part) for part in found] == [Message, Damage, Message]


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


@given(st.binary(max_size=200), st.integers(0, 2_000), st.sampled_from([lines, lengths, packed]))
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
