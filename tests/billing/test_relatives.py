from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_polar.billing.relatives import Relatives
from otel_polar.billing.selection import select
from otel_polar.billing.usage import Unmetered
from tests.billing.test_selection import BEGIN, CLIENT, FRAMEWORK, MS, SPANS, STRONG, below, call, in_trace

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from otel_polar.billing.call import ModelCall


def relatives_of(spans: Sequence[ModelCall]) -> Relatives[int]:
    relatives: Relatives[int] = Relatives()
    for position, span in enumerate(spans):
        relatives.add(position, span)
    return relatives


def family(relatives: Relatives[int], spans: Sequence[ModelCall], position: int) -> frozenset[int]:
    """Everything that is found from one span on."""
    looked_through: set[Hashable] = set()
    found = [position]
    for each in found:
        found += [other for other in relatives.of(spans[each], looked_through) if other not in found]
    return frozenset(found)


@given(spans=SPANS, totals=st.sets(st.integers(0, 11)))
@settings(max_examples=200, deadline=None)
def test_what_is_united_among_all_spans_is_united_among_the_relatives_of_each(
    spans: list[ModelCall], totals: set[int]
) -> None:
    """A call need not be compared with everything, to be billed as if it were."""
    spans = [span._replace(is_total=position in totals) for position, span in enumerate(spans)]
    relatives = relatives_of(spans)

    families = {family(relatives, spans, position) for position in range(len(spans))}

    assert sorted(position for each in families for position in each) == list(range(len(spans)))
    alone = [
        [sorted(each)[place] for place in group]
        for each in families
        for group in select([spans[p] for p in sorted(each)])
    ]
    assert sorted(alone) == sorted(select(spans))


@given(spans=SPANS, gone=st.sets(st.integers(0, 11)))
@settings(max_examples=200, deadline=None)
def test_what_was_removed_leaves_nothing_behind(spans: list[ModelCall], gone: set[int]) -> None:
    """A process that bills for months must not grow."""
    removed = [position for position in range(len(spans)) if position in gone]
    relatives = relatives_of(spans)

    for position in removed:
        relatives.remove(position, spans[position])

    left = [position for position in range(len(spans)) if position not in gone]
    without: Relatives[int] = Relatives()
    for position in left:
        without.add(position, spans[position])
    assert [family(relatives, spans, p) for p in left] == [family(without, spans, p) for p in left]
    for position in left:
        relatives.remove(position, spans[position])
    assert not any(index for index in vars(relatives).values() if isinstance(index, dict))


INNER = call("inner", CLIENT, 10, 90)
OUTER = call("outer", FRAMEWORK, 0, 100)
PARENT, CHILD = in_trace(call("parent", CLIENT, 0, 100), call("child", CLIENT, 10, 90))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(INNER, INNER._replace(start_time_unix_nano=BEGIN + MS), id="the same span"),
        pytest.param(
            INNER._replace(response_id=STRONG, usage=Unmetered("x")),
            OUTER._replace(response_id=STRONG),
            id="one answer",
        ),
        pytest.param(PARENT, below(PARENT, CHILD), id="parent and child of one scope"),
        pytest.param(INNER, OUTER, id="two scopes, equal tokens"),
        pytest.param(PARENT, CHILD._replace(usage=Unmetered("x")), id="no tokens, in one trace"),
        pytest.param(PARENT, CHILD._replace(is_total=True), id="a total of the trace"),
    ],
)
def test_each_thing_in_common_leads_from_one_to_the_other(one: ModelCall, other: ModelCall) -> None:
    """Either may come first."""
    assert family(relatives_of([one, other]), [one, other], 0) == {0, 1}
    assert family(relatives_of([other, one]), [other, one], 0) == {0, 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(PARENT, CHILD, id="two calls of a trace"),
        pytest.param(INNER, OUTER._replace(scope_name=CLIENT), id="one scope, equal tokens"),
        pytest.param(INNER, OUTER._replace(process="p"), id="two processes"),
        pytest.param(INNER, OUTER._replace(usage=Unmetered("x")), id="no tokens, two traces"),
    ],
)
def test_what_cannot_be_one_call_is_not_looked_at(one: ModelCall, other: ModelCall) -> None:
    """Or a busy service would compare everything with everything."""
    assert family(relatives_of([one, other]), [one, other], 0) == {0}


def test_of_those_alike_the_oldest_are_forgotten() -> None:
    """Memory is bounded, whatever comes."""
    relatives: Relatives[int] = Relatives(max_alike=2)
    for number in range(5):
        relatives.add(number, call(f"c{number}", CLIENT, number, number + 1))

    assert set(relatives.of(OUTER, set())) == {3, 4}
