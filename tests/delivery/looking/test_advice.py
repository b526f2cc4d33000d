"""Specifies that whoever reads what to do can do it."""

from __future__ import annotations

import re

import pytest
import typer.main

from otel_polar.cli.app import app
from otel_polar.delivery.disk.reasons import _WORDS, OTHER
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.advice import _ADVICE, what_to_do
from otel_polar.settings import Settings

REASONS = [(state, word) for state, words in _WORDS.items() for word in dict.fromkeys([*(w for _, w in words), OTHER])]
ADVICE = [text for by_reason in _ADVICE.values() for text in by_reason.values()]


@pytest.mark.parametrize(("state", "reason"), REASONS)
def test_every_reason_has_something_to_do(state: State, reason: str) -> None:
    """A reason without advice leaves an operator with a word."""
    assert reason in _ADVICE[state]
    assert what_to_do(state, reason)


def test_every_advice_is_for_a_reason_that_there_is() -> None:
    """What nobody is ever shown rots."""
    assert {(state, reason) for state, by in _ADVICE.items() for reason in by} == set(REASONS)


def test_an_unknown_reason_has_the_advice_of_its_state() -> None:
    """A newer outbox may have words that this version does not know."""
    assert what_to_do(State.UNPRICED, "a word of tomorrow") == what_to_do(State.UNPRICED, OTHER)
    assert what_to_do(State.READY, OTHER) == ""


def test_every_command_that_is_named_exists() -> None:
    """A command that is not there is worse than none."""
    commands = {command for text in ADVICE for command in re.findall(r"`otel-polar ([a-z -]+)`", text)}
    assert commands

    for command in commands:
        found = typer.main.get_command(app)
        for name in command.split():
            found = found.commands[name]  # type: ignore[attr-defined]  # a group has some


def test_every_setting_that_is_named_exists() -> None:
    """They are copied into a shell."""
    options = Settings.__dataclass_fields__
    variables = {field.metadata["variable"] for field in options.values() if field.metadata.get("variable")}
    named = {variable for text in ADVICE for variable in re.findall(r"OTEL_POLAR_[A-Z_]+", text)}
    assert named
    assert named <= variables
    for option in re.findall(r"\b([a-z]+(?:_[a-z]+)+) ?[(=]OTEL_POLAR", " ".join(ADVICE)):
        assert option in options
