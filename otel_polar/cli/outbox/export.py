"""``otel-polar outbox export``: calls of the outbox for a spreadsheet or a program, all that match."""

from __future__ import annotations

import csv
import json
import os
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the types of options
from typing import IO, TYPE_CHECKING, Annotated

import typer

from otel_polar.cli.outbox.options import (
    CustomerOption,
    ExternalIds,
    ModelOption,
    ReasonOption,
    SinceOption,
    States,
    UntilOption,
    open_view,
    read_wanted,
)
from otel_polar.cli.outbox.shown import JSON_KEYS, json_of, troubles_of
from otel_polar.cli.output import Ending, end, failing, say, working
from otel_polar.cli.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_polar.delivery.looking.seen import SeenCall


class Form(StrEnum):
    """In which form calls are written."""

    JSONL = "jsonl"
    CSV = "csv"


def export(
    external_ids: ExternalIds = None,
    *,
    states: States = None,
    customer: CustomerOption = None,
    model: ModelOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    form: Annotated[Form | None, typer.Option("--format", help="One JSON object a line, or a table.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl, which it is anyway.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", dir_okay=False, help="Write there instead of to standard output."
        ),
    ] = None,
) -> None:
    """Write out the calls in the outbox: all of them, or all that match, oldest first within each process's file.

    JSON lines have the event as it was frozen; both forms have what `outbox list --json` has. A FILE is there as a
    whole or not at all, and readable for you only, for it names your customers. Nothing is changed. Ends with 1 if a
    file of the outbox could not be read, and 3 if there is none or FILE cannot be written.

    Example: `otel-polar outbox export --state sent --since 2026-11-01 --format csv -o november.csv`

    Example: `otel-polar outbox export | jq -r .external_customer_id | sort | uniq -c`
    """
    if as_json and form is Form.CSV:
        raise typer.BadParameter("--json is not --format csv: give one of them", param_hint="--json")
    wanted = read_wanted(
        states=states,
        customer=customer,
        model=model,
        reason=reason,
        since=since,
        until=until,
        external_ids=external_ids,
    )
    count = 0
    with failing("outbox export"):
        view = open_view()
        with _opened(output) as file, working("Writing", unit="calls") as advance:
            write = _csv(file) if form is Form.CSV else _json_lines(file)
            for seen in view.calls(wanted):
                write(seen)
                count += 1
                advance(1)
    if output is not None:
        say(f"{counted(count, 'call')} written to {output}")
    for trouble in troubles_of(view):
        say(trouble)
    end(Ending.WRONG if view.troubles else Ending.WELL)


def _json_lines(file: IO[str]) -> Callable[[SeenCall], object]:
    def write(seen: SeenCall) -> None:
        line = {**json_of(seen), "event": seen.body}
        file.write(f"{json.dumps(line, separators=(',', ':'))}\n")

    return write


def _csv(file: IO[str]) -> Callable[[SeenCall], object]:
    writer = csv.writer(file, lineterminator="\n")

    def write(seen: SeenCall) -> None:
        writer.writerow("" if value is None else _one_line(value) for value in json_of(seen).values())

    writer.writerow(JSON_KEYS)
    return write


def _one_line(value: object) -> object:
    # A lone surrogate, from a damaged row, cannot be encoded.
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _make(unfinished: Path, output: Path) -> int:
    try:
        return os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600)
    except OSError as error:
        # By the name that was typed.
        raise OSError(error.errno, error.strerror, str(output)) from error


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """Where to write; a file takes its name when it is whole."""
    if output is None:
        yield sys.stdout
        return
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.new")
    try:
        descriptor = _make(unfinished, output)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
