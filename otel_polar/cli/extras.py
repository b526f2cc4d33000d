"""Commands that need more than the command's own libraries say which extra brings them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from otel_polar.cli.output import Ending, end

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needs_extra(*extras: str) -> Iterator[None]:
    """Around imports: a missing module ends the command with the line to type."""
    try:
        yield
    except ModuleNotFoundError as error:
        wanted = ",".join(extras)
        typer.echo(
            f"{error.name!r} is missing: pip install 'otel-polar[{wanted}]', or '.[{wanted}]' in a clone",
            err=True,
        )
        end(Ending.IMPOSSIBLE)
