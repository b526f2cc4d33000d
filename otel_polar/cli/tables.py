"""Tables for people: as wide as the terminal, and row by row where that would break words to pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from otel_polar.cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

_NO_TERMINAL_CHARACTERS: Final = 100_000
"""Where it is no terminal, a table is as wide as it has to be: a line that is cut cannot be searched."""

_PIECE_CHARACTERS: Final = 12
"""A longer word, such as an external id, may be broken into pieces of this length, for all else to fit."""

_FRAME_CHARACTERS: Final = 3
"""Around each cell: its padding, and a line."""


def console_for(**options: Any) -> Console:
    """What prints to standard output.

    Nobody who reads is a ``BrokenPipeError``, as it is for whatever else is printed, and not rich's own end.
    """
    from rich.console import Console  # noqa: PLC0415 - a twentieth of a second, and not for --json

    class OurConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return OurConsole(highlight=False, **options)


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()
) -> None:
    """A table on standard output; the columns named in *numbers* are aligned at the right."""
    from rich.table import Table  # noqa: PLC0415 - a twentieth of a second, and not for --json
    from rich.text import Text  # noqa: PLC0415 - as above

    cells = [[printable(cell) for cell in row] for row in rows]
    console = console_for()
    widths: list[int] | None = None
    if not console.is_terminal:
        console = console_for(width=_NO_TERMINAL_CHARACTERS)
    elif (widths := _widths(columns, cells, console.width - 1 - _FRAME_CHARACTERS * len(columns))) is None:
        for line in _row_by_row(title, columns, cells):
            # An id that goes over the edge can still be copied as one.
            console.print(Text(line), soft_wrap=True)
        return
    right = frozenset(numbers)
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", width=None if widths is None else widths[place])
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """How wide each column is, of *room* characters; ``None`` if words would be broken that are not very long."""
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    every = list(zip(columns, *rows, strict=True))
    words = [[cell_len(word) for cell in cells for word in cell.split()] for cells in every]
    widths = [min(max(lengths, default=0), _PIECE_CHARACTERS) for lengths in words]
    wanted = [max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in every]
    left = room - sum(widths)
    if left < 0:
        return None
    while left > 0 and widths != wanted:
        # What is left goes to the narrowest of those that could use it.
        _, place = min((width, place) for place, width in enumerate(widths) if width != wanted[place])
        widths[place] += 1
        left -= 1
    return widths


def _row_by_row(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """A line for each cell that says something, and an empty one between rows."""
    if title:
        yield title
    width = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for column, cell in zip(columns, row, strict=True):
            if cell:
                yield f"{column:<{width}}  {cell}"
