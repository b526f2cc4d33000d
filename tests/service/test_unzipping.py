from __future__ import annotations

import gzip
import zlib
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_polar.service.origin import SpansFormatError
from otel_polar.service.unzipping import TooLargeError, unzip

MIB: Final = 2**20


@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_whatever_was_zipped_comes_out_again(parts: list[bytes]) -> None:
    """Also several members one behind the other, which is one gzip file (RFC 1952)."""
    whole = b"".join(parts)

    assert unzip(b"".join(gzip.compress(part) for part in parts), max_bytes=len(whole)) == whole
    assert unzip(zlib.compress(whole), max_bytes=len(whole)) == whole


def test_a_bomb_is_refused_at_the_limit() -> None:
    """64 kilobytes hold 64 megabytes, and a gigabyte just as well."""
    bomb = gzip.compress(b"\0" * (8 * MIB))

    with pytest.raises(TooLargeError, match=f"hold more than {MIB}"):
        unzip(bomb, max_bytes=MIB)
    assert unzip(bomb, max_bytes=8 * MIB) == b"\0" * (8 * MIB)


def test_a_bomb_of_many_members_is_refused_at_the_limit() -> None:
    """The limit is for all of them together."""
    with pytest.raises(TooLargeError):
        unzip(gzip.compress(b"\0" * MIB) * 5, max_bytes=4 * MIB)


@pytest.mark.parametrize(
    "content",
    [
        b"\x1f\x8b",
        gzip.compress(b"spans", mtime=0)[:-1],
        gzip.compress(b"spans" * 99, mtime=0)[:20],
        b"no gzip",
        b"\x1f\x8b" + b"x" * 40,
    ],
)
def test_what_is_cut_off_or_damaged_is_refused(content: bytes) -> None:
    """Half of a request must not be taken for all of it."""
    with pytest.raises(SpansFormatError, match="damaged or cut off"):
        unzip(content, max_bytes=MIB)
