"""``otel-polar reconcile invoice`` through its real entry point."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import run_command
from tests.reconciliation.support import YESTERDAY, a_body, directory_of, keep, settings_of

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

URL = "http://127.0.0.1:9"
MINI = "gpt-4o-mini-2024-07-18"
DAY_S = 86_400
BEGIN = int(YESTERDAY) // DAY_S * DAY_S
DAY = datetime.fromtimestamp(BEGIN, UTC).date().isoformat()


def run_invoice(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("reconcile", "invoice", *arguments, env=settings_of(URL, tmp_path))


def export(tmp_path: Path, **changes: Any) -> str:
    """What OpenAI tells of the ten calls of :func:`ten_calls`."""
    result = {"model": MINI, "input_tokens": 1_045, "output_tokens": 100, "num_model_requests": 10, **changes}
    bucket = {"start_time": BEGIN, "end_time": BEGIN + DAY_S, "results": [result]}
    path = tmp_path / "usage.json"
    path.write_text(json.dumps({"data": [bucket], "has_more": False}))
    return str(path)


@pytest.fixture(autouse=True)
def ten_calls(tmp_path: Path) -> None:
    """A ledger."""
    keep(directory_of(URL, tmp_path), [a_body(number, at=BEGIN + 60 + number) for number in range(10)])


def test_an_export_that_says_the_same_is_equal(tmp_path: Path) -> None:
    """Polar is not asked: it has nothing to do with what a provider bills."""
    done = run_invoice(tmp_path, export(tmp_path))

    assert (done.returncode, done.stdout) == (0, "Equal; 1 day and model compared\n"), done.stderr
    assert "OpenAI's usage (tokens and requests)" in done.stderr


def test_a_difference_is_shown_with_both_numbers(tmp_path: Path) -> None:
    """A call that nobody recorded is one that nobody is billed for."""
    done = run_invoice(tmp_path, export(tmp_path, num_model_requests=11, input_tokens=2_045), "--tolerance", "0.1")

    assert done.returncode == 1
    assert "10 | 11" in done.stdout
    assert "1,045 | 2,045" in done.stdout
    assert "100 | 100" not in done.stdout


def test_differences_are_there_for_programs(tmp_path: Path) -> None:
    """A row for each count, as JSON and in a file."""
    done = run_invoice(tmp_path, export(tmp_path, output_tokens=101), "--json", "--csv", str(tmp_path / "found.csv"))

    report = json.loads(done.stdout)
    expected = {"provider": "openai", "day": DAY, "models": MINI, "count": "output_tokens", "here": 100, "there": 101}
    assert done.returncode == 1
    assert report["differences"] == [{**expected, "difference": 1, "only": None}]
    with (tmp_path / "found.csv").open(newline="") as file:
        assert [row["difference"] for row in csv.DictReader(file)] == ["1"]


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--tolerance", "lots"), 2, "is no percentage"),
        (("--until", "2020-01-01"), 3, "has no day of the period"),
        (("--since", "never"), 2, "is no time"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    """Nothing that was not looked at is equal."""
    done = run_invoice(tmp_path, export(tmp_path), *arguments)

    assert done.returncode == code
    assert problem in done.stderr


def test_a_file_in_no_known_form_says_what_was_expected(tmp_path: Path) -> None:
    """Whoever exported the wrong one sees which is the right one."""
    (tmp_path / "costs.csv").write_text("date,usd\n2026-11-01,3\n")

    done = run_invoice(tmp_path, str(tmp_path / "costs.csv"))

    assert done.returncode == 3
    assert "expected: OpenAI's usage (tokens and requests) with end_time, input_tokens" in done.stderr


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A spreadsheet is no CSV."""
    (tmp_path / "usage.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")

    done = run_invoice(tmp_path, str(tmp_path / "usage.xlsx"))

    assert done.returncode == 3
    assert "Traceback" not in done.stderr
