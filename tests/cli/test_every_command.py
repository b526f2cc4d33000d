"""Specifies what people and programs may count on, whichever command it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from otel_polar.cli.app import app
from tests.cli.command import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_command(group: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The words of each command, and what it is."""
    for name, command in group.commands.items():
        is_group = hasattr(command, "commands")
        if is_group:
            yield from every_command(command, *above, name)
        if not is_group or command.invoke_without_command:
            yield (*above, name), command


COMMANDS = list(every_command(typer.main.get_command(app)))
OF_EACH = pytest.mark.parametrize(("words", "command"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])


@OF_EACH
def test_help_teaches_by_example(words: tuple[str, ...], command: Any) -> None:
    """An example is what people read, and it begins as what they type."""
    shown = run_command(*words, "--help")

    assert shown.returncode == 0
    assert "Example" in shown.stdout
    assert f"otel-polar {' '.join(words)}" in " ".join(command.help.split())


@OF_EACH
def test_programs_can_read_its_answer(words: tuple[str, ...], command: Any) -> None:
    """Whoever reads tables with a script is surprised by the next version."""
    options = {option for parameter in command.params for option in parameter.opts}

    assert "--json" in options, words


@OF_EACH
def test_every_option_says_what_it_is(words: tuple[str, ...], command: Any) -> None:
    """An option without a word of help is one that nobody dares to use."""
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]

    assert silent == [], words


def test_the_codes_it_ends_with_are_told() -> None:
    """A script has to know them."""
    shown = " ".join(run_command("--help").stdout.split())

    for words in ("0 if all is well", "1 if something is wrong", "2 if its words are off", "3 if it could not be done"):
        assert words in shown


def test_a_shell_can_complete_its_words() -> None:
    """Nobody remembers all of them. The variables are those that bash's completion by typer sets."""
    asked = {"_OTEL_POLAR_COMPLETE": "complete_bash", "COMP_WORDS": "otel-polar outb", "COMP_CWORD": "1"}

    assert run_command(env=asked).stdout.split() == ["outbox"]
