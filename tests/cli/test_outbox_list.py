"""``otel-polar outbox list`` as a process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import typer

from otel_polar.cli.outbox.options import read_wanted
from otel_polar.cli.times import read_time
from otel_polar.delivery.disk.rows import State
from tests.cli.command import run_command
from tests.cli.outboxes import application, environment, make_calls
from tests.delivery.support import NOON

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer


@pytest.fixture
def env(polar_sandbox: SandboxServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of an application that is running, with two events sent, three calls unpriced, and one that is nobody's."""
    with application(polar_sandbox.url, tmp_path) as pipeline:
        make_calls(pipeline, sent=2, unpriced=3, nobodys=1)
        yield environment(polar_sandbox.url, tmp_path)


def test_every_call_is_a_row_with_what_a_person_asks_first(env: dict[str, str]) -> None:
    """Who, what, how much, why, and the id by which other commands name it."""
    result = run_command("outbox", "list", env=env)

    assert (result.returncode, result.stderr) == (0, "")
    rows = [line for line in result.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == 6
    (sent, *_) = [row for row in rows if "│ sent " in row]
    assert "alice" in sent
    assert "openai/gpt-4o-mini" in sent
    assert "100 + 10" in sent
    assert "$0.000021" in sent
    assert f"{1:032x}-" in result.stdout


def test_what_is_not_shown_is_counted(env: dict[str, str]) -> None:
    """A list that ends without a word looks complete."""
    newest = run_command("outbox", "list", "--limit", "2", "--json", env=env)
    oldest = run_command("outbox", "list", "--limit", "2", "--oldest", "--json", env=env)

    assert "4 older calls are not shown (--limit 2)" in newest.stderr
    assert "4 newer calls are not shown (--limit 2)" in oldest.stderr
    first, second = (
        [json.loads(line)["recorded_at"] for line in each.stdout.splitlines()] for each in (newest, oldest)
    )
    assert first == sorted(first, reverse=True)
    assert second == sorted(second)
    assert max(second) < min(first)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--state", "held"], 4),
        (["--state", "unpriced"], 3),
        (["--state", "held: unpriced", "--state", "sent"], 5),
        (["--customer", "alice"], 5),
        (["--model", "gpt-9*"], 3),
        (["--reason", "no customer"], 1),
        (["--since", "1h"], 6),
        (["--until", "1h"], 0),
        (["--since", "2026-01-01", "--until", "2026-01-02T10:00+02:00"], 0),
        (["none-such"], 0),
    ],
)
def test_filters_narrow_it_down(env: dict[str, str], arguments: list[str], count: int) -> None:
    """All that are given have to fit."""
    result = run_command("outbox", "list", "--json", *arguments, env=env)

    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == count


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--state", "lost"], "is no state; there are"), (["--since", "yesterday"], "is no time such as")],
)
def test_words_that_mean_nothing_are_refused(env: dict[str, str], arguments: list[str], why: str) -> None:
    """A filter that is passed over would show what was not asked for."""
    result = run_command("outbox", "list", *arguments, env=env)

    assert (result.returncode, result.stdout) == (2, "")
    assert why in " ".join(result.stderr.replace("│", "").split())


def test_nothing_is_said_to_be_nothing(env: dict[str, str]) -> None:
    """An empty table would look like an error."""
    assert run_command("outbox", "list", "--customer", "bob", env=env).stdout == "No such calls.\n"


def test_without_an_outbox_it_says_where_it_looked(tmp_path: Path) -> None:
    """A wrong token would look as if there were no calls."""
    result = run_command("outbox", "list", env=environment("http://127.0.0.1:9", tmp_path))

    assert (result.returncode, result.stdout) == (3, "")
    assert f"there is no {tmp_path}" in result.stderr
    assert "POLAR_ACCESS_TOKEN" in result.stderr


@pytest.mark.parametrize("command", [("outbox", "list"), ("status",)])
def test_an_outbox_dir_that_cannot_be_used_is_said_to_be_one(command: tuple[str, ...], tmp_path: Path) -> None:
    """The token has nothing to do with it."""
    file = tmp_path / "file"
    file.touch()
    for outbox_dir, said in ((tmp_path / "none", "there is no"), (file, "is no directory")):
        result = run_command(*command, env=environment("http://127.0.0.1:9", outbox_dir))

        assert (result.returncode, result.stdout) == (3, "")
        assert said in result.stderr
        assert f"{outbox_dir} (outbox_dir, OTEL_POLAR_OUTBOX_DIR)" in result.stderr
        assert "POLAR_ACCESS_TOKEN" not in result.stderr


def test_a_damaged_file_is_said(env: dict[str, str], tmp_path: Path) -> None:
    """The list is not complete then."""
    (directory,) = tmp_path.iterdir()
    (directory / "outbox-0.db").write_bytes(b"no database at all" * 1_000)

    result = run_command("outbox", "list", "--json", env=env)

    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 6
    assert "outbox-0.db cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-01", NOON - 43_200),
        ("2026-10-01T12:00", NOON),
        ("2026-10-01T14:00+02:00", NOON),
        ("90m", NOON - 5_400),
        ("2 d", NOON - 172_800),
    ],
)
def test_times_are_read_as_people_write_them(text: str, expected: float) -> None:
    """Without an offset they are UTC, as the list shows them."""
    assert read_time("--since", text, NOON) == expected


def test_a_state_is_named_by_its_last_word_or_by_all_that_are_held() -> None:
    """``held: unpriced`` needs quotes in a shell."""
    assert read_wanted(states=["Unpriced"]).states == {State.UNPRICED}
    assert read_wanted(states=["held"]).states == {state for state in State if state.is_held}
    with pytest.raises(typer.BadParameter, match="is no state"):
        read_wanted(states=["priced"])
