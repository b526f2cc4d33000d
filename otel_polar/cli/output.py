"""How every command speaks and ends: tables for people, JSON for programs, and the codes it ends with.

What a command was asked for goes to standard output; what it says about its work goes to standard error, so that a
program may read the one and a person the other.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from otel_polar.cli.printable import printable
from otel_polar.errors import OtelPolarError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Advance(Protocol):
        """Tells a progress bar how much more is done, and perhaps what is being done now."""

        def __call__(self, amount: float = 0, /, *, description: str | None = None) -> None:
            """Move the bar by *amount*."""


class Ending(IntEnum):
    """What the number says with which a command ends."""

    WELL = 0
    """All is well."""

    WRONG = 1
    """Something is wrong or left to do, and was said."""

    MISUSED = 2
    """The words of the command line are off."""

    IMPOSSIBLE = 3
    """It could not be done or found out: settings, Polar, a file."""

    INTERRUPTED = 130
    """Ctrl-C, or a signal to end."""

    UNREAD = 141
    """Nobody reads what it writes any more."""


def end(ending: Ending) -> NoReturn:
    """End the command."""
    raise typer.Exit(int(ending))


def fail(command: str, problem: object, ending: Ending = Ending.IMPOSSIBLE) -> NoReturn:
    """Say on standard error what is wrong, and end."""
    typer.echo(f"otel-polar {command}: {printable(str(problem))}", err=True)
    end(ending)


@contextmanager
def failing(command: str) -> Iterator[None]:
    """Around the work of *command*: what it cannot do is one line, and ends it."""
    try:
        yield
    except BrokenPipeError:
        # Not a failure of the work: :func:`otel_polar.cli.main` ends it.
        raise
    except (OtelPolarError, OSError) as error:
        fail(command, error)


def say(text: str) -> None:
    """A line about the work, beside what was asked for."""
    typer.echo(text, err=True)


def print_json(value: object) -> None:
    """One JSON object, on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")))


def confirm(question: str, *, yes: bool) -> bool:
    """Whether a person agrees. Where nobody can be asked, ``--yes`` has to stand on the command line.

    Raises:
        typer.Exit: with 2, and said, if nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        typer.echo(f"{question} Nobody can be asked here: give --yes to do it, or --dry-run to only see it", err=True)
        end(Ending.MISUSED)
    return typer.confirm(question, default=False, err=True)


@contextmanager
def working(description: str, total: float | None = None, *, unit: str = "") -> Iterator[Advance]:
    """A progress bar on standard error while the block runs, where that is a terminal.

    Args:
        description: what is being done, in a few words.
        total: how much there is to do; ``None`` if nobody knows.
        unit: of what, such as ``events``; ``B`` shows bytes.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _advance_nothing
        return
    from rich import progress  # noqa: PLC0415 - a tenth of a second, and only for people
    from rich.console import Console  # noqa: PLC0415 - as above

    amounts: progress.ProgressColumn = (
        progress.DownloadColumn() if unit == "B" else progress.TextColumn(f"{{task.completed:,.0f}} {unit}")
    )
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), amounts, progress.TimeElapsedColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def advance(amount: float = 0, /, *, description: str | None = None) -> None:
            changes: dict[str, Any] = {} if description is None else {"description": description}
            bar.update(task, advance=amount, **changes)

        yield advance


def _advance_nothing(amount: float = 0, /, *, description: str | None = None) -> None:
    """Nobody looks."""
