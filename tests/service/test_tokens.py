from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import pytest

from otel_polar.delivery.notices import Notices
from otel_polar.errors import ConfigError
from otel_polar.service.tokens import Tokens

if TYPE_CHECKING:
    from pathlib import Path

OLD: Final = "old-token-of-24-characters"
NEW: Final = "new-token-of-24-characters"


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def tokens(*given: str, file: Path | None = None, clock: Clock | None = None) -> Tokens:
    return Tokens("serve.tokens", given, file, Notices(), monotonic=clock or Clock())


@pytest.mark.parametrize(
    ("authorization", "is_good", "why"),
    [
        (f"Bearer {OLD}", True, "the usual form"),
        (f"bearer   {OLD} ", True, "RFC 9110: the scheme's case does not matter"),
        ("Basic " + b64encode(f"anybody:{OLD}".encode()).decode(), True, "what a browser sends for a page"),
        ("Basic " + b64encode(f"{OLD}:".encode()).decode(), False, "a user's name is no password"),
        ("Basic !!", False, "not base64"),
        (f"Bearer {OLD[:-1]}", False, "a part of one"),
        (f"Bearer {OLD}x", False, "more than one"),
        (OLD, False, "no scheme"),
        ("", False, "nothing"),
        ("Bearer ", False, "an empty one"),
        ("Bearer \udcff", False, "not even text"),
        ("Bearer " + "x" * 100_000, False, "far too much"),
    ],
)
def test_only_a_whole_token_by_a_known_scheme_is_accepted(authorization: str, is_good: bool, why: str) -> None:  # noqa: FBT001 - a row
    """Whoever gets in can bill anybody."""
    assert tokens(OLD, NEW).accept(authorization) is is_good, why


def test_without_any_token_everybody_is_accepted() -> None:
    """On loopback nobody needs one; whether that is allowed elsewhere is decided with the settings."""
    unguarded = tokens()

    assert unguarded.accept("")
    assert not unguarded.is_required


def test_a_changed_file_is_read_again_and_both_tokens_are_good_in_between(tmp_path: Path) -> None:
    """A token is replaced without a restart and without a moment in which a Collector's spans are dropped."""
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"# for the gateway\n{OLD}\n")
    guard = tokens(file=file, clock=clock)
    assert guard.accept(f"Bearer {OLD}")
    assert not guard.accept(f"Bearer {NEW}")

    file.write_text(f"{OLD}   # until Friday\n\n{NEW}\n")
    clock.now += 2.0
    assert guard.accept(f"Bearer {OLD}")
    assert guard.accept(f"Bearer {NEW}")

    file.write_text(f"{NEW}\n")
    clock.now += 2.0
    assert guard.accept(f"Bearer {NEW}")
    clock.now += 2.0
    assert not guard.accept(f"Bearer {OLD}")


def test_a_token_that_is_missing_while_the_file_is_being_written_stays_good(tmp_path: Path) -> None:
    """An editor writes it in two steps; a 401 in between would lose the spans for good."""
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"{OLD}\n{NEW}\n")
    guard = tokens(file=file, clock=clock)

    file.write_text(f"{OLD}\n")
    clock.now += 2.0
    assert not guard.accept("Bearer of a stranger, for whom the file is looked at again")
    assert guard.accept(f"Bearer {NEW}")
    file.write_text(f"{OLD}\n{NEW}\n")
    clock.now += 2.0
    assert guard.accept(f"Bearer {NEW}")


def test_nobody_is_refused_for_a_token_that_came_to_the_file_a_moment_ago(tmp_path: Path) -> None:
    """A Collector that gets it in the same second would drop its spans for good."""
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"{OLD}\n")
    guard = tokens(file=file, clock=clock)
    assert guard.accept(f"Bearer {OLD}")

    file.write_text(f"{OLD}\n{NEW}\n")

    assert guard.accept(f"Bearer {NEW}")


def test_a_file_that_is_gone_or_broken_locks_nobody_out(tmp_path: Path) -> None:
    """A secret that is being replaced is gone for a moment; a 401 in it would lose the spans for good."""
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"{OLD}\n")
    guard = tokens(file=file, clock=clock)

    file.unlink()
    clock.now += 2.0
    assert guard.accept(f"Bearer {OLD}")
    file.write_text("short\n")
    clock.now += 2.0
    assert guard.accept(f"Bearer {OLD}")
    file.write_text("")
    clock.now += 2.0
    assert guard.accept(f"Bearer {OLD}")
    assert not guard.accept("Bearer ")


def test_a_file_that_was_replaced_by_another_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    """Kubernetes replaces secrets by renaming."""
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(f"{OLD}\n")
    guard = tokens(file=file, clock=clock)
    other = tmp_path / "other"
    other.write_text(f"{NEW}\n")
    times = file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))

    other.rename(file)
    clock.now += 2.0

    assert guard.accept(f"Bearer {NEW}")


@pytest.mark.parametrize("content", ["", "# nothing\n", "short\n", "with space in the middle of it\n", b"\xff\xfe\xff"])
def test_a_file_without_a_usable_token_is_refused_at_the_start(tmp_path: Path, content: str | bytes) -> None:
    """Somebody is looking then; and no message repeats what may be a secret."""
    file = tmp_path / "tokens"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match=r"serve\.tokens_file") as raised:
        tokens(file=file)

    assert "middle" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    """Otherwise a typing error would open the door, or close it for everybody."""
    with pytest.raises(ConfigError, match="cannot be read"):
        tokens(file=tmp_path / "nowhere")


def test_a_token_that_can_be_guessed_is_refused() -> None:
    """The door is on the network."""
    with pytest.raises(ConfigError, match="15 characters: at least 16 are needed"):
        tokens("x" * 15)
