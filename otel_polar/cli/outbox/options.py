"""Which calls a command is about: options and arguments that several commands of ``otel-polar outbox`` have.

A command takes them as parameters of these types, and hands them to :func:`read_wanted`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from otel_polar.cli.directory import outbox_directory
from otel_polar.cli.times import read_time
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WHICH: Final = "Which calls"
"""The panel of these options in the help."""

_HELD: Final = "held"
_PREFIX: Final = "held: "


def _words() -> dict[str, frozenset[State]]:
    """What may be written for a state: its name, the last word of it, and ``held`` for all that are."""
    words = {state.value.removeprefix(_PREFIX): frozenset({state}) for state in State}
    words |= {state.value: frozenset({state}) for state in State}
    return {**words, _HELD: frozenset(state for state in State if state.is_held)}


STATE_WORDS: Final = sorted(word for word in _words() if not word.startswith(_PREFIX))

States: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help=f"In this state, or several: {', '.join(STATE_WORDS)}. May be given more than once.",
        rich_help_panel=WHICH,
        autocompletion=lambda: STATE_WORDS,
    ),
]
CustomerOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--customer", metavar="ID", help="Of this customer: your id, or Polar's.", rich_help_panel=WHICH),
]
ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", metavar="PATTERN", help="To this model; `*` is any text.", rich_help_panel=WHICH),
]
ReasonOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="With this text in the reason.", rich_help_panel=WHICH),
]
SinceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Recorded then or later: `2026-11-21`, `2026-11-21T10:00` (UTC, or with an offset), or `36h`, `7d` ago.",
        rich_help_panel=WHICH,
    ),
]
UntilOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Recorded before then.", rich_help_panel=WHICH),
]
ExternalIds: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="[EXTERNAL_ID]...", help="These calls, as `outbox list` shows them.", show_default=False),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def read_wanted(
    *,
    states: Sequence[str] | None = None,
    customer: str | None = None,
    model: str | None = None,
    reason: str | None = None,
    since: str | None = None,
    until: str | None = None,
    external_ids: Sequence[str] | None = None,
    clock: Callable[[], float] = time.time,
) -> Wanted:
    """The calls that the words of a command line mean.

    Raises:
        typer.BadParameter: if a word is none of a state or a time.
    """
    now = clock()
    return Wanted(
        states=frozenset(state for word in states or () for state in _read_states(word)),
        customer=customer,
        model=model,
        reason=reason,
        external_ids=frozenset(external_ids or ()),
        since=None if since is None else read_time("--since", since, now),
        until=None if until is None else read_time("--until", until, now),
    )


def open_view() -> OutboxView:
    """What lies in the directory that the settings in the environment name.

    Raises:
        ConfigError: if they name none, or it is not there.
    """
    return OutboxView(outbox_directory(Settings.load()).path)


def _read_states(word: str) -> frozenset[State]:
    states = _words().get(word.strip().casefold())
    if states is None:
        raise typer.BadParameter(f"{word!r} is no state; there are {', '.join(STATE_WORDS)}")
    return states
