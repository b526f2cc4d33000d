"""``otel-polar status``: what lies in the outbox, in one screen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from otel_polar.cli.directory import outbox_directory
from otel_polar.cli.outbox.options import AsJson  # noqa: TC001 - typer reads the types of options
from otel_polar.cli.outbox.shown import iso
from otel_polar.cli.outbox.states import advice, meaning, place_of
from otel_polar.cli.output import Ending, end, fail, failing, print_json, say, working
from otel_polar.cli.printable import printable
from otel_polar.cli.tables import show_table
from otel_polar.cli.words import agreed, counted, span_of_time, usd, usd_plain
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.census import Census, is_done, largest, needs_person
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.errors import ConfigError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from otel_polar.delivery.looking.census import Sum
    from otel_polar.delivery.looking.view import SeenFile

_SHOWN: Final = 5
_UNDONE: Final = Wanted(states=frozenset(state for state in State if not is_done(state)))
_NUMBERS: Final = ("calls", "oldest", "cost")


@dataclass(frozen=True, slots=True)
class _Status:
    directory: Path
    server: str
    files: Sequence[SeenFile]
    put_aside: Sequence[Path]
    troubles: Mapping[str, str]
    census: Census
    elsewhere: Mapping[Path, Census]
    at: float

    @property
    def needs_person(self) -> bool:
        """Whether something will not go on by itself."""
        is_held = any(needs_person(state) for state in self.census.states)
        return bool(is_held or self.troubles or self.put_aside or any(file.trouble for file in self.files))


def status(*, as_json: AsJson = False) -> None:
    """Show what lies in the outbox: how many calls are in each state, what they cost, and what to do about them.

    It reads the files of the applications that are running, and of those that have ended, for the access token, server
    and directory in the environment. Nothing is sent or changed. Ends with 1 if anything waits for a person: calls that
    are held or rejected, or damaged files; with 3 if there is no outbox.

    Example: `otel-polar status`

    Example: `otel-polar status --json | jq .states.ready.calls`
    """
    with failing("status"):
        settings = Settings.load()
        directory = outbox_directory(settings, must_exist=False).path
        with working("Reading the outbox"):
            elsewhere = _elsewhere(directory)
            if not directory.exists():
                _say_elsewhere(elsewhere)
                _fail_without(settings)
            view = OutboxView(directory)
            census = view.counts()
            troubles = dict(view.troubles)
            seen = _Status(
                directory,
                settings.base_url or settings.server,
                view.files(),
                view.put_aside(),
                troubles,
                census,
                elsewhere,
                time.time(),
            )
    if as_json:
        print_json(_as_json(seen))
    else:
        _print(seen)
    end(Ending.WRONG if seen.needs_person else Ending.WELL)


def _fail_without(settings: Settings) -> None:
    try:
        outbox_directory(settings)
    except ConfigError as error:
        fail("status", error)


def _elsewhere(directory: Path) -> dict[Path, Census]:
    """What waits in the directories of other servers and access tokens."""
    others = [path for path in sorted(directory.parent.glob("*-*/")) if path != directory]
    counted_there = {path: OutboxView(path).counts(_UNDONE) for path in others}
    return {path: census for path, census in counted_there.items() if census.states}


def _print(seen: _Status) -> None:
    running = sum(file.is_owned for file in seen.files)
    size_mib = sum(file.size_bytes for file in seen.files) / 2**20
    typer.echo(f"{seen.directory}, for {printable(seen.server)}")
    typer.echo(
        f"{counted(len(seen.files), 'file')} of {size_mib:,.1f} MiB; {counted(running, 'application')}"
        f" {agreed(running, 'is', 'are')} running"
    )
    if seen.census.states:
        show_table(
            "", ("state", "calls", "oldest", "cost", "what it means", "to type"), _states(seen), numbers=_NUMBERS
        )
    else:
        typer.echo("No calls.")
    if reasons := [*_reasons(seen.census)]:
        show_table("Why calls are held", ("state", "calls", "reason", "what to do"), reasons, numbers=_NUMBERS)
    for title, sums in (("customer", seen.census.customers), ("model", seen.census.models)):
        if sums:
            rows = ((name or "nobody", f"{s.calls:,}", _money(s)) for name, s in largest(sums, _SHOWN))
            show_table(f"Waiting, by {title}", (title, "calls", "cost"), rows, numbers=_NUMBERS)
    for line in _wrong(seen):
        say(printable(line))
    _say_elsewhere(seen.elsewhere)


def _states(seen: _Status) -> Iterator[tuple[str, ...]]:
    for state, found in sorted(seen.census.states.items(), key=lambda item: place_of(item[0])):
        text, to_type = meaning(state)
        is_told = not is_done(state) and found.oldest_at is not None
        oldest = span_of_time(seen.at - (found.oldest_at or 0.0)) if is_told else ""
        yield state.value, f"{found.calls:,}", oldest, _money(found), text, to_type


def _reasons(census: Census) -> Iterator[tuple[str, ...]]:
    held = {key: found for key, found in census.reasons.items() if needs_person(key[0])}
    for (state, reason), found in largest(held, 2 * _SHOWN):
        yield state.value, f"{found.calls:,}", reason, advice(state, reason)


def _money(found: Sum) -> str:
    return "" if found.unpriced == found.calls else usd(found.cost_nanos)


def _wrong(seen: _Status) -> Iterator[str]:
    yield from seen.troubles.values()
    yield from (file.trouble for file in seen.files if file.trouble and file.path.name not in seen.troubles)
    for path in seen.put_aside:
        yield f"{path} was damaged and put aside, for you to look at; delete it when you have"


def _say_elsewhere(elsewhere: Mapping[Path, Census]) -> None:
    for path, census in elsewhere.items():
        calls = sum(found.calls for found in census.states.values())
        say(
            f"{counted(calls, 'call')} {agreed(calls, 'waits', 'wait')} in {path}, for another server or access token"
            " (POLAR_SERVER, POLAR_BASE_URL, POLAR_ACCESS_TOKEN)"
        )


def _as_json(seen: _Status) -> dict[str, Any]:
    census = seen.census
    return {
        "directory": str(seen.directory),
        "server": seen.server,
        "needs_person": seen.needs_person,
        "files": [
            {
                "name": file.path.name,
                "is_owned": file.is_owned,
                "size_bytes": file.size_bytes,
                "trouble": seen.troubles.get(file.path.name, file.trouble),
            }
            for file in seen.files
        ],
        "put_aside": [str(path) for path in seen.put_aside],
        "troubles": dict(seen.troubles),
        "states": {state.value: _sum(found) for state, found in sorted(census.states.items())},
        "reasons": [
            {"state": state.value, "reason": reason, **_sum(found), "what_to_do": advice(state, reason) or None}
            for (state, reason), found in largest(census.reasons, len(census.reasons))
        ],
        "customers": _named(census.customers, "customer"),
        "models": _named(census.models, "model"),
        "is_partial": census.is_partial,
        "elsewhere": [
            {"directory": str(path), "states": {state.value: _sum(found) for state, found in other.states.items()}}
            for path, other in seen.elsewhere.items()
        ],
    }


def _named(sums: dict[str | None, Sum], key: str) -> list[dict[str, Any]]:
    return [{key: name, **_sum(found)} for name, found in largest(sums, len(sums))]


def _sum(found: Sum) -> dict[str, Any]:
    return {
        "calls": found.calls,
        "oldest_recorded_at": iso(found.oldest_at),
        "newest_recorded_at": iso(found.newest_at),
        "cost_nanos": found.cost_nanos,
        "cost_usd": usd_plain(found.cost_nanos),
        "calls_without_cost": found.unpriced,
    }
