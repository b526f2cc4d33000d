"""Specifies how a field of an answer is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.errors import PolarUnreachableError
from otel_polar.polar_api import fields

if TYPE_CHECKING:
    from collections.abc import Callable

ITEM = {
    "name": "Calls",
    "count": 3,
    "sum": 2.0,
    "share": 0.5,
    "is_archived": False,
    "created_at": "2026-11-21T10:00:00Z",
    "local": "2026-11-21T10:00:00",
    "nothing": None,
    "filter": {"clauses": [{"property": "name"}], "words": ["eq"]},
}


def test_a_field_is_what_it_is() -> None:
    """Numbers that JSON writes with a point may be whole."""
    assert fields.text(ITEM, "name") == "Calls"
    assert fields.text_or_none(ITEM, "nothing") is None
    assert (fields.whole(ITEM, "count"), fields.whole(ITEM, "sum")) == (3, 2)
    assert fields.number(ITEM, "share") == 0.5
    assert fields.flag(ITEM, "is_archived") is False
    assert fields.time_of(ITEM, "created_at") == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert fields.mappings(ITEM, "filter.clauses") == [{"property": "name"}]
    assert fields.mapping(ITEM, "filter")["words"] == ["eq"]


@pytest.mark.parametrize(
    ("read", "path"),
    [
        (fields.text, "count"),
        (fields.text, "missing"),
        (fields.text_or_none, "count"),
        (fields.whole, "share"),
        (fields.whole, "is_archived"),
        (fields.number, "name"),
        (fields.number, "is_archived"),
        (fields.flag, "count"),
        (fields.time_of, "name"),
        (fields.time_of, "local"),
        (fields.mappings, "filter"),
        (fields.mappings, "filter.words"),
        (fields.mapping, "name"),
        (fields.text, "name.more"),
    ],
)
def test_what_is_not_what_it_should_be_is_named(read: Callable[[Any, str], object], path: str) -> None:
    """A wrong guess about money is worse than none."""
    with pytest.raises(PolarUnreachableError, match=path.partition("[")[0].replace(".", r"\.")):
        read(ITEM, path)
