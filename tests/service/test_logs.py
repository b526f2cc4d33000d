from __future__ import annotations

import json
import logging
import sys
from typing import Final

import pytest

from otel_polar.service.logs import MAX_CHARACTERS, JsonLines, TextLines

# What would begin a line of its own, move the cursor, or turn the direction of writing.
HOSTILE: Final = "gpt-4\n2026-11-21 ERROR forged\r\x1b[2J\u2028\u202e\x00\x85"


def line_of(formatter: logging.Formatter, message: str, error: BaseException | None = None) -> str:
    trace = None if error is None else (type(error), error, error.__traceback__)
    return formatter.format(logging.LogRecord("otel_polar", logging.WARNING, __file__, 1, message, None, trace))


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()], ids=["text", "json"])
def test_whatever_a_span_says_is_one_line_of_printable_text(formatter: logging.Formatter) -> None:
    """Names come from strangers' spans; a forged line could hide what they did."""
    line = line_of(formatter, HOSTILE)

    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert "forged" in line


def test_a_json_line_says_when_how_grave_who_and_what() -> None:
    """Programs that collect logs look for these."""
    document = json.loads(line_of(JsonLines(), HOSTILE))

    assert document["message"] == HOSTILE
    assert (document["level"], document["logger"]) == ("WARNING", "otel_polar")
    assert document["time"].endswith("Z")


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()], ids=["text", "json"])
def test_of_an_exception_the_kind_and_the_place_are_written_but_not_its_words(formatter: logging.Formatter) -> None:
    """Its words, and the lines of code in a traceback, may hold a prompt."""
    try:
        raise ValueError("the words of a customer")  # noqa: TRY301 - for its traceback
    except ValueError as error:
        line = line_of(formatter, "it failed", error)

    assert "ValueError in test_of_an_exception" in line
    assert "customer" not in line


def test_a_line_has_an_end() -> None:
    """One span must not fill the disk of the logs."""
    assert len(line_of(TextLines(), "x" * 10 * MAX_CHARACTERS)) < MAX_CHARACTERS + 100
    assert sys.getsizeof(line_of(JsonLines(), "\u202e" * 10 * MAX_CHARACTERS)) < 7 * MAX_CHARACTERS
