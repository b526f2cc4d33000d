"""Specifies the small parts of the page: text that is fit to be shown, rates, lines of the log, what needs a person."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from otel_polar.delivery.disk.rows import State
from otel_polar.service.page.attention import Attention, what_needs_attention
from otel_polar.service.page.log_lines import MAX_LINES, LogLines
from otel_polar.service.page.rates import REMEMBERED_S, Rate, Rates
from otel_polar.service.page.shown import fitting, shown_name, shown_text

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("name", "shown", "why"),
    [
        ("gpt-4o", "gpt-4o", "as it is"),
        ("Größe 東京 🙂", "Größe 東京 🙂", "letters of any language"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>", "the page writes text, so this is only text"),
        ("a\u202ecod.exe", "a\\u202ecod.exe", "it would be read backwards"),
        ("a\x00\x1b[31m\r\n", "a\\u0000\\u001b[31m\\u000d\\u000a", "a name is one line"),
        ("a\u200bb", "a\\u200bb", "it would look like another name"),
        ("a\ud800", "a\\ud800", "it could not be encoded"),
        ("a\U000e0001", "a\\U000e0001", "a tag that nobody sees"),
    ],
)
def test_a_name_is_shown_as_it_is_but_for_what_nobody_could_see(name: str, shown: str, why: str) -> None:
    """Two names that differ must not look alike, and none may change the page around it."""
    assert shown_name(name) == shown, why


def test_long_names_are_cut_and_still_differ() -> None:
    """A name of ten thousand characters would hide the numbers beside it."""
    one, other = shown_name("a" * 10_000), shown_name("a" * 9_999 + "b")

    assert len(one) < 100
    assert one.startswith("a" * 80)
    assert one != other
    assert fitting("a" * 500) == "a" * 500
    assert len(fitting("a" * 10_000)) < 200
    assert fitting("a" * 10_000) != fitting("a" * 9_999 + "b")


def test_text_keeps_its_lines() -> None:
    """The log suggests lines for a rate card."""
    assert shown_text("[[prices]]\nmodel = 'x'\x07") == "[[prices]]\nmodel = 'x'\\u0007"
    assert shown_text("abcdef", limit=3) == "abc\u2026"


def test_a_rate_is_the_growth_of_a_minute() -> None:
    """Totals alone do not tell whether anything happens now."""
    rates = Rates()
    for second in range(0, 601, 5):
        rates.saw({"in": second * 2, "sent": min(second, 500)}, float(second))

    # A minute ago there was a look at 535 s, a few seconds before; the first was at 0 s.
    assert rates.rates({"in": 1_200, "sent": 500, "new": 65}, 600.0) == {
        "in": Rate(1_200, (1_200 - 535 * 2) * 60 / 65, 120.0),
        "sent": Rate(500, 0.0, 50.0),
        "new": Rate(65, 60.0, 6.5),
    }


def test_rates_before_the_first_look_are_none() -> None:
    """A division by no time at all would be an error on the first request."""
    rates = Rates()

    assert rates.rates({"in": 5}, 10.0) == {"in": Rate(5, 0.0, 0.0)}
    rates.saw({"in": 5}, 10.0)
    assert rates.rates({"in": 5}, 10.0) == {"in": Rate(5, 0.0, 0.0)}
    assert rates.remembered_s(12.0) == 2.0


def test_only_the_last_minutes_are_remembered() -> None:
    """The process may live for years."""
    rates = Rates()
    for second in range(0, 10_000, 5):
        rates.saw({"in": second}, float(second))

    assert len(rates._looks) <= REMEMBERED_S / 5 + 1
    assert rates.remembered_s(9_995.0) <= REMEMBERED_S


@pytest.fixture
def lines() -> Iterator[LogLines]:
    handler = LogLines()
    logger = logging.getLogger("otel_polar")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_line_of_the_log_is_remembered_once_with_how_often(lines: LogLines) -> None:
    """What is said every minute must not push out what was said once."""
    logger = logging.getLogger("otel_polar")
    logger.error("Polar refuses the access token")
    for _ in range(3):
        logger.warning("%d events wait", 7)
    logger.info("nothing is wrong")

    assert [(line.level, line.text, line.count) for line in lines.last()] == [
        ("WARNING", "7 events wait", 3),
        ("ERROR", "Polar refuses the access token", 1),
    ]
    assert lines.last()[0].first_at <= lines.last()[0].last_at


def test_a_flood_of_lines_takes_a_bounded_room(lines: LogLines) -> None:
    """Lines name models, and those come from spans."""
    for number in range(1_000):
        logging.getLogger("otel_polar").warning("%d %s", number, "x" * 100_000)

    assert len(lines.last()) == MAX_LINES
    assert lines.last()[0].text.startswith("999 ")
    assert max(len(line.text) for line in lines.last()) < 2_100


def test_a_line_that_cannot_be_formatted_raises_nothing(lines: LogLines) -> None:
    """The delivery thread writes the log."""
    lines.handle(logging.LogRecord("otel_polar", logging.ERROR, "f", 1, "%d of %d", ("one",), None))

    assert lines.last()[0].text == "%d of %d"


def test_what_needs_a_person_comes_first_and_the_worst_before_the_rest() -> None:
    """Nobody reads a page to its end to learn that money is being lost."""
    facts = Attention(
        why_not_ready="the disk is full",
        polar_trouble="Polar answered HTTP 502",
        waiting=1_200,
        oldest_age_s=1_000.0,
        sizes={State.UNPRICED: 3, State.REJECTED: 1, State.UNATTRIBUTED: 9},
        in_memory=2,
        lost=4,
    )

    found = what_needs_attention(facts)

    assert [one["level"] for one in found] == ["error"] * 4 + ["warning"] * 3
    assert found[0]["text"] == "Nothing can be recorded: the disk is full"
    assert "1,200 calls wait for Polar, the oldest for 16 minutes" in [one["text"] for one in found]
    assert what_needs_attention(Attention(sizes={State.UNATTRIBUTED: 9}, waiting=5, oldest_age_s=10.0)) == []
