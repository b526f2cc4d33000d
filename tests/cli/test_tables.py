"""Specifies how tables look in terminals of any width, and where there is none."""

from __future__ import annotations

import re

import pytest

from otel_polar.cli.tables import show_table

STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLUMNS = ("state", "calls", "what it means", "external id")
ROWS = [
    (
        "held: unattributed",
        "12",
        "nobody to bill is named by the application",
        "chatcmpl-AbCd1234EfGh5678IjKl90",
    ),
    ("sent", "1,207", "", "4bf92f3577b34da6a3ce929d0e0e4736"),
]
WORDS = {word for row in ROWS for cell in row[:3] for word in cell.split()}


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, columns: int, is_terminal: bool = True
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1" if is_terminal else "")
    show_table("Calls", COLUMNS, ROWS, numbers=("calls",))
    return STYLE.sub("", capsys.readouterr().out).splitlines()


@pytest.mark.parametrize("columns", [53, 60, 80, 120, 200])
def test_words_are_not_broken_and_nothing_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """Only an id that is longer than most columns may be."""
    lines = shown(monkeypatch, capsys, columns=columns)

    assert max(map(len, lines)) <= columns
    assert {word for line in lines for word in line.split()} >= WORDS


def test_all_that_there_is_to_say_is_on_one_line_if_the_terminal_is_wide_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it is without anybody's help."""
    lines = shown(monkeypatch, capsys, columns=150)

    assert len(lines) == 1 + 3 + len(ROWS) + 1
    assert "│    12 │" in lines[4]


@pytest.mark.parametrize("columns", [20, 52])
def test_what_does_not_fit_is_shown_row_by_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """Columns of five characters cannot be read, and an id in pieces cannot be copied."""
    assert shown(monkeypatch, capsys, columns=columns) == [
        "Calls",
        "state          held: unattributed",
        "calls          12",
        "what it means  nobody to bill is named by the application",
        "external id    chatcmpl-AbCd1234EfGh5678IjKl90",
        "",
        "state          sent",
        "calls          1,207",
        "external id    4bf92f3577b34da6a3ce929d0e0e4736",
    ]


def test_where_there_is_no_terminal_a_row_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is searched."""
    lines = shown(monkeypatch, capsys, columns=40, is_terminal=False)

    assert all(cell in lines[4] for cell in ROWS[0])


def test_a_table_without_rows_has_its_head(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is not an error."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    show_table("", ("one", "two"), [])

    assert "one" in capsys.readouterr().out
